"""Addresses of servers that already run: `grpc://host:port/model`, or `grpcs://` for TLS.

The path is the server's name for the single. If it contains `{role}` or `{model}`, it is a pattern for all models:
these stand for a model's role (`single`, `collage`, …) and its name in the manifest, as in
`grpc://host:8001/photos-{role}`. All other models, and without a path the single, too, have their manifest names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from collagebench.errors import UsageError

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
"""Permitted host names. gRPC gives other forms a special meaning, such as `unix:` for a file."""
PLACES = re.compile(r"\{(role|model)\}")


@dataclass(frozen=True, slots=True)
class Address:
    """One server."""

    host: str
    port: int
    secure: bool
    path: str = ""
    """The path as the user wrote it, the models' name or pattern; empty for the manifest's names."""

    @property
    def target(self) -> str:
        """The address in gRPC's form."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'grpcs' if self.secure else 'grpc'}://{self.target}"

    @property
    def is_loopback(self) -> bool:
        """Whether the traffic stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.rstrip(".") == "localhost"

    def model(self, role: str, name: str) -> str:
        """Return the server's name for a model, given its role and its `name` in the manifest."""
        if PLACES.search(self.path):
            return PLACES.sub(lambda found: {"role": role, "model": name}[found[1]], self.path)
        return self.path if self.path and role == "single" else name


def address(text: str) -> Address:
    """Parse an address.

    Raises:
        UsageError: it is not an address.
    """
    shown = text if "@" not in text else "…@" + text.rpartition("@")[2]
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise UsageError(f"--endpoint {shown!r} is not an address ({error})") from None
    if parts.scheme not in ("grpc", "grpcs"):
        raise UsageError(f"--endpoint {shown!r} must begin with grpc:// or, for TLS, grpcs://")
    if "@" in parts.netloc:
        raise UsageError(
            f"--endpoint {shown!r} contains a name or password, which would end up in records and process lists: put a "
            "token into a file, and name it with --token-file"
        )
    if port is None or port == 0:
        raise UsageError(f"--endpoint {shown!r} needs a port, such as grpc://host:8001")
    if not _is_ip(host) and not HOST.fullmatch(host):
        raise UsageError(f"--endpoint {shown!r} has no valid host name or address")
    if parts.query or parts.fragment:
        raise UsageError(f"--endpoint {shown!r} can't have anything after ? or #: it is grpc://host:port/model")
    path = unquote(parts.path.removeprefix("/"))
    unknown = set(re.findall(r"\{[^{}]*\}", path)) - {"{role}", "{model}"}
    if unknown:
        raise UsageError(
            f"--endpoint {shown!r} contains {min(unknown)}; only {{role}} and {{model}} have a meaning there"
        )
    if not path.isprintable():
        raise UsageError(f"--endpoint {shown!r} has unprintable characters in the model's name")
    return Address(host, port, parts.scheme == "grpcs", path)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def check_endpoints(texts: Sequence[str], workers: int) -> None:
    """Check that there are servers, with at least one worker for each.

    Raises:
        UsageError: there is no server, an address is invalid, or a server would have no worker.
    """
    if not texts:
        raise UsageError("--fleet endpoint needs servers: name each with --endpoint grpc://host:port/model")
    for text in texts:
        address(text)
    if len(texts) > workers:
        raise UsageError(
            f"--workers {workers} is too few for {len(texts)} endpoints: {texts[workers]} would have nothing to do"
        )

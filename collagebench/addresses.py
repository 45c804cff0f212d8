"""Where a server that already runs is found: `grpc://host:port/model`, or `grpcs://` for TLS.

The path is what the server calls the model that classifies single images. `{role}` and `{model}` in it stand for the
role (`single`, `collage`, …) and for the manifest's name of whatever model is meant, so that one address does for all:
`grpc://host:8001/photos-{role}`. Without a path every model is called what the manifest calls it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from collagebench.errors import UsageError

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
"""What may be a host's name. gRPC gives other forms a meaning of their own, such as `unix:` to a file."""
PLACES = re.compile(r"\{(role|model)\}")


@dataclass(frozen=True, slots=True)
class Address:
    """One server."""

    host: str
    port: int
    secure: bool
    path: str = ""
    """What the models are called there, as it was written; empty for what the manifest calls them."""

    @property
    def target(self) -> str:
        """What gRPC calls it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'grpcs' if self.secure else 'grpc'}://{self.target}"

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.rstrip(".") == "localhost"

    def model(self, role: str, name: str) -> str:
        """Return what the server calls a model, which the manifest calls `name`."""
        if PLACES.search(self.path):
            return PLACES.sub(lambda found: {"role": role, "model": name}[found[1]], self.path)
        return self.path if self.path and role == "single" else name


def address(text: str) -> Address:
    """Read an address.

    Raises:
        UsageError: it is none.
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
    """See that there are servers, and work for each of them.

    Raises:
        UsageError: there is none, an address is none, or a server would have no worker.
    """
    if not texts:
        raise UsageError("--fleet endpoint needs servers: name each with --endpoint grpc://host:port/model")
    for text in texts:
        address(text)
    if len(texts) > workers:
        raise UsageError(
            f"{workers} workers are too few for {len(texts)} endpoints: {texts[workers]} would have nothing to do"
        )

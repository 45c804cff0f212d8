"""Hosts as a user names them, and the assignment of workers to hosts.

A host is `name`, `user@name`, `name:port` or `user@name:port`. The name may be an alias from ~/.ssh/config; an IPv6
address is written in brackets. A file of hosts has one host per line, optionally followed by its number of workers. A
`#` begins a comment:

    alice@10.0.0.7:2222   workers=4
    [2001:db8::7]         # gets its share of the rest

Anything else is refused here, before it is passed on. So no host can be mistaken for an option, or interpreted by a
shell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collagebench.errors import UsageError
from collagebench.ordinary import ordinary

USER = r"[A-Za-z0-9_][A-Za-z0-9_.+@-]*\$?"
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
IPV6 = r"\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]"
ADDRESS = re.compile(rf"(?:(?P<user>{USER})@)?(?P<name>{NAME}|{IPV6})(?::(?P<port>[0-9]{{1,5}}))?")
LONGEST = 253
"""The most characters of a name, as in DNS."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host, and its number of workers if the user gave one.

    Raises:
        UsageError: the address is invalid, or the number of workers is below 1.
    """

    address: str
    """As the user wrote it."""
    workers: int | None = None
    """None for its share of the workers that are not assigned explicitly."""

    def __post_init__(self) -> None:
        self.parts()
        if self.workers is not None and self.workers < 1:
            raise UsageError(
                f"host {self.address} cannot have {self.workers} workers: leave it out, or give it at least one"
            )

    def parts(self) -> tuple[str | None, str, int | None]:
        """Return user, name (without brackets) and port; None for what ~/.ssh/config decides.

        Raises:
            UsageError: the address is invalid.
        """
        found = ADDRESS.fullmatch(self.address)
        if not found or len(found["name"]) > LONGEST or not 0 < int(found["port"] or 1) < 65536:
            raise UsageError(
                f"{self.address!r} is not a host: write name, user@name, name:port or user@name:port, with an IPv6 "
                "address in brackets, as in [::1]:22"
            )
        return found["user"], found["name"].strip("[]"), int(found["port"]) if found["port"] else None


def check_python(python: str) -> None:
    """Check that the name or path of the hosts' Python is not empty, and cannot be taken for an option.

    Raises:
        UsageError: it is not valid.
    """
    if not python or python.startswith("-") or not python.isprintable():
        raise UsageError(
            f"--remote-python must be a name or a path, such as python3.12 or ~/venv/bin/python, not {python!r}"
        )


def read_hosts(path: Path) -> tuple[Host, ...]:
    """Read a file of hosts.

    Raises:
        UsageError: it cannot be read, names no host, or has an invalid line; the message says which.
    """
    try:
        lines = ordinary(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"the file of hosts {path} cannot be read: {reason}") from None
    hosts = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            hosts.append(_read(words))
        except UsageError as error:
            raise UsageError(f"{path}, line {number}: {error}") from None
    if not hosts:
        raise UsageError(f"the file of hosts {path} names none: write one per line, as user@name:port")
    return tuple(hosts)


def _read(words: Sequence[str]) -> Host:
    address, *options = words
    workers = None
    for option in options:
        key, _, value = option.partition("=")
        if key != "workers" or not re.fullmatch(r"[0-9]{1,6}", value) or workers is not None:
            raise UsageError(f"only workers=N may follow a host, not {option!r}")
        workers = int(value)
    return Host(address, workers)


def deal(hosts: Sequence[Host], workers: int) -> list[int]:
    """Return the index in `hosts` of each worker's host.

    Hosts with an explicit number of workers get that many; the others share the rest evenly, the first ones getting one
    more if need be. Consecutive workers are on different hosts where possible.

    Raises:
        UsageError: there is no host, one is named twice or would have no worker, or the numbers do not add up.
    """
    if not hosts:
        raise UsageError("--fleet ssh needs hosts: name them with --host, in a file with --hosts, or in a profile")
    addresses = [host.address for host in hosts]
    for address in addresses:
        if addresses.count(address) > 1:
            raise UsageError(f"host {address} is named twice: name it once, with all the workers it should have")
    said = sum(host.workers or 0 for host in hosts)
    sharing = [place for place, host in enumerate(hosts) if host.workers is None]
    rest = workers - said
    if rest < 0 or (rest > 0 and not sharing):
        raise UsageError(f"the hosts should have {said} workers, but --workers is {workers}: make them agree")
    if rest < len(sharing):
        without = hosts[sharing[rest]].address
        raise UsageError(f"--workers {workers} is too few for {len(hosts)} hosts: {without} would have none")
    left = [host.workers or 0 for host in hosts]
    for number, place in enumerate(sharing):
        left[place] = rest // len(sharing) + (number < rest % len(sharing))
    dealt: list[int] = []
    while len(dealt) < workers:
        for place in range(len(hosts)):
            if left[place]:
                left[place] -= 1
                dealt.append(place)
    return dealt

"""Where workers run: the kinds of fleets there are, what each needs to know, and what each can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from collagebench.hosts import Host

Kind = Literal["local", "ssh", "endpoint", "ray"]

FLEETS: dict[Kind, tuple[str, ...]] = {
    "local": (),
    "ssh": ("host", "remote_python", "bootstrap"),
}
"""The fleets there are, and the options, by their field, that mean something to each of them only."""

CANNOT: dict[Kind, str] = {}
"""Why the workers of a fleet can be neither disturbed nor crashed: the sentence that refuses it."""


@dataclass(frozen=True, slots=True)
class Where:
    """A fleet as it is asked for; its fields, but for the kind, are called as those of a `Config`."""

    kind: Kind = "local"
    host: tuple[Host, ...] = ()
    remote_python: str = "python3"
    """The interpreter on the hosts."""
    bootstrap: bool = False
    """Whether to make an environment on hosts that lack packages."""


LOCAL = Where()
"""Processes of this machine."""

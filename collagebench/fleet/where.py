"""Where workers run: the kinds of fleets there are, what each needs to know, and what each can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collagebench.fleet.bearer import Token
from collagebench.hosts import Host

Kind = Literal["local", "ssh", "endpoint", "ray"]

FLEETS: dict[Kind, tuple[str, ...]] = {
    "local": (),
    "ssh": ("host", "remote_python", "bootstrap"),
    "endpoint": ("endpoint", "tls_ca", "tls_cert", "tls_key", "token_file", "pixel_scale"),
    "ray": ("ray_address", "ray_cpus", "ray_resource", "ray_placement"),
}
"""The fleets there are, and the options, by their field, that mean something to each of them only."""

CANNOT: dict[Kind, str] = {
    "endpoint": "servers that already run cannot be stopped, disturbed or crashed from here: choose stragglers that "
    "are drawn, or --stragglers none",
    "ray": "workers on a Ray cluster cannot be stopped, disturbed or crashed from here: choose stragglers that are "
    "drawn, or --stragglers none",
}
"""Why the workers of a fleet can be neither disturbed nor crashed: the sentence that refuses it."""


@dataclass(frozen=True, slots=True)
class Where:
    """A fleet as it is asked for; its fields, but for the kind, are called as those of a `Config`."""

    kind: Kind = "local"
    workers: int = 10
    """How many workers it has; some may have nothing to do."""
    host: tuple[Host, ...] = ()
    remote_python: str = "python3"
    """The interpreter on the hosts."""
    bootstrap: bool = False
    """Whether to make an environment on hosts that lack packages."""
    endpoint: tuple[str, ...] = ()
    """Addresses of servers that already run; workers are dealt to them in turn."""
    tls_ca: Path | None = None
    """Who may vouch for them; None: whom this system trusts."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """Who this client is, for servers that ask."""
    pixel_scale: float | None = None
    """What pixels are multiplied by for a model that takes FP32."""
    ray_address: str = "auto"
    """Of a Ray cluster that runs: `auto`, `host:port` or `ray://host:port`."""
    ray_cpus: float = 1.0
    """What each worker reserves."""
    ray_resource: tuple[tuple[str, float], ...] = ()
    """And how much of the cluster's own resources, by their names."""
    ray_placement: str = "spread"
    """`spread`, `pack` or `strict-spread`."""
    token: Token | None = None
    """What they want to see; in no config."""


LOCAL = Where()
"""Processes of this machine."""

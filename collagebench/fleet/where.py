"""Where workers run: the kinds of fleets, their options, and what they cannot do."""

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
"""The kinds of fleets, each with the names of the config fields that only it uses."""

CANNOT: dict[Kind, str] = {
    "endpoint": "servers that already run cannot be stopped, disturbed or crashed from here: choose stragglers that "
    "are drawn, or --stragglers none",
    "ray": "workers on a Ray cluster cannot be stopped, disturbed or crashed from here: choose stragglers that are "
    "drawn, or --stragglers none",
}
"""Fleets whose workers can be neither disturbed nor crashed, with the error message that says so."""


@dataclass(frozen=True, slots=True)
class Where:
    """Settings of a fleet; all fields but `kind` and `token` have the names of `Config` fields."""

    kind: Kind = "local"
    workers: int = 10
    """Number of workers; a scheme may leave some idle."""
    host: tuple[Host, ...] = ()
    remote_python: str = "python3"
    """The interpreter on the hosts."""
    bootstrap: bool = False
    """Whether to create an environment on hosts that lack packages."""
    endpoint: tuple[str, ...] = ()
    """Addresses of servers that already run; workers are assigned to them in turn."""
    tls_ca: Path | None = None
    """Certificate authorities to trust for these servers; None for those of this system."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """This client's certificate and key, for servers that require them."""
    pixel_scale: float | None = None
    """Factor on the pixels for a model that takes FP32."""
    ray_address: str = "auto"
    """A running Ray cluster: `auto`, `host:port` or `ray://host:port`."""
    ray_cpus: float = 1.0
    """CPUs that each worker reserves."""
    ray_resource: tuple[tuple[str, float], ...] = ()
    """Named resources of the cluster that each worker reserves, with their amounts."""
    ray_placement: str = "spread"
    """`spread`, `pack` or `strict-spread`."""
    token: Token | None = None
    """Bearer token for the endpoints; never part of a config."""


LOCAL = Where()
"""Processes on this machine."""

"""What an experiment is asked to do: frozen configs, from the command line or from a profile (`profile`).

Options given on the command line win over the profile's, and the profile's over the defaults below.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from collagebench.addresses import check_endpoints
from collagebench.errors import UsageError
from collagebench.hosts import Host, check_python, deal


@dataclass(frozen=True, slots=True)
class SchemeConfig:
    """One variant of a scheme: a row of the table."""

    name: str
    """One of ours, or an import path, `module:Class`."""
    variant: str
    """Unique in the experiment; the scheme's name unless it runs in several variants."""
    options: tuple[tuple[str, Any], ...] = ()


def called(scheme: str) -> str:
    """Return what a scheme is called in a table unless its user calls it otherwise: of an import path the class."""
    return scheme.rpartition(":")[2]


DEFAULT_SCHEMES = tuple(SchemeConfig(name, name) for name in ("none", "replication", "hedge", "hedge-idle", "collage"))


PLACEMENTS = ("spread", "pack", "strict-spread")
"""Of workers over the nodes of a cluster: evenly, on as few as will do, or one a node at most."""
MOST = {"workers": 100_000, "requests": 10_000_000, "runs": 100_000}
"""More than any machine could hold: a slip of the finger, which would rather fill the memory than be done."""
BUSIEST = 10.0
"""Utilisation beyond which a percentage was meant."""
ANSWERS = {"all": MOST["requests"], "none": 0}
"""Words for numbers of answers to classify."""


@dataclass(frozen=True, slots=True)
class Config:
    """One experiment; the defaults are the run that needs no options.

    Times are in seconds unless the name says otherwise.
    """

    schemes: tuple[SchemeConfig, ...] = DEFAULT_SCHEMES
    workers: int = 10
    fleet: str = "local"
    """Where they run: one of `fleet.FLEETS`, each of which takes some of the options that follow."""
    host: tuple[Host, ...] = ()
    remote_python: str = "python3"
    bootstrap: bool = False
    endpoint: tuple[str, ...] = ()
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    pixel_scale: float | None = None
    ray_address: str = "auto"
    ray_cpus: float = 1.0
    ray_resource: tuple[tuple[str, float], ...] = ()
    ray_placement: str = "spread"
    dataset: str = "shapes"
    data: Path | None = None
    download: bool = False
    """Fetch a public dataset that is not there."""
    models: Path | None = None
    """A directory with a manifest; None for the shipped models."""
    precision: str | None = None
    """`float32` or `int8`; None for float32 where there are both."""
    arrivals: str = "poisson"
    rate: float | None = None
    """Requests per second; None: whatever `utilisation` makes of it."""
    utilisation: float | None = None
    """Rate x mean service time / workers, without redundancy; 0.5 where no rate is given either."""
    requests: int = 250
    runs: int = 10
    warmup: float = 0.05
    """Share of each run's first requests that statistics leave out."""
    stragglers: str = "collage-trace"
    time_scale: float | None = None
    """What drawn seconds are multiplied by; None: by 0.2, those of a recorded profile or a trace by 1."""
    straggler_mode: str | None = None
    """`floor`, `add` or `scale`; None, here and below, for what the stragglers have by default."""
    persistence: float | None = None
    """Mean seconds that a worker stays slow; 0: every task is slow for itself."""
    slow_share: float | None = None
    slow_workers: int | None = None
    slow_factor: float | None = None
    slow_place: str | None = None
    base: float | None = None
    shift: float | None = None
    tail: float | None = None
    scale: float | None = None
    shape: float | None = None
    median: float | None = None
    sigma: float | None = None
    machine_sigma: float | None = None
    request_sigma: float | None = None
    excursion_share: float | None = None
    excursion_factor: float | None = None
    slow_machines: float | None = None
    slow_machine: float | None = None
    drop_share: float | None = None
    crash_every: float | None = None
    restart_after: float | None = None
    trace: Path | None = None
    replay: str | None = None
    block: int | None = None
    log_length: int | None = None
    stop_every: float | None = None
    stop_for: float | None = None
    load: str | None = None
    quota: float | None = None
    transfers: int | None = None
    transfer_mb: float | None = None
    compute: Literal["real", "emulated"] = "real"
    """`real` runs the model in the workers; `emulated` keeps them for the drawn time."""
    compute_time: float | None = None
    """Seconds one inference of the single takes where none is run, others in proportion to their operations; None: all
    are measured on this machine beforehand."""
    accuracy: int = 50_000
    """Answers of each run that are classified where no worker computes, drawn at random where there are more."""
    deadline: float = 10.0
    """Seconds after which a task that has not been answered is given up."""
    slo_ms: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = str(getattr(self, field.name))
            try:
                value.encode()
            except UnicodeEncodeError:  # it could be used, but not be written down
                raise UsageError(
                    f"--{option(field.name)} {value!r} is not UTF-8; rename it, or make a link to it with another name"
                ) from None
        for name in ("workers", "requests", "runs"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be 1 or more, not {getattr(self, name)}")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise UsageError(f"--{name} must be {most:,} or less, not {getattr(self, name)}")
        for name in ("rate", "utilisation", "time_scale", "deadline", "slo_ms", "pixel_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{option(name)} must be a number above 0, not {value}")
        if self.utilisation is not None and self.utilisation > BUSIEST:
            raise UsageError(
                "--utilisation is a share of the workers' time, such as 0.5 if they are busy half of it; "
                f"{self.utilisation:g} is too much to learn anything from"
            )
        if self.rate is not None and self.utilisation is not None:
            raise UsageError("--rate and --utilisation set the same thing: give only one of them")
        if self.compute_time is not None and not 0 <= self.compute_time < math.inf:
            raise UsageError(f"--compute-time must be a number of seconds from 0 up, not {self.compute_time}")
        if self.accuracy < 0:
            raise UsageError(f"--accuracy must be all, none or a number of answers from 0 up, not {self.accuracy}")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup must be a share of the requests, from 0 to below 1, not {self.warmup}")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, not {self.seed}")
        if self.precision not in (None, "float32", "int8"):
            raise UsageError(f"--precision must be float32 or int8, not {self.precision!r}")
        if self.compute not in ("real", "emulated"):
            raise UsageError(f"--compute must be real or emulated, not {self.compute!r}")
        if self.fleet == "ssh":
            deal(self.host, self.workers)
            check_python(self.remote_python)
        if self.fleet == "endpoint":
            check_endpoints(self.endpoint, self.workers)
        if not 0 <= self.ray_cpus < math.inf:
            raise UsageError(f"--ray-cpus must be a number from 0 up, not {self.ray_cpus}")
        if self.ray_placement not in PLACEMENTS:
            raise UsageError(f"--ray-placement must be {' or '.join(PLACEMENTS)}, not {self.ray_placement!r}")
        for name, amount in self.ray_resource:
            if not 0 < amount < math.inf:
                raise UsageError(f"--ray-resource {name} must be an amount above 0, not {amount}")
        variants = [scheme.variant for scheme in self.schemes]
        if not variants:
            raise UsageError("no scheme was chosen: name one with --scheme")
        for variant in variants:
            if variants.count(variant) > 1:
                raise UsageError(
                    f"two schemes are called {variant!r}: name it once, or give each [[scheme]] table of a profile a "
                    "`variant` of its own"
                )
            if not variant or set(variant) & set(',"') or not variant.isprintable():
                raise UsageError(
                    f"a variant's name must consist of printable characters without commas or quotes, not {variant!r}"
                )
            if variant == "bound":
                raise UsageError(f"a variant's name must not be {variant!r}, which is a row of every report")


def option(name: str) -> str:
    """The command line's and the profile's spelling of a field: `time_scale` is `time-scale`, `slo_ms` is `slo`."""
    return name.removesuffix("_ms").replace("_", "-")


def from_json(values: dict[str, Any]) -> dict[str, Any]:
    """Return what `as_json` made of a config as its values by field again, those left out that are the default.

    Raises:
        UsageError: a field is of another version.
    """
    types = {field.name: str(field.type) for field in fields(Config)}
    for name in values:
        if name not in types:
            raise UsageError(f"the run's config has {name!r}, which this version does not know")
    default = as_json(Config())
    # How many workers there are by default depends on the fleet.
    found = {name: value for name, value in values.items() if value != default[name] or name == "workers"}
    for name in found:
        if "Path" in types[name]:
            found[name] = Path(found[name])
    if "endpoint" in found:
        found["endpoint"] = tuple(found["endpoint"])
    if "ray_resource" in found:
        found["ray_resource"] = tuple((name, amount) for name, amount in found["ray_resource"])
    if "host" in found:
        found["host"] = tuple(Host(**host) for host in found["host"])
    if "schemes" in values:
        found["schemes"] = tuple(
            SchemeConfig(scheme["name"], scheme["variant"], tuple(sorted(scheme["options"].items())))
            for scheme in values["schemes"]
        )
    return found


def as_json(config: Config) -> dict[str, Any]:
    """Return the config as plain JSON values, paths as text."""
    values = asdict(config)
    values["schemes"] = [{**asdict(scheme), "options": dict(scheme.options)} for scheme in config.schemes]
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Return a field's value as JSON knows it."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value

"""The configuration of an experiment: frozen dataclasses, filled from the command line or from a profile (`profile`).

Options given on the command line override the profile's, and the profile's override the defaults below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from collagebench.addresses import check_endpoints
from collagebench.errors import UsageError
from collagebench.hosts import Host, check_python, deal


@dataclass(frozen=True, slots=True)
class SchemeConfig:
    """One variant of a scheme: a row of the table."""

    name: str
    """The name of a built-in scheme, or an import path, `module:Class`."""
    variant: str
    """Unique in the experiment; the scheme's name by default."""
    options: tuple[tuple[str, Any], ...] = ()


def called(scheme: str) -> str:
    """Return the default variant of a scheme: its name, or for an import path the name of the class."""
    return scheme.rpartition(":")[2]


DEFAULT_SCHEMES = tuple(SchemeConfig(name, name) for name in ("none", "replication", "hedge", "hedge-idle", "collage"))


PLACEMENTS = ("spread", "pack", "strict-spread")
"""Placements of workers on the nodes of a cluster: evenly, on as few nodes as possible, or at most one per node."""
MOST = {"workers": 100_000, "requests": 10_000_000, "runs": 100_000}
"""Upper limits. Larger values are typing errors, which would fill the memory before they could finish."""
BUSIEST = 10.0
"""The highest utilisation; higher values are probably meant as percentages."""
ANSWERS = {"all": MOST["requests"], "none": 0}
"""Words that `accuracy` accepts, and the numbers of answers they stand for."""


@dataclass(frozen=True, slots=True)
class Config:
    """One experiment; the defaults are those of a run without options.

    Times are in seconds unless the name says otherwise.
    """

    schemes: tuple[SchemeConfig, ...] = DEFAULT_SCHEMES
    workers: int = 10
    fleet: str = "local"
    """Where workers run: one of `fleet.FLEETS`. Some of the following options apply to one fleet only."""
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
    """Download a public dataset if it is missing."""
    models: Path | None = None
    """A directory with a manifest; None for the shipped models."""
    precision: str | None = None
    """`float32` or `int8`; None for float32 if there are both."""
    arrivals: str = "poisson"
    """`poisson`, `constant`, `bursts` or the path of a log. The command line sets `rate` to the log's own if no load is
    given."""
    burst_factor: float | None = None
    """Rate in a burst / rate between bursts; None, here and below, for the default of `workload.arrivals`."""
    burst_share: float | None = None
    burst_for: float | None = None
    """Mean seconds of a burst."""
    rate: float | None = None
    """Requests per second; None to derive it from `utilisation`."""
    utilisation: float | None = None
    """Rate x mean service time / workers, without redundancy; None for 0.5 if there is no rate either."""
    requests: int = 250
    runs: int = 10
    warmup: float = 0.05
    """The share of requests, the first of each run, that statistics leave out."""
    stragglers: str = "collage-trace"
    time_scale: float | None = None
    """Factor for drawn seconds; None for 0.2, or 1 for a recorded profile or a trace."""
    straggler_mode: str | None = None
    """`floor`, `add` or `scale`; None, here and below, for the default of these stragglers."""
    persistence: float | None = None
    """Mean seconds that a worker stays slow; 0 to draw each task's slowness independently."""
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
    """`real` runs the model in the workers; `emulated` only occupies them for the time of an inference."""
    compute_time: float | None = None
    """Seconds of the single's inference if inferences are not run; other models' follow from their operation counts.
    None to measure all of them on this machine beforehand."""
    accuracy: int = 50_000
    """The most answers of each run that are classified if workers do not compute; more are sampled at random."""
    deadline: float = 10.0
    """Seconds after which a task without a reply is lost."""
    slo_ms: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = str(getattr(self, field.name))
            try:
                value.encode()
            except UnicodeEncodeError:  # it could be used, but not recorded
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
                owner = self.schemes[variants.index(variant)].name
                raise UsageError(
                    f"a variant's name must not be {variant!r}, which is a row of every report: give {owner} another "
                    "`variant` in a profile"
                )


def option(name: str) -> str:
    """Return a field's name on the command line and in profiles: `time_scale` is `time-scale`, `slo_ms` is `slo`."""
    return name.removesuffix("_ms").replace("_", "-")


def from_json(values: dict[str, Any]) -> dict[str, Any]:
    """Convert the output of `as_json` back to values by field, without those that equal the default.

    Raises:
        UsageError: a field is unknown to this version, or has not the form that `as_json` gives it.
    """
    try:
        return _from_json(values)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UsageError("the run's config was changed or is damaged: start the run again in a new directory") from None


def _from_json(values: dict[str, Any]) -> dict[str, Any]:
    types = {field.name: str(field.type) for field in fields(Config)}
    for name in values:
        if name not in types:
            raise UsageError(f"the run's config has {name!r}, which this version does not know")
    default = as_json(Config())
    # The default number of workers depends on the fleet.
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
    """Return the config as plain JSON values, with paths as strings."""
    values: dict[str, Any] = plain(config)
    return values


def plain(value: Any) -> Any:
    """Return a value made of plain JSON types; whatever JSON does not have, such as a path, as a string."""
    if isinstance(value, SchemeConfig):
        return plain({"name": value.name, "variant": value.variant, "options": dict(value.options)})
    if isinstance(value, (Config, Host)):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)

"""A worker's specification (its index in the fleet and the models that it serves), and disturbances of workers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from collagebench.errors import ModelError, UsageError
from collagebench.stragglers.causes import LOADS, NATURAL, Kind, Load

Compute = Literal["real", "emulated"]
"""`real` runs the model; `emulated` keeps the worker busy for the injected time without loading or running a model."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model that a worker serves."""

    name: str
    """The model's name in requests."""
    path: str
    sha256: str
    """The expected SHA-256 of the file; the client compares it with that of what the worker actually loaded."""
    input: tuple[int, int, int]
    """Height, width and channels of one input image."""
    dtype: str = "uint8"
    """Type of the input values: `uint8`, or `float32` for a model that takes coded images."""
    output: tuple[int, ...] = ()
    """Shape of its output for one input; may be empty. This and the following fields are for servers that already
    run."""
    role: str = "single"
    """The model's role in schemes."""
    batch: int = 1
    """Most inputs in a task."""

    def read(self) -> bytes:
        """Return the file's content.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise ModelError(f"model file {self.path} cannot be read ({error.strerror}); export it again") from None


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker."""

    index: int
    """Unique in its fleet."""
    models: tuple[ModelFile, ...]


def to_json(spec: WorkerSpec) -> dict[str, Any]:
    """Return `spec` as plain JSON values."""
    return asdict(spec)


def from_json(data: dict[str, Any]) -> WorkerSpec:
    """Return the spec that `to_json` wrote."""
    return WorkerSpec(data["index"], tuple(map(_model, data["models"])))


def _model(data: dict[str, Any]) -> ModelFile:
    return ModelFile(**{**data, "input": tuple(data["input"]), "output": tuple(data.get("output", ()))})


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A natural cause of slowness, in effect on the machines of some workers until `calm`.

    Raises:
        UsageError: a value makes no sense.
    """

    kind: Kind
    """`stop`: a worker is stopped now and then; `corunner`: a load shares its core; `throttle`: it gets only a share
    of a core; `traffic`: its machine transfers data."""
    workers: tuple[int, ...]
    """Indices of the disturbed workers."""
    seed: int = 0
    run: int = 0
    """The times of `stop` depend only on `seed`, `run` and the worker's index."""
    stop_every: float = 2.0
    """Mean seconds from the end of a stop to the next stop; the gaps are exponentially distributed."""
    stop_for: float = 0.3
    """Seconds that every stop lasts."""
    load: Load = "cpu"
    """The kind of load that the co-runner makes."""
    quota: float = 0.25
    """Share of a core that a throttled worker gets."""
    period_ms: float = 10.0
    """Length of the period to which `quota` applies."""
    transfers: int = 2
    """Number of concurrent transfers for each worker."""
    transfer_mb: float = 128.0
    """Size of each transfer, in 10**6 bytes."""

    def __post_init__(self) -> None:
        for name in ("stop_every", "stop_for", "period_ms", "transfers", "transfer_mb", "quota"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} is {getattr(self, name)} for the disturbance {self.kind}; it must be above 0")
        for name, known in (("kind", NATURAL), ("load", LOADS)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} of a disturbance is {getattr(self, name)!r}; it must be {' or '.join(known)}")

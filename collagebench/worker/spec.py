"""What a worker is told to be: its place in the fleet and the models that it serves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Compute = Literal["real", "emulated"]
"""`real` runs the model; `emulated` keeps the worker for the injected time without loading or running anything."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model that a worker serves."""

    name: str
    """The name that a request calls it by."""
    path: str
    sha256: str
    """What the file's content must hash to; the client compares it with what the worker really loaded."""
    input: tuple[int, int, int]
    """Height, width and channels of one input image."""
    dtype: str = "uint8"
    """Of its values: `uint8`, or `float32` for a model that takes coded images."""


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
    models = (ModelFile(**{**model, "input": tuple(model["input"])}) for model in data["models"])
    return WorkerSpec(data["index"], tuple(models))

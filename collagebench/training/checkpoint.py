"""Checkpoints: everything that the next epoch of a training needs, written atomically."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from collagebench.errors import CollagebenchError, ModelError, OutputError, first_line
from collagebench.models.architecture import Architecture, fields_of
from collagebench.models.foreign import Borrowed, Foreign
from collagebench.models.network import Network
from collagebench.models.weights import quietly_loaded
from collagebench.ordinary import ordinary
from collagebench.training.recipe import Recipe
from collagebench.whole import write_whole

SCHEMA = 6
TYPES: dict[str, type | tuple[type, ...]] = {
    **{"classes": tuple, "epoch": int, "network": dict, "optimizer": dict, "log": list, "used": (int, float)},
    **dict.fromkeys(("last", "muon"), (dict, type(None))),
}
"""The types of a checkpoint's fields, besides its architecture and recipe."""


@dataclass(slots=True)
class Checkpoint:
    """A network after some epochs, its recipe and log, and the optimizers' state from which to continue."""

    architecture: Architecture | Borrowed
    recipe: Recipe
    classes: tuple[str, ...]
    epoch: int
    """Epochs completed."""
    network: dict[str, Any]
    """The weights that are validated and exported; averaged if the recipe says so."""
    optimizer: dict[str, Any]
    log: list[dict[str, float]]
    """One row for each validated epoch."""
    used: float = 0.0
    """Seconds of training so far."""
    last: dict[str, Any] | None = None
    """The weights of the last step, from which to continue, if those in `network` are averaged; else None."""
    muon: dict[str, Any] | None = None
    """The state of Muon, if the recipe uses it."""

    @property
    def name(self) -> str:
        """The stem of its files' names: `shapes-single`, `shapes-collage-3x3`, `shapes-parity-k2-addition`."""
        return name_of(self.recipe, self.architecture)

    def restored(self) -> Network | Foreign:
        """Return the network with its trained weights, ready to infer."""
        network = made(self.architecture)
        network.load_state_dict(self.network)
        network.eval()
        return network

    def weights_for(self, architecture: Architecture | Borrowed) -> dict[str, Any]:
        """Return the weights, renamed for another architecture by the stage of each layer and its place in the stage.

        So a network with one layer more or fewer can start from all the other layers.
        """
        if isinstance(architecture, Borrowed) or isinstance(self.architecture, Borrowed):
            return self.network
        index = {place: i for i, place in enumerate(_places(architecture))}
        weights = {key: value for key, value in self.network.items() if not key.startswith("trunk.")}
        for i, place in enumerate(_places(self.architecture)):
            if place in index:
                old, new = f"trunk.{i}.", f"trunk.{index[place]}."
                weights |= {
                    new + key.removeprefix(old): self.network[key] for key in self.network if key.startswith(old)
                }
        return weights


def _places(architecture: Architecture) -> list[tuple[int, int]]:
    """Return the stage of each layer of the trunk, and its place in the stage."""
    return [(stage, layer) for stage, depth in enumerate(architecture.depths) for layer in range(depth + 1)]


def made(architecture: Architecture | Borrowed) -> Network | Foreign:
    """Return an untrained network; raises the errors of `Borrowed.made`."""
    return architecture.made() if isinstance(architecture, Borrowed) else Network(architecture)


def name_of(recipe: Recipe, architecture: Architecture | Borrowed) -> str:
    """Return the name of a training's files and of its exported model."""
    return f"{recipe.dataset}-{architecture.name}"


def put(path: Path, content: bytes) -> None:
    """Write a file of a training or an export atomically.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); free some space or choose another --out"
        ) from None


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint atomically.

    Raises:
        OutputError: it cannot be written.
    """
    buffer = io.BytesIO()
    content = {field: getattr(checkpoint, field) for field in Checkpoint.__slots__}
    content |= {"architecture": checkpoint.architecture.as_dict(), "recipe": checkpoint.recipe.as_dict()}
    torch.save({"schema": SCHEMA, **content}, buffer)
    put(path, buffer.getvalue())


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; raises the errors of `open_checkpoint`."""
    return open_checkpoint(path)[0]


def open_checkpoint(path: Path) -> tuple[Checkpoint, str]:
    """Read a checkpoint and return it with the sha256 of its file, which is read only once: a training may replace it.

    Raises:
        ModelError: it is missing, damaged, of a newer version, or not made by `collagebench train`.
    """
    try:
        stored = ordinary(path).read_bytes()
    except FileNotFoundError:
        raise ModelError(f"there is no checkpoint {path}; `collagebench train` makes one") from None
    except OSError as error:
        raise ModelError(f"checkpoint {path} cannot be read ({error.strerror})") from None
    try:
        content = quietly_loaded(io.BytesIO(stored))
        if zipfile.is_zipfile(io.BytesIO(stored)) and zipfile.ZipFile(io.BytesIO(stored)).testzip():
            raise zipfile.BadZipFile  # torch itself does not look at the checksums
    except Exception:  # torch's unpickler raises various exceptions
        raise ModelError(f"checkpoint {path} is damaged or not a checkpoint; train it again") from None
    if not (isinstance(content, dict) and isinstance(content.get("schema"), int)):
        raise ModelError(
            f"{path} is not a checkpoint of `collagebench train`; weights of your own network are exported with "
            "--network"
        )
    if (schema := content.pop("schema")) > SCHEMA:
        raise ModelError(
            f"checkpoint {path} has schema {schema}, but this version reads {SCHEMA}: upgrade collagebench"
        )
    try:
        fields = fields_of(content.pop("architecture"))
        architecture = (Borrowed if "resize" in fields else Architecture)(**fields)
        recipe = Recipe(**content.pop("recipe"))
        checkpoint = Checkpoint(architecture=architecture, recipe=recipe, **content)
        if not all(isinstance(getattr(checkpoint, field), type_) for field, type_ in TYPES.items()):
            raise TypeError
        if not all(isinstance(row, dict) for row in checkpoint.log):
            raise TypeError
    except Exception as error:  # a damaged value may raise anything
        raise _unfit(path, error) from None
    try:
        checkpoint.restored()
    except Exception as error:  # so may a network of one's own
        if isinstance(architecture, Borrowed):
            raise ModelError(
                f"checkpoint {path} is of {architecture.source}, which cannot be made here ({first_line(error)})"
            ) from None
        raise _unfit(path, error) from None
    return checkpoint, hashlib.sha256(stored).hexdigest()


def _unfit(path: Path, error: Exception) -> ModelError:
    ours = isinstance(error, CollagebenchError)
    reason = first_line(error) if ours else "a value or a weight is missing or of another kind"
    return ModelError(f"checkpoint {path} does not fit this version's networks ({reason}); train it again")

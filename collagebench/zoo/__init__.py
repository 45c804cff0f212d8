"""Model directories: ONNX files and a `manifest.json` that describes each of them.

The package ships one such directory (`SHIPPED`); `collagebench export` writes others. Only this package reads them.

Every model takes one input, `image`, [batch, height, width, 3], RGB, on a scale of 0 to 255; all preprocessing is
inside the graph. Its dtype is uint8, or float32 for images that were added up or coded (`Model.dtype`). Every model
gives one output, `logits`, float32 [batch, classes]. For role `collage` it is [batch, grid * grid, classes], cells in
row-major order, or, with a detection head, [batch, boxes, 5 + classes] as in `coding.boxes`.

The roles: `single` classifies an image, and `collage` a mosaic of images; `backup` is a smaller single; `parity` gives
the sum of a single's outputs for k images combined by a code; `coded` is a single that takes coded images.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from collagebench.errors import ModelError, OutputError
from collagebench.kinds import read_json
from collagebench.ordinary import ordinary
from collagebench.whole import write_together
from collagebench.zoo.advice import how_to_make, other_grids, unknown_classes
from collagebench.zoo.checks import REMEDY, SCHEMA, check_manifest

SHIPPED = Path(__file__).parent
MANIFEST = "manifest.json"
TRAITS = ("grid", "head", "k", "code", "precision", "dataset", "name")
"""Fields of a model that a scheme may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One entry of a manifest: what a model file is, where it is and how accurate it is.

    `sha256`, `bytes` and the accuracy keep their empty defaults until the file is measured and written.
    """

    name: str
    """Unique in its directory, for example `shapes-collage-3x3`."""
    role: str
    """What schemes call it: `single`, `collage`, `backup`, `parity` or `coded`."""
    grid: int | None
    """Cells along one side of the collage; None for a single."""
    dataset: str
    classes: tuple[str, ...]
    input: tuple[int, int, int]
    """Height, width and channels of the model's own input, in pixels."""
    image: tuple[int, int, int]
    """Height, width and channels of one image of the dataset as the model was trained on it, in pixels."""
    file: str
    sha256: str = ""
    bytes: int = 0
    parameters: int
    macs: int
    """Multiply-accumulate operations of one inference (a whole collage counts once)."""
    accuracy: float = 0.0
    """Share of held-out images classified correctly. For a collage, of the cells of full mosaics. For a parity, of its
    images, each decoded as the parity's output minus the single's outputs for the others."""
    accuracy_images: int = 0
    """The number of images (cells) that `accuracy` was measured on."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """The arguments of its training: seed, epochs, architecture."""
    directory: Path = SHIPPED
    k: int | None = None
    """Images that one parity input combines; None for other roles."""
    code: str | None = None
    """How a parity input combines them, `addition` or `concatenation`; None for other roles."""
    precision: str = "float32"
    """`float32`, or `int8` if weights and activations were quantised."""
    head: str | None = None
    """How a collage answers: with the logits of each cell (`grid`, also if a manifest does not say) or with boxes
    (`detection`); None for other roles."""
    boxes: int | None = None
    """The number of boxes in one output of a detection head; None for other models."""

    def __post_init__(self) -> None:
        if self.role == "collage" and self.head is None:
            object.__setattr__(self, "head", "grid")

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the output for one input."""
        if self.boxes is not None:
            return self.boxes, 5 + len(self.classes)
        return (len(self.classes),) if self.grid is None else (self.grid**2, len(self.classes))

    @property
    def dtype(self) -> str:
        """The dtype of its input: `uint8`, or `float32` for images that were added up or coded."""
        return "float32" if self.role == "coded" or self.code == "addition" else "uint8"

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.directory / self.file

    @property
    def is_there(self) -> bool:
        """Whether the ONNX file exists."""
        try:
            return self.path.is_file()
        except OSError:  # its name is too long, or its directory may not be searched
            return False


def load(directory: Path = SHIPPED) -> list[Model]:
    """Read a directory's manifest.

    A model whose file is missing is left out if a present file serves the same purpose.

    Raises:
        ModelError: the manifest is missing, unreadable or invalid, or was written by a newer version.
    """
    path = directory / MANIFEST
    try:
        data = read_json(path)
    except FileNotFoundError:
        raise ModelError(
            f"{directory} holds no {MANIFEST}; `collagebench export --out {shlex.quote(str(directory))}` makes one"
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ModelError(f"{path} is not a manifest of models ({error}); {REMEDY}") from None
    check_manifest(data, path)
    models = [_from_json(entry, directory) for entry in data["models"]]
    there = {_part(model) for model in models if model.is_there}
    return [model for model in models if model.is_there or _part(model) not in there]


def _from_json(entry: dict[str, Any], directory: Path) -> Model:
    shapes = {key: tuple(entry[key]) for key in ("classes", "input", "image")}
    return Model(**{**entry, **shapes, "directory": directory})


def _part(model: Model) -> tuple[Any, ...]:
    """Return the purpose of a model: a directory needs only one model for each."""
    return model.role, model.grid, model.head, model.k, model.code, model.precision, model.classes


def save(models: Iterable[Model], directory: Path, files: Mapping[Path, bytes] | None = None) -> None:
    """Write the manifest of `directory` atomically, and the model `files` that it describes.

    Raises:
        OutputError: one of them cannot be written; all are as before.
    """
    entries = []
    for model in models:
        entry = asdict(model)
        del entry["directory"]
        entries.append(entry)
    path = directory / MANIFEST
    try:
        manifest = f"{json.dumps({'schema': SCHEMA, 'models': entries}, indent=1)}\n".encode()
        write_together({**(files or {}), path: manifest})
    except OSError as error:
        raise OutputError(
            f"{error.filename} cannot be written ({error.strerror}); free some space or choose another --out"
        ) from None


def find(models: Iterable[Model], role: str, *, grid_option: bool = True, **traits: Any) -> Model:
    """Return the one model that has this role and these traits, such as `grid=3` or `k=2, code="addition"`.

    Of models that differ in precision or head, it is the one in float32, with a grid head, unless the traits ask for
    another, such as `precision="int8"`. A message advises another grid if there is an option for it, `grid_option`.

    Raises:
        ModelError: there is no such model, or there are several.
    """
    models = list(models)
    fits = [model for model in models if model.role == role and all(getattr(model, t) == v for t, v in traits.items())]
    for trait, usual in (("precision", "float32"), ("head", "grid")):
        if len(fits) > 1 and trait not in traits:
            fits = [model for model in fits if getattr(model, trait) == usual] or fits
    if len(fits) == 1:
        return fits[0]
    wanted = " ".join([role, *(f"{trait} {value}" for trait, value in traits.items())])
    where = models[0].directory if models else "the model directory"
    if fits and not any(model.is_there for model in fits):
        files = ", ".join(model.file for model in fits)
        raise ModelError(
            f"the files of all models for {wanted} in {where} are missing: {files}; export one of them again"
        )
    names = ", ".join(model.name for model in fits or models) or "none"
    if fits:
        raise ModelError(
            f"{where} holds several models for {wanted}: {names}; delete the files of all but one, or export the "
            "others into another --out"
        )
    out = models[0].directory if models and models[0].directory != SHIPPED else None
    others = other_grids(models, traits) if grid_option else ""
    raise ModelError(
        f"there is no model for {wanted} in {where}; it holds: {names}; "
        f"{how_to_make(role, traits, models, out)}{others}"
    )


def fitting(models: Iterable[Model], classes: tuple[str, ...]) -> list[Model]:
    """Return the models with exactly these classes, in this order.

    Raises:
        ModelError: there is no such model.
    """
    models = list(models)
    if fits := [model for model in models if model.classes == classes]:
        return fits
    where = "the package" if not models or models[0].directory == SHIPPED else str(models[0].directory)
    raise ModelError(unknown_classes(models, classes, where))


def verified(model: Model) -> bytes:
    """Return the content of the model file, checked against the manifest.

    Raises:
        ModelError: the file is missing, unreadable, or differs in length or sha256 from the manifest.
    """
    try:
        content = ordinary(model.path).read_bytes()
    except OSError as error:
        raise ModelError(f"model file {model.path} cannot be read ({error.strerror}); export it again") from None
    if len(content) != model.bytes:
        raise ModelError(
            f"model file {model.path} has {len(content)} bytes, but its manifest says {model.bytes}: it is truncated "
            "or was replaced; export it again"
        )
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise ModelError(f"model file {model.path} does not match the sha256 in its manifest; export it again")
    return content

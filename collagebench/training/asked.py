"""What a training was asked for: its images, and a network with layers of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from collagebench.errors import UsageError
from collagebench.models.architecture import Architecture, usual_canvas, usual_layers
from collagebench.workload.dataset import Dataset, open_dataset
from collagebench.workload.imagefolder import ImageFolder

if TYPE_CHECKING:
    from collagebench.training.checkpoint import Checkpoint

MOST_PIXELS = 16384
"""Along a side that images are brought to."""


def training_images(dataset: str, data: Path | None, size: int | None, download: bool) -> Dataset:
    """Open the training images, where there are test images of the same classes as well.

    Raises:
        DataError: there are none, or a test image is none.
        UsageError: they are not divided into both, or classes differ.
    """
    if size is not None and not 1 <= size <= MOST_PIXELS:
        raise UsageError(f"--size must be a number of pixels from 1 to {MOST_PIXELS}, not {size}")
    images = open_dataset(dataset, data, "train", (size, size) if size else None, download=download)
    if not isinstance(images, ImageFolder):
        return images
    if images.split is None:
        raise UsageError(
            f"{data} is not divided into train/ and test/; training needs both, so that accuracy is measured on images "
            "that the model has not seen"
        )
    tests = open_dataset(dataset, data, "test")
    tested = tests.classes
    for part, classes, others in (("train", images.classes, tested), ("test", tested, images.classes)):
        if alone := [one for one in classes if one not in others]:
            raise UsageError(f"class folder {alone[0]} is only in {data}/{part}; train/ and test/ need the same ones")
    if isinstance(tests, ImageFolder):
        tests.glance()  # an export hours later would be late to find one that is no image
    return images


def own_layers(
    role: str, images: Dataset, kind: dict[str, Any], shape: dict[str, Any], like: Checkpoint | None
) -> Architecture:
    """Return the architecture of our layers that was asked for: of what `kind` and `shape` do not say, what is usual.

    `like` is the single that a parity has the layers of, unless some of its own were named.

    Raises:
        UsageError: there is no such network.
    """
    image, grid, canvas = images.size[:2], kind["grid"], kind["canvas"]
    usual: dict[str, Any] = {"canvas": None}
    if role == "collage":
        grid = 3 if grid is None else grid
        usual = {"canvas": usual_canvas(image)}
    elif role == "parity":
        usual |= {"k": 2, "code": "addition"}
    usual |= (
        {key: getattr(like.architecture, key) for key in shape}
        if like
        else usual_layers(role, grid, image, shape["layers"])
    )
    said = kind | shape | {"grid": grid, "canvas": (canvas, canvas) if canvas is not None else None}
    given = {key: value for key, value in said.items() if value is not None}
    return Architecture(role=role, classes=len(images.classes), image=image, **(usual | given))

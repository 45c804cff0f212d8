"""The images and the built-in layers that a training was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from collagebench.errors import UsageError
from collagebench.models.architecture import Architecture, usual_canvas, usual_layers
from collagebench.terms import MOST_PIXELS
from collagebench.workload.dataset import Dataset, open_dataset
from collagebench.workload.imagefolder import ImageFolder

if TYPE_CHECKING:
    from collagebench.training.checkpoint import Checkpoint


def training_images(dataset: str, data: Path | None, size: int | None, download: bool) -> Dataset:
    """Open the training images, and check that there are test images of the same classes.

    Raises:
        DataError: there are no images, or a test file is not an image.
        UsageError: the images are not divided into train/ and test/, or the classes differ.
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
        tests.glance()  # or the export, hours later, would find a file that is not an image
    return images


def own_layers(
    role: str, images: Dataset, kind: dict[str, Any], shape: dict[str, Any], like: Checkpoint | None
) -> Architecture:
    """Return the requested architecture of built-in layers; values missing in `kind` and `shape` have their defaults.

    `like` is the single whose layers a parity takes by default.

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

"""Labelled images, which requests ask a model to classify; the labels tell whether an answer is right.

A dataset knows its number of images and their labels, but generates or reads pixels only when they are needed. All
images of a dataset have the same size, because a model's input has a fixed size.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import UsageError

NAMES = ("shapes", "cifar10", "cifar100", "fashion-mnist", "imagefolder")
HELD_OUT = 50
"""One training image in this many is held out, for validation and tuning; the test split is for results."""

FINGERPRINTED = 500
"""Number of evenly spaced images whose pixels are part of a fingerprint."""


class Dataset(Protocol):
    """Labelled RGB images of one size, read by index."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; a label is an index into them."""

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels (3) of every image, in pixels."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """The true class of every image: [n]."""

    def __len__(self) -> int:
        """Return the number of images."""

    def load(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `indices` [k] as RGB: [k, height, width, 3]."""


def fingerprint(dataset: Dataset, files: bool = True) -> str:
    """Return the SHA-256 of a dataset's classes, image size, labels and up to FINGERPRINTED images.

    Of an image folder it is also that of all files' names and sizes, so that replaced images are noticed; without
    `files`, it is that of older versions, which the bundled models have.

    Raises:
        DataError: an image cannot be read.
    """
    from collagebench.workload.imagefolder import ImageFolder

    digest = hashlib.sha256(repr((dataset.classes, dataset.size)).encode())
    digest.update(dataset.labels.astype("<i8").tobytes())
    if files and isinstance(dataset, ImageFolder):
        digest.update(repr(list(dataset.sizes())).encode())
    some = np.unique(np.linspace(0, len(dataset) - 1, FINGERPRINTED).astype(np.int64))
    for part in np.array_split(some, -(-len(some) // 10)):  # few at a time, since images may be large
        digest.update(np.ascontiguousarray(dataset.load(part)).tobytes())
    return digest.hexdigest()


def chosen(name: str | None, data: Path | None) -> str:
    """Return the name of the dataset; if none is given, it is an image folder if a directory is, or else `shapes`."""
    if name is not None:
        return name
    return "shapes" if data is None else "imagefolder"


def open_dataset(
    name: str,
    data: Path | None = None,
    split: str = "test",
    size: tuple[int, int] | None = None,
    download: bool = False,
) -> Dataset:
    """Open the dataset called `name`.

    Args:
        name: one of NAMES.
        data: directory of an imagefolder, or of a public dataset's files (None: ~/.cache/collagebench).
        split: `train` or `test`.
        size: height and width in pixels to which an imagefolder's images are scaled (None: those of its first image).
        download: whether to download a public dataset to `data`.

    Raises:
        UsageError: the name or split is unknown, or the options do not fit the dataset.
        DataError: the data cannot be read.
        MissingExtra: a public dataset needs torchvision.
    """
    if split not in ("train", "test"):
        raise UsageError(f"unknown split {split!r}; the splits are train and test")
    if name not in NAMES:
        raise UsageError(f"unknown dataset {name!r}; the datasets are {', '.join(NAMES)}")
    if download and name in ("shapes", "imagefolder"):
        raise UsageError(f"dataset {name} cannot be downloaded; drop --download")
    if name == "shapes":
        from collagebench.workload.shapes import SIZE, Shapes

        if data is not None:
            raise UsageError(
                f"the shapes dataset is generated and reads no data; drop --data {data}, or use --dataset imagefolder"
            )
        if size is not None and size != SIZE[:2]:
            raise UsageError(f"shapes images are {SIZE[0]}x{SIZE[1]} pixels, but {size[0]}x{size[1]} were asked for")
        return Shapes(split)
    if name == "imagefolder":
        from collagebench.workload.imagefolder import ImageFolder

        if data is None:
            raise UsageError("dataset imagefolder needs --data DIR, a directory with one folder of images per class")
        return ImageFolder(data, split, size)
    from collagebench.workload.public import Public

    return Public(name, data, split, size, download)

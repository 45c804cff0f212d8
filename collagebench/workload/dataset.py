"""Images with labels: what a request asks a model to classify, and what the answer is judged by.

A dataset knows how many images it has and what their labels are; it makes or reads pixels only when they are asked for.
All images of a dataset have one size, because a model's input has one.
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
"""One training image in this many is kept out of training, to watch and to tune by; the test split is for results."""

FINGERPRINTED = 500
"""Images, evenly spread, whose pixels tell a dataset from others with the same labels."""


class Dataset(Protocol):
    """Labelled RGB images of one size, read by index."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

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
        """How many images there are."""

    def load(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `indices` [k] as RGB: [k, height, width, 3]."""


def fingerprint(dataset: Dataset) -> str:
    """Return what tells a dataset from others: the sha256 of its classes, its labels and up to FINGERPRINTED images.

    Raises:
        DataError: an image cannot be read.
    """
    digest = hashlib.sha256(repr((dataset.classes, dataset.size)).encode())
    digest.update(dataset.labels.astype("<i8").tobytes())
    some = np.unique(np.linspace(0, len(dataset) - 1, FINGERPRINTED).astype(np.int64))
    for part in np.array_split(some, -(-len(some) // 10)):  # however large images are
        digest.update(np.ascontiguousarray(dataset.load(part)).tobytes())
    return digest.hexdigest()


def open_dataset(
    name: str,
    data: Path | None = None,
    split: str = "test",
    size: tuple[int, int] | None = None,
    download: bool = False,
) -> Dataset:
    """Open the dataset called `name`.

    `data` is the directory of an imagefolder, or of a public dataset's files (None: ~/.cache/collagebench), where they
    are downloaded to if `download` says so; `split` is `train` or `test`; `size` is the height and width in pixels that
    an imagefolder's images are brought to (None: the size of its first image).

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
            raise UsageError(f"the shapes dataset is generated and reads no data; drop --data {data}")
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

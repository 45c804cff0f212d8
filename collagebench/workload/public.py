"""`cifar10`, `cifar100` and `fashion-mnist`: public images, read by torchvision, which the train extra installs.

The files are in torchvision's own directory layout, and are downloaded only on request. The images of Fashion-MNIST are
grey and 28x28 pixels. They get three equal channels and a border of two black pixels, the colour of their background.
So no pixel changes, and the size, 32, is divisible by the strides of the networks.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError, MissingExtra, UsageError

TORCHVISION = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "fashion-mnist": "FashionMNIST"}
"""The names of torchvision's classes."""
DIRECTORIES = {
    "cifar-10-batches-py": "cifar10", "cifar-100-python": "cifar100", "FashionMNIST": "fashion-mnist",
}  # fmt: skip
"""Their directories, by which files of them are recognised where images in folders are expected."""
SIZE = (32, 32, 3)
UNFRAMED = (28, 28)
"""Height and width of the images of Fashion-MNIST without their border."""
CACHE = "~/.cache/collagebench"


class Public:
    """The images of one split of a public dataset, in memory."""

    size = SIZE

    def __init__(self, name: str, data: Path | None, split: str, size: tuple[int, int] | None, download: bool) -> None:
        """Read the split from `data` (None: ~/.cache/collagebench), after downloading it there if `download` is set.

        Raises:
            MissingExtra: torchvision is not installed.
            UsageError: `size` is not the size of the images.
            DataError: the files are missing, damaged, or cannot be downloaded.
        """
        if size is not None and size != SIZE[:2]:
            raise UsageError(f"{name} images are {SIZE[0]}x{SIZE[1]} pixels, but {size[0]}x{size[1]} were asked for")
        root = (data or Path(CACHE)).expanduser()
        found = _read(name, root, split, download)
        self.name = name
        self.classes = tuple(found.classes)
        self.labels: NDArray[np.int64] = np.asarray(found.targets).astype(np.int64)
        pixels = np.asarray(found.data)
        if pixels.ndim == 3:
            high, wide = ((side - own) // 2 for side, own in zip(SIZE[:2], pixels.shape[1:], strict=True))
            framed = np.pad(pixels, ((0, 0), (high, high), (wide, wide)))
            pixels = np.repeat(framed[..., np.newaxis], 3, axis=3)
        if pixels.shape != (len(self.labels), *SIZE):
            raise DataError(f"the files of {name} in {root} do not belong together; remove them and add --download")
        self._pixels: NDArray[np.uint8] = pixels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def load(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `indices` [k] as RGB: [k, 32, 32, 3]."""
        images: NDArray[np.uint8] = self._pixels[indices]
        return images


def _read(name: str, root: Path, split: str, download: bool) -> Any:
    """Return torchvision's dataset object of a split."""
    try:
        from torchvision import datasets
    except ImportError:
        raise MissingExtra(f"dataset {name} is read by torchvision: pip install 'collagebench[train]'") from None
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # a new NumPy warns that an old one pickled the files
        kind = getattr(datasets, TORCHVISION[name])
        if download:
            try:
                kind(root, train=split == "train", download=True)
            except (OSError, RuntimeError) as error:
                if isinstance(error, HTTPError):
                    error.close()  # it is the server's answer, too
                reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                raise DataError(
                    f"{name} cannot be downloaded to {root} ({reason}); try again, or fetch it by hand"
                ) from None
        try:
            return kind(root, train=split == "train")
        except (OSError, RuntimeError, ValueError, AssertionError, EOFError, KeyError, pickle.UnpicklingError) as error:
            raise DataError(
                f"there is no complete {name} in {root} ({_first_sentence(error)}); name its directory with --data, or "
                "add --download to fetch it"
            ) from None


def _first_sentence(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0].removesuffix(".")

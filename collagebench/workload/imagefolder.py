"""`imagefolder`: the user's images, DIR/<class>/<file>, in the layout that torchvision's ImageFolder reads.

Classes and files are sorted by name. A class also includes the images in subfolders of its folder. If DIR contains the
folders train/ and test/, each with class folders, the one for the split is used. Images are decoded only when needed.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.workload.public import DIRECTORIES

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
PARTS = {"train": "train", "training": "train"} | dict.fromkeys(
    ("test", "testing", "val", "valid", "validation"), "test"
)
"""Common names of the two parts, in lower case. Validation images count as test images here."""


class ImageFolder:
    """The images under a directory, with one folder per class."""

    name = "imagefolder"

    def __init__(self, data: Path, split: str = "test", size: tuple[int, int] | None = None) -> None:
        """List the images of `data`; `size` is the height and width to scale them to (None: those of the first image).

        Raises:
            DataError: there are no images, or the first one cannot be read.
        """
        _check_layout(data)
        self.data = data
        self.split = split if _is_split(data) else None
        """The part of `data` that is used; None if it is not divided into train/ and test/."""
        self._root = root = data / split if self.split else data
        folders = _folders(root)
        if not folders:
            raise DataError(f"{root} has no class folders; put the images of each class into a folder of its own there")
        self.classes = tuple(folder.name for folder in folders)
        for folder in folders:
            try:
                folder.name.encode()
            except UnicodeEncodeError:  # a manifest could not hold the name
                raise DataError(f"class folder {folder} has a name that is not UTF-8; rename it") from None
        self._files: list[Path] = []
        labels: list[int] = []
        for label, folder in enumerate(folders):
            files = _images_within(folder)
            if not files:
                raise DataError(_without_images(folder))
            self._files += files
            labels += [label] * len(files)
        self.labels = np.array(labels, dtype=np.int64)
        if size is None:
            with _opened(self._files[0]) as image:
                size = image.height, image.width
        self.size = (*size, 3)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._files)

    def load(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read the images at `indices` [k] as RGB: [k, height, width, 3].

        An image of another size is scaled with antialiasing until it covers `size`, and cropped to its centre.

        Raises:
            DataError: an image cannot be read.
        """
        from PIL import Image, ImageOps

        height, width, _ = self.size
        images = np.empty((len(indices), *self.size), dtype=np.uint8)
        for place, index in enumerate(indices):
            with _opened(self._files[index]) as image:
                if (image.width, image.height) != (width, height):
                    image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
                images[place] = np.asarray(image)
        return images

    def sizes(self) -> Iterator[tuple[bytes, int]]:
        """Yield the name of each file, from its class folder on, and its size in bytes.

        Raises:
            DataError: a file is missing.
        """
        for path in self._files:
            try:
                yield os.fsencode(path.relative_to(self._root)), path.stat().st_size
            except OSError as error:
                raise DataError(f"image {path} cannot be read ({error.strerror}); repair or remove it") from None

    def glance(self) -> None:
        """Check the header of every image, and its checksums if it has any, in a fraction of the time to decode it.

        A truncated image may pass.

        Raises:
            DataError: an image cannot be read.
        """
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for path in self._files:
                try:
                    with path.open("rb") as file, Image.open(file) as image:
                        image.verify()
                except Exception:  # decoders raise anything; an image that can still be decoded is fine
                    _opened(path)


def _opened(path: Path) -> Image:
    """Decode an image as upright RGB: of 16-bit channels, only the upper 8 bits are used; transparency is dropped."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they concern metadata and palettes, and do not name the file
            # A file that is opened here is closed even if Pillow fails before it knows the image.
            with path.open("rb") as file, Image.open(file) as image:
                image.load()
                try:
                    upright: Image.Image = ImageOps.exif_transpose(image)
                except MemoryError:
                    raise
                except Exception:  # EXIF data are broken, but not the pixels
                    upright = image
                if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
                    upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
                elif image.mode in ("I", "F"):
                    raise DataError("it has 32-bit pixels, and the value of white is unknown")
                return upright.convert("RGB")
    except Exception as error:  # decoders raise anything
        raise DataError(f"image {path} cannot be read ({_why(error)}); repair or remove it") from None


def _why(error: Exception) -> str:
    """Return in plain words why an image cannot be decoded."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, OSError) and error.strerror and error.errno != errno.EINVAL:  # that is for a place before 0
        return error.strerror
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is too little memory for it"
    if isinstance(error, Image.DecompressionBombError):
        return "it has, or pretends to have, far too many pixels"
    if isinstance(error, UnidentifiedImageError):
        return "it is empty, damaged at its beginning, or no image"
    return "it is cut off" if "truncated" in str(error).lower() else "it is damaged"


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"there is no directory {root}") from None
    except NotADirectoryError:
        raise DataError(
            f"{root} is not a directory; an imagefolder is a directory with one folder of images per class"
        ) from None
    except OSError as error:
        raise DataError(f"directory {root} cannot be read ({error.strerror})") from None


def _images(folder: Path) -> list[Path]:
    """Return the images directly in a folder, sorted."""
    try:
        return sorted(file for file in folder.iterdir() if _is_image(file))
    except OSError as error:
        raise DataError(f"directory {folder} cannot be read ({error.strerror})") from None


def _images_within(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders, sorted by folder and name like torchvision does."""
    try:
        found = list(filter(_is_image, _files_within(folder)))
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read ({error.strerror})") from None
    return sorted(found, key=lambda file: (str(file.parent), file.name))


def _files_within(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, without hidden ones.

    Links are followed, but every folder is visited only once.

    Raises:
        DataError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"directory {error.filename} cannot be read ({error.strerror})")

    seen: set[Path] = set()
    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(root)
        real = here.resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (here / name for name in files if not name.startswith("."))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _without_images(folder: Path) -> str:
    """Return an error message for a class folder without images that says what is in it, so that nothing is lost."""
    files = list(_files_within(folder))
    if not files:
        return f"class folder {folder} is empty; put its images there, or remove it"
    if folder.name in DIRECTORIES:
        return f"{folder} holds files of torchvision: add --dataset {DIRECTORIES[folder.name]}"
    kinds = sorted({file.suffix.lower() or "extensionless" for file in files})
    of = " and ".join(kinds) if len(kinds) < 3 else f"{', '.join(kinds[:3])} and other"
    return (
        f"class folder {folder} holds {of} files, but no images ({', '.join(sorted(SUFFIXES))}); convert them, or move "
        "the folder elsewhere"
    )


def _check_layout(data: Path) -> None:
    """Refuse a directory whose division into train/ and test/ is incomplete or wrong.

    Raises:
        DataError: a part is missing or has another name, the parts share a class folder, or images lie beside class
            folders.
    """
    parts = {part: data / part for part in ("train", "test")}
    divided = [part for part, root in parts.items() if root.is_dir() and _holds_classes(root)]
    missing = [part for part, root in parts.items() if not root.is_dir()]
    for folder in _folders(data) if missing else []:
        part = PARTS.get(folder.name.lower())
        if part in missing and not _images(folder) and _holds_classes(folder):
            raise DataError(
                f"{data} has class folders in {folder.name}/, but no {part}/: the parts must be called train/ and "
                f"test/; rename {folder} to {part}, or link it there"
            )
    if not divided:
        return
    if missing:
        more = (
            "move some images of each class there, so that accuracy is measured on images that no model has seen"
            if missing == ["test"]
            else f"training needs both; to measure only, use {parts['test']}"
        )
        raise DataError(f"{data} has class folders in {divided[0]}/, but no {missing[0]}/: {more}")
    inside = {part: {folder.resolve(): folder for folder in _folders(root)} for part, root in parts.items()}
    if twice := inside["train"].keys() & inside["test"].keys():
        one = min(twice)
        raise DataError(
            f"{inside['train'][one]} and {inside['test'][one]} are the same folder: images that a model was trained on "
            "do not measure its accuracy; put other images into one of them"
        )
    for root in parts.values():
        if stray := _images(root):
            raise DataError(
                f"image {stray[0]} lies beside class folders, or in place of them; move it into the folder of its class"
            )


def _holds_classes(root: Path) -> bool:
    """Return whether a folder contains folders with images."""
    return any(map(_images_within, _folders(root)))


def _is_split(data: Path) -> bool:
    """Return whether `data` is divided into train/ and test/, which are then not classes."""
    parts = [data / "train", data / "test"]
    return all(part.is_dir() and not _images(part) for part in parts)

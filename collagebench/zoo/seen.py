"""Whether models are about to be measured on the very images that they were trained on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from collagebench.errors import DataError
from collagebench.workload.dataset import Dataset, fingerprint
from collagebench.workload.imagefolder import ImageFolder
from collagebench.zoo import Model


def seen_in_training(models: Iterable[Model], images: Dataset) -> str | None:
    """Return a sentence about those of the models that were trained on these images, at this size; None without any.

    Only a folder that is not divided into train/ and test/ is looked at: of one that is, test/ is what is measured on.
    Nothing is said of one with images that cannot be read, which somebody else may never want to.
    """
    known = {model.name: model.recipe.get("images") for model in models if model.image == images.size}
    if not isinstance(images, ImageFolder) or images.split is not None or not any(known.values()):
        return None
    own = _fingerprint(images.data, (images.size[0], images.size[1]))
    if own is None:
        return None
    names = sorted({name for name, digest in known.items() if digest == own})
    if not names:
        return None
    were, their = ("was", "its") if len(names) == 1 else ("were", "their")
    return (
        f"these are the images that {' and '.join(names)} {were} trained on, so {their} accuracy is no estimate for "
        "others: measure on images that were kept out of training."
    )


@cache
def _fingerprint(data: Path, size: tuple[int, int]) -> str | None:
    """Return that of a folder's images at a size, once in a process: a study asks for each of its points."""
    try:
        return fingerprint(ImageFolder(data, size=size))
    except DataError:
        return None

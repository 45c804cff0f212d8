"""Whether models are measured on the images that they learnt from, or beside another single than they learnt from."""

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
        f"{' and '.join(names)} {were} trained on these very images, so {their} accuracy says little about other "
        "images: measure on images that were held out of training."
    )


def taught_by_another(models: Iterable[Model], beside: Iterable[Model]) -> str | None:
    """Return a sentence about parities among the models that learnt from no single `beside` them; None without any.

    What they answer fits the single that they learnt from, and no other. Nothing is said where it is not known what a
    single was exported from, or where it is a quantised one alone.
    """
    singles = [model for model in beside if model.role == "single" and model.precision == "float32"]
    taught = {model.name: model.recipe["teacher"] for model in models if _learnt(model)}
    names = sorted(name for name, teacher in taught.items() if not any(decodes(one, teacher) for one in singles))
    if not (singles and names):
        return None
    return (
        f"{' and '.join(names)} learnt from another single than {' and '.join(one.name for one in singles)}, which "
        "decodes the answers, so fewer are right: export the single that a parity learnt from, or train the parity "
        "again."
    )


def _learnt(model: Model) -> bool:
    return model.role == "parity" and model.recipe.get("teacher") is not None


def decodes(single: Model, teacher: str | None) -> bool:
    """Return whether a single is the one that a parity learnt from, `teacher`, as far as that is known.

    It goes by the sha256 of its file, or of the checkpoint that this was exported from, if its manifest says which.
    """
    return "checkpoint" not in single.recipe or teacher in (single.sha256, single.recipe["checkpoint"])


@cache
def _fingerprint(data: Path, size: tuple[int, int]) -> str | None:
    """Return that of a folder's images at a size, once in a process: a study asks for each of its points."""
    try:
        return fingerprint(ImageFolder(data, size=size))
    except DataError:
        return None

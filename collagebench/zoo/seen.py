"""Warnings: models measured on their own training images, and parities without the single they were trained with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from collagebench.errors import DataError
from collagebench.workload.dataset import Dataset, fingerprint
from collagebench.workload.imagefolder import ImageFolder
from collagebench.zoo import Model


def seen_in_training(models: Iterable[Model], images: Dataset) -> str | None:
    """Return a sentence about the models that were trained on these very images, at this size; None if there are none.

    Only an image folder without train/ and test/ is checked, because otherwise only test/ is measured on. There is no
    warning about a folder with unreadable images: the measurement itself may not need them.
    """
    known = {model.name: model.recipe.get("images") for model in models if model.image == images.size}
    if not isinstance(images, ImageFolder) or images.split is not None or not any(known.values()):
        return None
    own = _fingerprints(images.data, (images.size[0], images.size[1]))
    names = sorted({name for name, digest in known.items() if digest in own})
    if not names:
        return None
    were, their = ("was", "its") if len(names) == 1 else ("were", "their")
    return (
        f"{' and '.join(names)} {were} trained on these very images, so {their} accuracy says little about other "
        "images: measure on images that were held out of training."
    )


def taught_by_another(models: Iterable[Model], beside: Iterable[Model]) -> str | None:
    """Return a sentence about the parities whose teacher is none of the singles in `beside`; None without any.

    A parity's output fits only its teacher, the single that it was trained with. There is no warning if it is unknown
    which checkpoint a single was exported from, or if the only single is quantised.
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
    """Return whether a single is the `teacher` of a parity, as far as that is known.

    `teacher` is compared with the single's identity, and with the sha256 of its file, which older versions noted, and
    of the checkpoint that it was exported from. If the manifest names no checkpoint, the single counts as the teacher.
    """
    of = single.recipe
    return "checkpoint" not in of or teacher in (identity(single), single.sha256, of["checkpoint"])


def identity(model: Model) -> str:
    """Return a sha256 of what a model computes, as far as that is known, for what learns from it.

    The sha256 of a file changes with the images on which its accuracy was measured, so it is only used if nothing else
    is known, and for a quantised model.
    """
    return (network_of(model) if model.precision == "float32" else None) or model.sha256


def network_of(model: Model) -> str | None:
    """Return a sha256 of the network that a model was exported from, also if it was quantised; None if it is unknown.

    It is that of the checkpoint of a network trained here, and that of the recipe of an external network, which names
    its weights and preprocessing.
    """
    recipe = model.recipe
    if not (recipe.get("checkpoint") or recipe.get("weights")):
        return None
    if "epoch" in recipe:
        return str(recipe["checkpoint"])
    return hashlib.sha256(json.dumps([recipe, model.classes], sort_keys=True).encode()).hexdigest()


@cache
def _fingerprints(data: Path, size: tuple[int, int]) -> tuple[str, ...]:
    """Return the fingerprints of a folder's images at a size, with and without its files' names and sizes; none if they
    cannot be read. They are cached, as a sweep asks at each of its points."""
    try:
        images = ImageFolder(data, size=size)
        return fingerprint(images), fingerprint(images, files=False)
    except DataError:
        return ()

"""The training that a checkpoint began, and whether it is resumed with the same arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collagebench.errors import ModelError, UsageError
from collagebench.training.checkpoint import Checkpoint, load
from collagebench.zoo.advice import some_of

DIGESTS = ("teacher", "start", "images")
"""Fields that mostly hold a sha256, of which messages show the beginning."""
SHA256 = 64


def begun_at(path: Path, resume: bool, asked: dict[str, Any], classes: tuple[str, ...]) -> Checkpoint | None:
    """Return the checkpoint of the training that was begun at `path`; None if none was.

    `asked` are the fields of its architecture and recipe, and `classes` the classes of its images.

    Raises:
        UsageError: one was begun, but without `resume` or with other arguments, or only its log is there; the message
            says what to do.
        ModelError: the checkpoint is damaged, or holds a network without the state that its training needs to continue.
    """
    log = path.with_suffix(".csv")
    if not path.exists():
        if log.exists():
            raise UsageError(f"{log} exists, and this training would overwrite it; remove it, or choose another --out")
        return None
    if not resume:
        raise UsageError(f"{path} exists; add --resume to continue from it, or remove it and its log first")
    checkpoint = load(path)
    _see_that_it_is_the_same(checkpoint, asked, path)
    if checkpoint.classes != classes:
        own = some_of(checkpoint.classes, classes)
        raise UsageError(f"{path} was trained on other classes ({own}); use its own data")
    return checkpoint


def _see_that_it_is_the_same(checkpoint: Checkpoint, asked: dict[str, Any], path: Path) -> None:
    """Refuse to resume a training with other arguments than it began with; the message names the first."""
    for part in ("log", "optimizer"):
        if not getattr(checkpoint, part):
            raise ModelError(
                f"checkpoint {path} holds no {part}, without which its training cannot continue; remove it and its "
                "log, or choose another --out"
            )
    own, other = checkpoint.architecture.as_dict(), checkpoint.recipe.as_dict()
    if own.keys() - asked.keys():
        source = f"{own.get('torchvision') or own.get('network')}" if "resize" in own else "the built-in layers"
        raise UsageError(
            f"{path} was begun with {source}; to resume it, name --torchvision, --network or neither as before"
        )
    began = own | other
    if began["images"] is None:  # an older checkpoint
        began["images"] = asked["images"]
    for key in without_effect(began["role"], began.get("head"), bool(began["teacher"])):
        began[key] = asked[key]
    for key in sorted(asked, key=lambda key: key != "minutes"):  # first, as the epochs depend on them
        if (was := began[key]) != asked[key]:
            values = (one[:12] if key in DIGESTS and len(one or "") >= SHA256 else one for one in (was, asked[key]))
            told = "{} {}, not {}".format(key.replace("_", " "), *values)
            raise UsageError(f"{path} was begun with {told}; to resume it, {_again(key, was)}")


def without_effect(role: str, head: str | None, taught: bool) -> tuple[str, ...]:
    """Return the fields of a recipe about labels, teachers and missing images that have no effect."""
    alone = ("blanks",) if role in ("single", "backup") else ()
    if not taught:
        return ("distillation", "temperature", "teacher_sees", *alone)
    if role == "parity":
        return ("distillation", "temperature", "label_smoothing")
    return ("label_smoothing", *(("temperature",) if head == "detection" else ()), *alone)


def _square(size: Any) -> bool:
    return isinstance(size, list) and len(size) == 2 and size[0] == size[1]


def _again(key: str, was: Any) -> str:
    """Return how to ask for the value that a training began with."""
    sha256 = isinstance(was, str) and len(was) >= SHA256
    special = {
        "interpolation": "name the same --weights",
        "images": "use the images that it was begun with",
        "classes": "use the images that it was begun with",
        "image": f"add --size {was[0]}" if _square(was) else "drop --size, and use the images that it was begun with",
        "canvas": f"add --input {was[0]}" if _square(was) else "drop --input",
        "teacher": "name the same --single" if was else "add --no-distil, without --single",
        "start": f"name the same --{'start' if sha256 else 'weights'}" if was else "drop --start and --weights",
    }
    if key in special:
        return special[key]
    option = f"--{key.replace('_', '-')}"
    if was is None:
        return f"drop {option}"
    if isinstance(was, bool):
        return f"add {option}" if was else f"add --no-{option[2:]}"
    if isinstance(was, list):
        return f"add {option} {(' ' if key in ('mean', 'std') else ',').join(map(str, was))}"
    return f"add {option} {was}"

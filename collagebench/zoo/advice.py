"""Advice for when no model fits: sentences, and commands that can be copied as they are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collagebench.coding.mosaic import LARGEST_GRID
from collagebench.coding.parity import GRIDS, LARGEST_K
from collagebench.workload.dataset import NAMES

if TYPE_CHECKING:
    from collagebench.zoo import Model

SHOWN = 4
"""The most classes of a dataset that a message names."""


def how_to_make(role: str, traits: Mapping[str, Any], models: Sequence[Model], out: Path | None) -> str:
    """Return the commands that make a model which is not among `models`; unknown values are in capitals.

    `out` is the directory for the model; None for the default directory of the commands, which is assumed to be empty.
    """
    if impossible := _impossible(traits):
        return f"such a model cannot exist: {impossible}"
    if role == "coded" and any(model.role == "single" and "onnx" in model.recipe for model in models):
        return "the single takes only pixels, and coded images leave their range: use another scheme or network"
    dataset, data = _images(models, traits)
    place = ["--out", shlex.quote(str(out))] if out else []
    export = ["collagebench export", *(["--int8"] if traits.get("precision") == "int8" else []), *data, *place]
    single = f"`{' '.join(['collagebench train single', *dataset])}`, " if out is None else ""
    then = ", and use --models models" if out is None else ""
    if traits.get("precision") == "int8":
        return f"make one with {single}`{' '.join(export)}`{then}"
    kind = [f"--{trait} {traits[trait]}" for trait in ("grid", "head", "k", "code") if traits.get(trait)]
    kind = [option for option in kind if option != "--head grid"]
    train = ["collagebench train", "single" if role == "coded" else role, *kind, *dataset, *place]
    if role in ("single", "coded"):
        single = ""
    return f"make one with {single}`{' '.join(train)}` and `{' '.join(export)}`{then}"


def _impossible(traits: Mapping[str, Any]) -> str:
    """Return why no model can have these traits; an empty string if one can."""
    grid, k = traits.get("grid"), traits.get("k")
    if grid is not None and grid not in range(2, LARGEST_GRID + 1):
        return f"a collage has 2 to {LARGEST_GRID} cells along a side"
    if k is not None and k not in range(2, LARGEST_K + 1):
        return f"a parity input stands for 2 to {LARGEST_K} images"
    if traits.get("code") == "concatenation" and k not in (None, *GRIDS):
        return f"concatenation takes {' or '.join(map(str, GRIDS))} images"
    return ""


def _images(models: Sequence[Model], traits: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the options that name the images for `train`, and those for `export`."""
    names = {traits["dataset"]} if "dataset" in traits else {model.dataset for model in models}
    if len(names) != 1:
        return ["--dataset NAME"], []
    (name,) = names
    if name == "shapes":  # the default
        return [], []
    if name in NAMES and name != "imagefolder":
        return [f"--dataset {name}"], []
    data = ["--data DATA"]
    called = [f"--as {shlex.quote(name)}"] if name != "imagefolder" else []
    sizes = {model.image for model in models if model.dataset == name}
    sides = {side for height, width, _ in sizes for side in (height, width)}
    return [*data, *called, *(f"--size {side}" for side in sides if len(sides) == 1)], data


def other_grids(models: Sequence[Model], traits: Mapping[str, Any]) -> str:
    """Return the advice to use a collage that differs from the missing one only in its grid, if there is one."""
    if "grid" not in traits:
        return ""
    alike = {trait: value for trait, value in traits.items() if trait != "grid"}
    fits = [model for model in models if all(getattr(model, trait) == value for trait, value in alike.items())]
    grids = [str(grid) for grid in sorted({model.grid for model in fits if model.grid})]
    if len(grids) < 2:
        return f", or use --grid {grids[0]}, which exists" if grids else ""
    return f", or use --grid {', '.join(grids[:-1])} or {grids[-1]}, which exist"


def unknown_classes(models: Sequence[Model], classes: Sequence[str], where: str) -> str:
    """Return a message that no model has these classes, with how the classes of the nearest models differ."""
    named = some_of(classes)
    known = "; ".join(sorted({f"{model.dataset} ({_classes(model.classes)})" for model in models}))
    said = f"no model in {where} knows the {_classes(classes)} of this dataset ({named})"
    if models:
        nearest = max(models, key=lambda model: len(set(model.classes) & set(classes)))
        said += f"; those for {nearest.dataset} {_difference(nearest.classes, classes)}"
    return (
        f"{said}; it has models for: {known or 'nothing'}; train and export some, and name their directory with "
        "--models"
    )


def some_of(classes: Sequence[str], others: Sequence[str] = ()) -> str:
    """Name the first SHOWN classes: of those that are not among the `others`, if there are any."""
    known = frozenset(others)
    named = [name for name in classes if name not in known] or classes
    return ", ".join(named[:SHOWN]) + (", …" if len(named) > SHOWN else "")


def _classes(names: Sequence[str]) -> str:
    return f"{len(names)} class" + ("" if len(names) == 1 else "es")


def _difference(known: Sequence[str], classes: Sequence[str]) -> str:
    missing = next((name for name in classes if name not in known), None)
    extra = next((name for name in known if name not in classes), None)
    if missing is None and extra is None:
        one, other = next((a, b) for a, b in zip(known, classes, strict=True) if a != b)
        return f"know them in another order, {one!r} where it has {other!r}"
    if missing is None:
        return f"also know {extra!r}"
    return f"do not know {missing!r}" + (f", but {extra!r}" if extra is not None else "")

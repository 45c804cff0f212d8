"""The schema of `manifest.json`: every field of a model and its permitted values.

A manifest that was changed by hand is checked when it is read. The error names the model and the field, so that a wrong
value does not fail somewhere else later.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from collagebench.coding.mosaic import LARGEST_GRID
from collagebench.coding.parity import GRIDS, LARGEST_K
from collagebench.errors import ModelError
from collagebench.kinds import KINDS, shown
from collagebench.terms import CODES, HEADS, ROLES

SCHEMA = 1
PRECISIONS = ("float32", "int8")
REMEDY = "correct it there, or delete the file and export the models again"

Kind = tuple[str, Callable[[Any], bool]]


def _one_of(values: tuple[str, ...]) -> Kind:
    return f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values


def _whole(least: int, most: int) -> Kind:
    return f"a whole number from {least} to {most}", lambda value: type(value) is int and least <= value <= most


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(KINDS["some"][1], value)) and value[2] == 3


def _is_classes(value: Any) -> bool:
    texts = isinstance(value, list) and len(value) > 0 and all(isinstance(text, str) for text in value)
    return texts and len(set(value)) == len(value)


SIZE: Kind = ("height and width from 1 up and 3 channels, such as [32, 32, 3]", _is_size)
KINDS_OF: dict[str, Kind] = {
    "name": KINDS["name"],
    "role": _one_of(ROLES),
    "dataset": KINDS["name"],
    "classes": ("a list of strings that are all different", _is_classes),
    "input": SIZE,
    "image": SIZE,
    "file": ("the name of a file", lambda value: isinstance(value, str) and value != "" and "\0" not in value),
    "sha256": KINDS["text"],
    "bytes": KINDS["count"],
    "parameters": KINDS["count"],
    "macs": KINDS["some"],
    "accuracy": KINDS["share"],
    "accuracy_images": KINDS["count"],
    "recipe": KINDS["object"],
    "precision": _one_of(PRECISIONS),
}
"""Permitted values of the fields of every model."""
OPTIONAL = ("recipe", "precision")
"""Fields of `KINDS_OF` that an older manifest may lack."""


def _is_collage(entry: dict[str, Any]) -> bool:
    return bool(entry["role"] == "collage")


def _is_parity(entry: dict[str, Any]) -> bool:
    return bool(entry["role"] == "parity")


def _has_boxes(entry: dict[str, Any]) -> bool:
    return entry.get("head") == "detection"


OWN: dict[str, tuple[str, Callable[[dict[str, Any]], bool], Kind]] = {
    "grid": ("a collage", _is_collage, _whole(2, LARGEST_GRID)),
    "head": ("a collage", _is_collage, _one_of(HEADS)),
    "boxes": ("a detection head", _has_boxes, KINDS["some"]),
    "k": ("a parity", _is_parity, _whole(2, LARGEST_K)),
    "code": ("a parity", _is_parity, _one_of(CODES)),
}
"""Fields of some models only: which models those are, and the permitted values. They are null for all others."""


def check_manifest(data: Any, path: Path) -> None:
    """Check `data`, the content of the manifest at `path`.

    Raises:
        ModelError: it is not a valid list of models, or was written by a newer version.
    """
    if not isinstance(data, dict):
        raise ModelError(f"{path} is not a manifest of models: it must be an object, not {shown(data)}; {REMEDY}")
    for key in ("schema", "models"):
        if key not in data:
            raise ModelError(f"{path} is not a manifest of models: {key!r} is missing; {REMEDY}")
    words, fits = KINDS["some"]
    if not fits(data["schema"]):
        _refuse(path, "schema", words, data["schema"])
    if data["schema"] > SCHEMA:
        raise ModelError(
            f"{path} has schema {data['schema']}, but this version reads only up to {SCHEMA}: upgrade collagebench"
        )
    if not isinstance(data["models"], list):
        _refuse(path, "models", "a list", data["models"])
    names = set()
    for place, entry in enumerate(data["models"]):
        if not isinstance(entry, dict):
            _refuse(path, f"models[{place}]", "an object", entry)
        named = isinstance(entry.get("name"), str) and entry["name"]
        _check_model(entry, path, named or f"models[{place}]")
        if entry["name"] in names:
            raise ModelError(f"{path} lists two models with the name {entry['name']}; {REMEDY}")
        names.add(entry["name"])


def _check_model(entry: dict[str, Any], path: Path, name: str) -> None:
    for field in KINDS_OF:
        if field not in entry and field not in OPTIONAL:
            raise ModelError(f"{path} is not a manifest of models: {field!r} of {name} is missing; {REMEDY}")
    for field, value in entry.items():
        if field in KINDS_OF:
            words, fits = KINDS_OF[field]
            if not fits(value):
                _refuse(path, f"{field} of {name}", words, value)
        elif field not in OWN:
            raise ModelError(f"{path}: {name} has a field {field!r} that no model has; {REMEDY}")
    for field, (owner, is_owner, (words, fits)) in OWN.items():
        value = entry.get(field)
        if not is_owner(entry):
            if value is not None:
                _refuse(path, f"{field} of {name}", f"null without {owner}", value)
        elif not fits(value) and not (field == "head" and value is None):  # the default is a grid head
            _refuse(path, f"{field} of {name}", f"{words} for {owner}", value)
    if entry.get("code") == "concatenation" and entry["k"] not in GRIDS:
        _refuse(path, f"k of {name}", "2 or 4 for a parity by concatenation", entry["k"])
    if not _is_collage(entry) and entry["image"] != entry["input"]:
        _refuse(path, f"image of {name}", f"{entry['input']} as its input for a {entry['role']}", entry["image"])


def _refuse(path: Path, what: str, words: str, value: Any) -> NoReturn:
    raise ModelError(f"{path}: {what} must be {words}, not {shown(value)}; {REMEDY}")

"""Labels for the values of an axis, in names of cells and variants and in reports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def labels(values: Sequence[Any]) -> list[str]:
    """Return a short, unique label for each value of an axis, with only characters that file names may contain."""
    found: dict[Any, str] = {}
    for value in sorted(values, key=repr):
        text = re.sub(r"[^A-Za-z0-9._+-]+", "-", spelled(value)) or "-"
        names = (text, *(f"{text}-{number}" for number in range(2, len(values) + 1)))
        found[value] = next(name for name in names if name not in found.values())
    return [found[value] for value in values]


def spelled(value: Any) -> str:
    """Return a value as a user would type it; of a path only the stem."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return Path(value).stem if isinstance(value, str) and "/" in value else str(value)

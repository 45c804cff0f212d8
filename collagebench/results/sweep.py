"""The directory of a sweep: `sweep.json`, which lists the cells, and a run directory for each cell.

Whether a cell is done is recorded only in its own run directory, so that nothing can contradict it. `sweep.json` is
written when the sweep begins, and again when it ends, each time atomically.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collagebench import __version__
from collagebench.errors import DataError, OutputError
from collagebench.kinds import KINDS, read_json
from collagebench.results.environment import now
from collagebench.results.header import check_config
from collagebench.whole import write_whole

SCHEMA = 1
FILE = "sweep.json"
ENGINES = ("simulated", "live")
NAME = re.compile(r"[A-Za-z0-9._+=,-]+")
"""A cell's name, which is also the name of its directory."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The content of `sweep.json`."""

    engine: str
    """One of ENGINES."""
    status: str
    """running, done, interrupted or failed."""
    created_utc: str
    values: Mapping[str, Any]
    """The requested options, as plain JSON values by Config field; a list holds several values."""
    axes: Mapping[str, tuple[Any, ...]]
    """The values of each axis, by Config field."""
    cells: Mapping[str, Mapping[str, Any]]
    """For each cell, by its name, its value on each axis."""
    compute_s: Mapping[tuple[str, int], float]
    """Seconds of one inference, by the model's name and batch size; empty if they were not measured."""
    error: str | None = None


def is_sweep(directory: Path) -> bool:
    """Return whether `directory` is that of a sweep."""
    return (directory / FILE).is_file()


def write_sweep(directory: Path, sweep: Sweep) -> int:
    """Write `sweep.json` atomically and return its size in bytes; the directory is created if it is missing.

    Raises:
        OutputError: it cannot be written.
    """
    facts = {
        "schema": SCHEMA,
        "tool": f"collagebench {__version__}",
        "created_utc": sweep.created_utc,
        "written_utc": now(),
        "engine": sweep.engine,
        "status": sweep.status,
        **({"error": sweep.error} if sweep.error else {}),
        "values": sweep.values,
        "axes": [{"name": name, "values": list(values)} for name, values in sweep.axes.items()],
        "cells": [{"name": name, "values": dict(values)} for name, values in sweep.cells.items()],
        "compute_s": [{"model": model, "batch": size, "s": s} for (model, size), s in sweep.compute_s.items()],
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        content = f"{json.dumps(facts, indent=1)}\n".encode()
        write_whole(directory / FILE, content)
    except OSError as error:
        raise OutputError(
            f"the sweep cannot be written to {directory} ({error.strerror or error}): make room there or choose "
            "another directory; what was written so far can still be read"
        ) from None
    return len(content)


def read_sweep(directory: Path) -> Sweep:
    """Read `sweep.json`.

    Raises:
        DataError: it is missing, damaged, or was written by a newer version.
    """
    path = directory / FILE
    try:
        facts = read_json(path)
    except FileNotFoundError:
        raise DataError(f"{directory} is not the directory of a sweep: it holds no {FILE}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path} is not a sweep's file ({error}); it was changed or is damaged") from None
    if isinstance(facts, dict) and isinstance(facts.get("schema"), int) and facts["schema"] > SCHEMA:
        raise DataError(
            f"{path} has schema {facts['schema']} (written by {facts.get('tool', 'a newer version')}), but this "
            f"version reads only up to {SCHEMA}: upgrade collagebench"
        )
    try:
        found = _checked(facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else "a value in it cannot be"
        raise DataError(f"{path} is not a sweep's file ({why}); it was changed or is damaged") from None
    check_config(found.values, path)
    return found


def _checked(facts: dict[str, Any]) -> Sweep:
    """Convert the facts to a Sweep; invalid ones raise one of the errors that `read_sweep` catches."""
    axes = {str(axis["name"]): tuple(map(_value, axis["values"])) for axis in facts["axes"]}
    cells = {str(cell["name"]): {name: _value(cell["values"][name]) for name in axes} for cell in facts["cells"]}
    if not axes or not cells or not all(axes.values()):
        raise ValueError("no cells")
    for name, values in cells.items():
        if not NAME.fullmatch(name) or name.strip(".") == "":
            raise ValueError(f"a cell called {name!r}")
        for axis, value in values.items():
            if value not in axes[axis]:
                raise ValueError(f"{axis} of {name}")
    if len(cells) != len(facts["cells"]) or len(axes) != len(facts["axes"]):
        raise ValueError("a name twice")
    if not isinstance(facts["values"], dict):
        raise TypeError("values")
    if facts["engine"] not in ENGINES:
        raise ValueError(f"the engine {facts['engine']!r}")
    return Sweep(
        engine=facts["engine"],
        status=_text(facts["status"]),
        created_utc=_text(facts["created_utc"]),
        values=facts["values"],
        axes=axes,
        cells=cells,
        compute_s={
            (_text(one["model"]), _number("some", one["batch"])): _number("amount", one["s"])
            for one in facts["compute_s"]
        },
        error=None if facts.get("error") is None else _text(facts["error"]),
    )


def _value(value: Any) -> Any:
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise TypeError(f"the value {value!r}")
    return value


def _number(kind: str, value: Any) -> Any:
    if not KINDS[kind][1](value):
        raise ValueError(f"the number {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the string {value!r}")
    return value

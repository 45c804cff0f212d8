"""The requests of each task in some cells: a column that is not loaded by default, because few figures need it."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from collagebench.errors import DataError
from collagebench.results.directory import TASKS

Cell = tuple[str, int]
"""A scheme's variant and a run."""


def carried(directory: Path, cells: Collection[Cell]) -> dict[Cell, dict[int, tuple[int, ...]]]:
    """Return the requests of every task, by the task's number, in each of `cells`.

    Raises:
        DataError: the tasks cannot be read.
    """
    path = directory / TASKS
    starts = tuple(f"{scheme},{run}," for scheme, run in cells)  # to skip other lines without parsing them
    found: dict[Cell, dict[int, tuple[int, ...]]] = {cell: {} for cell in cells}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            names = file.readline().strip().split(",")
            task, requests = names.index("task"), names.index("requests")
            rows = csv.reader(line for line in file if line.startswith(starts) and line.endswith("\n"))
            for row in rows:
                found[row[0], int(row[1])][int(row[task])] = tuple(int(part) for part in row[requests].split())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, IndexError, csv.Error) as error:
        raise DataError(f"{path} has a line that is not a record ({error}); the file is damaged") from None
    return found

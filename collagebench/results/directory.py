"""The files of a run directory, and what a run needs there: no other results."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from collagebench.errors import OutputError
from collagebench.kinds import read_json
from collagebench.ordinary import ordinary

SCHEMA = 3
HEADER = "run.json"
REQUESTS = "requests.csv"
TASKS = "tasks.csv"
CELLS = "cells.csv"
LOGS = "workers"
"""The directory of the workers' output."""
PARTS = "cells.partial"
"""The directory of the records of cells that are simulated in other processes, until their turn comes."""


def see_that_it_is_free(directory: Path) -> None:
    """Check that a run may be written to a directory, before anything is prepared for it.

    Raises:
        OutputError: the directory is not empty.
    """
    with contextlib.suppress(OSError):  # creating it will raise the error
        if any(directory.iterdir()) and not holds_no_record(directory):
            raise occupied(directory)


def not_writable(directory: Path, error: OSError) -> OutputError:
    """Return the error about results that cannot be written to a run directory."""
    if error.errno == errno.ENOENT:
        return OutputError(f"results cannot be written to {directory}: it, or a part of it, was deleted or moved")
    return OutputError(
        f"results cannot be written to {directory} ({error.strerror or error}): make room there or choose another "
        "directory; what was written so far can still be read"
    )


def occupied(directory: Path) -> OutputError:
    """Return the error about a directory that is not empty."""
    return OutputError(f"{directory} is not empty; choose another directory, so that no results are overwritten")


def holds_no_record(directory: Path) -> bool:
    """Return whether a directory holds only a run without any record, so that it can be overwritten.

    If the disk was full from the beginning, some tables may be missing.
    """
    tables = (REQUESTS, TASKS, CELLS)
    try:
        names = {path.name for path in directory.iterdir()}
        if not {HEADER} <= names <= {HEADER, *tables, LOGS, PARTS}:
            return False
        status = read_json(directory / HEADER).get("status")
        return status in ("running", "failed", "interrupted") and not any(
            _has_row(directory / name) for name in names & {*tables}
        )
    except (OSError, ValueError, AttributeError):
        return False


def _has_row(path: Path) -> bool:
    """Return whether a table has more than its first line."""
    with ordinary(path).open("rb") as file:
        return file.read(1 << 16).count(b"\n") > 1

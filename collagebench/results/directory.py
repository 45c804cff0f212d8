"""The files of a run directory, and what a run needs of it: that it is free, a lock, and room for the last header."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from collagebench.errors import OutputError

SCHEMA = 3
HEADER = "run.json"
REQUESTS = "requests.csv"
TASKS = "tasks.csv"
CELLS = "cells.csv"
LOGS = "workers"
"""The directory of what workers say."""


def see_that_it_is_free(directory: Path) -> None:
    """Look whether a run may be written to a directory, so that nothing is prepared for a run that may not.

    Raises:
        OutputError: it holds something.
    """
    with contextlib.suppress(OSError):  # what is wrong with it is said when it is made
        if any(directory.iterdir()) and not holds_no_record(directory):
            raise occupied(directory)


def occupied(directory: Path) -> OutputError:
    """Return the refusal of a directory that holds something."""
    return OutputError(f"{directory} is not empty; choose another directory, so that no results are overwritten")


def locked(directory: Path) -> int | None:
    """Lock a run directory for this process, until the descriptor is closed or the process ends; None if it cannot be.

    Raises:
        OutputError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputError(f"another process is writing to {directory}: wait for it to end, or stop it") from None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def held(directory: Path, size: int) -> int | None:
    """Hold so many bytes of a directory's disk, until the descriptor is closed or the process ends; else None.

    They are a file's without a name, or that has lost it at once, so that nobody sees it and nothing is left behind.
    """
    descriptor = None
    try:
        descriptor = _nameless(directory)
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError):  # there is no such call, or no room: then the first table does not fit either
        let_go(descriptor)
        return None
    return descriptor


def _nameless(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_WRONLY)
    except (AttributeError, OSError):  # a system, or a file system, without such files
        descriptor, name = tempfile.mkstemp(dir=directory)
        os.unlink(name)
        return descriptor


def let_go(descriptor: int | None) -> None:
    """Give back what `locked` or `held` has returned."""
    if descriptor is not None:
        os.close(descriptor)


def holds_no_record(directory: Path) -> bool:
    """Whether all that is in a directory is a run without a record, so that nothing would be lost with it.

    Where the disk was full from the beginning, not even all tables are there.
    """
    tables = (REQUESTS, TASKS, CELLS)
    names = {path.name for path in directory.iterdir()}
    if not {HEADER} <= names <= {HEADER, *tables, LOGS}:
        return False
    try:
        status = json.loads((directory / HEADER).read_text(encoding="utf-8")).get("status")
        return status in ("running", "failed", "interrupted") and not any(
            _has_row(directory / name) for name in names & {*tables}
        )
    except (OSError, ValueError, AttributeError):
        return False


def _has_row(path: Path) -> bool:
    """Whether a table has more than its first line."""
    with path.open("rb") as file:
        return file.read(1 << 16).count(b"\n") > 1

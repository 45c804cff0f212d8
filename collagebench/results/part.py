"""The records of one cell in files of their own, written by another process than the run directory's writer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from collagebench.results.directory import PARTS, REQUESTS, TASKS, not_writable
from collagebench.results.records import RequestRecord, TaskRecord
from collagebench.results.rows import formatter

AT_ONCE = 1 << 20
"""Characters that are written, or read, together."""


class Part:
    """The records of a cell while they are written."""

    def __init__(self, path: Path, files: contextlib.ExitStack) -> None:
        """Create the directory `path` with a file for each kind of record; `files` closes these."""

        def new(name: str) -> TextIO:
            text = (path / name).open("w", AT_ONCE, encoding="utf-8", errors="backslashreplace", newline="")
            return files.enter_context(text)

        path.mkdir(parents=True)
        self._requests, self._tasks = new(REQUESTS), new(TASKS)
        self._line_of_request = formatter(RequestRecord)
        self._line_of_task = formatter(TaskRecord)

    def request(self, record: RequestRecord) -> None:
        """Add one request."""
        self._requests.write(self._line_of_request(record))

    def task(self, record: TaskRecord) -> None:
        """Add one task."""
        self._tasks.write(self._line_of_task(record))


def part_of(directory: Path, place: int) -> Path:
    """Return the directory of the part of the cell at this place, in a run directory."""
    return directory / PARTS / str(place)


@contextlib.contextmanager
def new_part(directory: Path, place: int) -> Iterator[Part]:
    """Write the records of the cell at this place, for `RunWriter.take_over`.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        with contextlib.ExitStack() as files:
            yield Part(part_of(directory, place), files)
    except OSError as error:
        raise not_writable(directory, error) from None

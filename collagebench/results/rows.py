"""Writing of a CSV file of records: lines are formatted at once, because that is cheap, and written to disk later."""

from __future__ import annotations

import csv
import errno
import os
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from collagebench.results.seal import file_checksum


class Rows:
    """One CSV file, and a queue of lines to be written to it."""

    def __init__(self, path: Path) -> None:
        # Appending to a deque and taking from it need no lock, so the caller never waits for the disk.
        self.queue: deque[str] = deque()
        self.name = path.name
        self._path = path
        self._file = path.open("ab", buffering=0)
        self.checksum = file_checksum(path)
        """Size and CRC-32 of the file's content."""
        self.is_new = self.checksum["bytes"] == 0

    def write(self) -> None:
        """Write the queued lines to the file; FileNotFoundError if it was deleted, since nobody could read them."""
        lines = [self.queue.popleft() for _ in range(len(self.queue))]
        rest = memoryview("".join(lines).encode(errors="backslashreplace"))
        while rest:
            written = self._file.write(rest)
            self.checksum["bytes"] += written
            self.checksum["crc32"] = zlib.crc32(rest[:written], self.checksum["crc32"])
            rest = rest[written:]
        if os.fstat(self._file.fileno()).st_nlink == 0 and not self._path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def cell_of(line: str) -> tuple[str, int] | None:
    """Return the cell of a line; None if the line is not a record."""
    try:
        scheme, run, *_ = next(csv.reader([line]))
        return scheme, int(run)
    except ValueError:
        return None


def formatter(kind: type) -> Callable[[Any], str]:
    """Return a function from a record to its line: None becomes an empty field, floats have ten digits."""
    values = attrgetter(*(field.name for field in fields(kind)))
    commas = len(fields(kind)) - 1
    templates: dict[tuple[type, ...], str] = {}

    def line(record: Any) -> str:
        row = values(record)
        types = tuple(map(type, row))
        template = templates.get(types)
        if template is None:
            template = templates[types] = ",".join([FORMATS.get(each, "%s") for each in types])
        text: str = template % row
        if text.count(",") != commas or '"' in text or not text.isprintable():
            text = template % tuple([_quoted(value) if type(value) is str else value for value in row])
        return text + "\n"

    return line


FORMATS = {float: "%.10g", type(None): "%.0s"}
"""Formats of these types; others are written with `str`. `%.0s` writes nothing."""


def _quoted(text: str) -> str:
    """Return `text` as one CSV field on one line."""
    text = " ".join(text.splitlines())
    if "," in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text

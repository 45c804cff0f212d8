"""Safe standard streams, even if one is closed, goes to a full disk, or is a pipe that nobody reads any more."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

import click

from collagebench.errors import OutputError
from collagebench.printable import printable, shortened


def secure() -> None:
    """Ensure that no message on stderr can end the program, and that no file takes the place of a standard stream.

    A file opened while one of the three streams is closed would get that stream's descriptor. Whatever a library or a
    child process prints there would then end up among the records. Writing to a closed standard output is an error,
    like writing to a full disk: users who want no output can redirect it to /dev/null. If the reader of standard output
    has gone, as behind `| head`, the rest of the output is lost: the command finishes its work and ends with its usual
    exit code. (A filter would be ended by a signal.)
    """
    with contextlib.suppress(OSError):  # there may be no /dev/null
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = _Closed()
    elif sys.stdout is sys.__stdout__:
        sys.stdout = Output(sys.stdout)
    if sys.stderr is sys.__stderr__:  # not if a caller has replaced it
        raw = _Unfailing(2, "w", closefd=False)
        encoding = getattr(sys.stderr, "encoding", None)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


def say(text: str, err: bool = True) -> None:
    """Print a line that may quote a file or an argument, however long, to standard error or to standard output."""
    click.echo(shortened(printable(text)), err=err)


class Output(io.TextIOWrapper):
    """A standard output that ignores a reader that has gone, and raises an error only once if its disk is full."""

    def __init__(self, other: Any) -> None:
        self._file = _MaybeUnread(other.fileno(), "w", closefd=False)
        super().__init__(
            io.BufferedWriter(self._file), other.encoding, other.errors, line_buffering=other.line_buffering
        )

    @property
    def unread(self) -> bool:
        """Whether anything was written after the reader had gone."""
        return self._file.unread


class _Closed(io.StringIO):
    """Stands for a closed standard output; every write is an error."""

    def write(self, text: str) -> int:
        """Raise OutputError."""
        raise OutputError("nothing can be written to standard output, which is closed")


class _MaybeUnread(io.FileIO):
    """A file that discards output once its reader has gone, or after its first failed write.

    Otherwise the data that a failed write leaves in the buffers would fail again when the interpreter exits.
    """

    unread = failed = False

    def write(self, data: Any) -> int:
        """Return the number of bytes written or discarded."""
        try:
            if not self.failed:
                return super().write(data)
        except BrokenPipeError:
            self.unread = True
        except OSError:
            self.failed = True
            raise
        return len(data)


class _Unfailing(io.FileIO):
    """A file whose writes never fail: what the system refuses is lost."""

    def write(self, data: Any) -> int:
        """Return the number of bytes written or lost."""
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)

"""Safe standard streams, even if one is closed, goes to a full disk, or is a pipe that nobody reads any more."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from collagebench.errors import OutputError


def secure() -> None:
    """Ensure that no message on stderr can end the program, and that no file takes the place of a standard stream.

    A file opened while one of the three streams is closed would get that stream's descriptor. Whatever a library or a
    child process prints there would then end up among the records. Writing to a closed standard output is an error,
    like writing to a full disk: users who want no output can redirect it to /dev/null.
    """
    with contextlib.suppress(OSError):  # there may be no /dev/null
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is sys.__stderr__:  # not if a caller has replaced it
        raw = _Unfailing(2, "w", closefd=False)
        encoding = getattr(sys.stderr, "encoding", None)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


class _Closed(io.StringIO):
    """Stands for a closed standard output; every write is an error."""

    def write(self, text: str) -> int:
        """Raise OutputError."""
        raise OutputError("nothing can be written to standard output, which is closed")


class _Unfailing(io.FileIO):
    """A file whose writes never fail: what the system refuses is lost."""

    def write(self, data: Any) -> int:
        """Return the number of bytes written or lost."""
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)

"""Standard streams, of which one may have been closed, have a full disk behind it, or be read by nobody any more."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from collagebench.errors import OutputError


def secure() -> None:
    """See that no message can end the program, and that no file takes the place of a standard stream.

    A file that is opened while one of the three is closed would get its number, and whatever a library or another
    process says there would stand among the records. What is written to a standard output that is closed is an error,
    as it is where its disk is full: whoever closed it hears of it, and can say >/dev/null.
    """
    with contextlib.suppress(OSError):  # where there is no such device
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is sys.__stderr__:  # nobody else listens to it
        raw = _Unfailing(2, "w", closefd=False)
        encoding = getattr(sys.stderr, "encoding", None)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


class _Closed(io.StringIO):
    """A standard output that is closed."""

    def write(self, text: str) -> int:
        """Refuse it."""
        raise OutputError("nothing can be written to standard output, which is closed")


class _Unfailing(io.FileIO):
    """A file that takes whatever is written; what the system does not take is lost."""

    def write(self, data: Any) -> int:
        """Return how much was taken or lost."""
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)

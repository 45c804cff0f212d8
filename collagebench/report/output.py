"""Where a report goes: to standard output, or to a file that is written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console

from collagebench.errors import OutputError
from collagebench.whole import write_whole

WIDTH = 80
"""Columns of a table that is written to a file."""
NARROWEST = 20
"""Characters of a line below which a console is taken not to know its width."""


def put(show: Callable[[Console], None], out: Path | None) -> bool:
    """Let `show` print on a console that writes to the file `out`, or to standard output where that is None.

    Return whether it got there: False where the reader of standard output has gone, who wants no more of it.

    Raises:
        OutputError: it cannot be written, as where standard output is closed.
    """
    if out is None:
        return to_stdout(show)
    text = StringIO()
    show(Console(file=text, width=WIDTH, no_color=True, markup=False, emoji=False))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, text.getvalue().encode())
    except OSError as error:
        raise OutputError(f"the report cannot be written to {out} ({error.strerror}); choose another --out") from None
    return True


def see_that_it_can_be_written(out: Path) -> None:
    """Look whether `out` can be written, so that long work does not end in an error that could be known before it.

    Raises:
        OutputError: it will not be possible to write there.
    """
    try:
        if out.is_dir():
            raise OSError(errno.EISDIR, "Is a directory")
        if out.exists() and not os.access(out, os.W_OK):
            raise OSError(errno.EACCES, "Permission denied")
        if out.is_file() or not out.exists():
            there = next(path for path in out.resolve().parents if path.exists())
            if not there.is_dir():
                raise OSError(errno.ENOTDIR, f"{there} is not a directory")
            TemporaryFile(dir=there).close()
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}); choose another --out") from None


def to_stdout(show: Callable[[Console], None]) -> bool:
    """Let `show` print on a console at standard output; characters that its encoding lacks become question marks.

    Return whether it got there, as `put` does.

    Raises:
        OutputError: standard output takes no more (a full disk behind it), or is closed.
    """
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        show(PlainConsole())
        sys.stdout.flush()
        return True
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            # What is still buffered would fail once more, with a traceback, when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return False
        raise OutputError(f"the report cannot be written to standard output ({error.strerror})") from None


class PlainConsole(Console):
    """A console that prints names as they are, and is never too narrow to print anything.

    It leaves it to its owner what a reader who has gone means; Rich would end the program with 1.
    """

    def __init__(self, stderr: bool = False) -> None:
        """Print to standard output, or to standard error."""
        super().__init__(stderr=stderr, markup=False, emoji=False)
        if self.width < NARROWEST:  # a terminal, or COLUMNS, may say 0
            self.width = WIDTH

    def on_broken_pipe(self) -> None:
        """Leave it to the owner."""
        raise BrokenPipeError

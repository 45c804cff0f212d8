"""Output of reports: to standard output, or to a file, atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from collagebench.errors import OutputError
from collagebench.paths import resolved
from collagebench.printable import printable
from collagebench.whole import write_whole

WIDTH = 80
"""Width, in characters, of tables in a file."""
NARROWEST = 20
"""A console with fewer characters per line is assumed not to know its width."""


def put(show: Callable[[Console], None], out: Path | None) -> bool:
    """Let `show` print on a console that writes to the file `out`, or to standard output if that is None.

    Return whether all was written: False if the reader of standard output has closed the pipe.

    Raises:
        OutputError: it cannot be written, for example because standard output is closed.
    """
    if out is None:
        return to_stdout(show)
    text = StringIO()
    show(PlainConsole(file=text, width=WIDTH, no_color=True))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, text.getvalue().encode())
    except OSError as error:
        raise OutputError(f"the report cannot be written to {out} ({error.strerror}); choose another --out") from None
    return True


def see_that_it_can_be_written(out: Path) -> None:
    """Check that `out` can be written, so that long work does not end in an error that was foreseeable.

    Raises:
        OutputError: `out` cannot be written.
    """
    try:
        if out.is_dir():
            raise OSError(errno.EISDIR, "Is a directory")
        if out.exists() and not os.access(out, os.W_OK):
            raise OSError(errno.EACCES, "Permission denied")
        if out.is_file() or not out.exists():
            there = next(path for path in resolved(out).parents if path.exists())
            if not there.is_dir():
                raise OSError(errno.ENOTDIR, f"{there} is not a directory")
            TemporaryFile(dir=there).close()
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}); choose another --out") from None


def to_stdout(show: Callable[[Console], None]) -> bool:
    """Let `show` print on standard output; characters that its encoding lacks become question marks.

    Return whether all was read, as `put` does: standard output itself notices if its reader has gone (`cli`).

    Raises:
        OutputError: standard output cannot be written (a full disk, for example), or is closed.
    """
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        show(PlainConsole())
        sys.stdout.flush()
        return not getattr(sys.stdout, "unread", False)
    except OSError as error:
        raise OutputError(f"the report cannot be written to standard output ({error.strerror})") from None


class PlainConsole(Console):
    """A console that prints names without interpreting them, and is never too narrow to print anything.

    Control characters in them are replaced, as records may come from anybody.
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of a `Console`."""
        super().__init__(**options, markup=False, emoji=False)
        if self.width < NARROWEST:  # a terminal, or COLUMNS, may report 0
            self.width = WIDTH

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of text to print."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text.isprintable() else Segment(printable(text), style)

"""Every error that a user can meet, and the exit code of the command for it.

    CollagebenchError            1  something went wrong; the message says what, where and what to do
    ├── UsageError               2  the command line or a profile asks for something that makes no sense
    ├── DataError                1  images, labels or records that cannot be read
    ├── ModelError               1  a model file that is missing, damaged or of the wrong shape
    ├── FleetError               1  workers that could not be started or reached
    ├── OutputError              1  a result that could not be written (no space, no permission)
    ├── MissingExtra             1  an optional part is not installed
    └── Interrupted            130  the user stopped it; what was finished is saved

Core code raises these with one sentence that a user can act on. `collagebench.cli.main` is the one place that turns
them into a line on stderr and an exit code. Two more exit codes are not errors: 3 if a `--fail-if` threshold is missed,
or if nothing meets the requirements of `recommend`; 4 if the run is INVALID.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_THRESHOLD = 3
EXIT_INVALID = 4
EXIT_INTERRUPTED = 130


class CollagebenchError(Exception):
    """An error with a message for the user: what was wrong, where, and what to do."""

    exit_code = EXIT_ERROR


class UsageError(CollagebenchError):
    """The command line or a profile asks for something that makes no sense."""

    exit_code = EXIT_USAGE


class DataError(CollagebenchError):
    """Images, labels or records that cannot be read."""


class ModelError(CollagebenchError):
    """A model file that is missing, damaged or of the wrong shape."""


class FleetError(CollagebenchError):
    """Workers that could not be started or reached."""


class OutputError(CollagebenchError):
    """A result that could not be written."""


class MissingExtra(CollagebenchError):
    """An optional part is not installed."""


class Interrupted(CollagebenchError):
    """The user stopped it; what was finished is saved."""

    exit_code = EXIT_INTERRUPTED


def nearest(key: str, known: Iterable[str], all_of_them: str = "it may have") -> str:
    """Return the end of a sentence about an unknown key: the most similar known key, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.65)
    return f"; did you mean {close[0]!r}?" if close else f"; {all_of_them} {', '.join(known) or 'none'}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if the message is empty or only an exit code."""
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return type(error).__name__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

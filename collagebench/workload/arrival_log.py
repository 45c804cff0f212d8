"""Read a log of arrivals: when requests came to a real service, so that they can be sent in the same pattern.

    .npy            a NumPy file of numbers, one dimension
    text            one time per line
    CSV             a column `arrival`, `timestamp` or `time`, among others; the first line names them
    any text .gz    the same, compressed

Times are seconds since any moment, or dates with a time (`2026-03-01 09:30:00.25`, ISO 8601), in UTC if they
name no time zone. Their order does not matter, because servers often log a request when they answer it. Empty lines and
lines that begin with # are skipped.

Where all times are whole seconds, as in the logs of many web servers, requests would arrive in one bunch at the
beginning of every second. They are placed at random within their second instead. A log in whole minutes is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.number_files import array_in, reading, rows_in

WHAT = "the arrivals"
COLUMNS = ("arrival", "timestamp", "time")
"""Names of a column of times, in any case; the first of them that a file has counts."""
_LATEST = 1e11
"""Seconds, about 3,000 years. Larger numbers are in another unit; as seconds their rate would be far too low."""
_SHORTEST = 1e-9
"""Seconds from the first arrival to the last; shorter logs have no time that a computer could keep."""
_COARSEST = 0.01
"""Seconds between neighbouring numbers of an array; in a coarser one, arrivals have come together that were apart."""
_FRACTION = re.compile(r"(\.\d{6})\d+")
_SHORT_FRACTION = re.compile(r"\.(\d{1,5})(?!\d)")


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalLog:
    """The arrivals of a log."""

    times: NDArray[np.float64]
    """Seconds from the first arrival, ascending; at least two, not all the same."""
    whole_seconds: bool
    """Whether the log had whole seconds only, in which arrivals were placed at random."""
    sha256: str
    """Of the file."""

    @property
    def rate(self) -> float:
        """Mean arrivals per second."""
        return (len(self.times) - 1) / float(self.times[-1])


def read_arrivals(path: Path) -> ArrivalLog:
    """Return the arrivals of a log; a file that did not change is read only once.

    Raises:
        DataError: the file cannot be read, has fewer than two arrivals, or a value is not a time; the message names its
            line.
    """
    with reading(path, WHAT):
        state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> ArrivalLog:
    with reading(path, WHAT):
        times = _array(path) if path.suffix == ".npy" else _text(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if len(times) < 2:
        raise DataError(f"{WHAT} {path} need at least two times, which make a rate; the file holds {len(times)}")
    times = np.sort(times)
    whole = bool(np.all(times == np.floor(times)) and np.any(times[1:] == times[:-1]))
    if whole and not np.any(times % 60):
        raise DataError(f"{WHAT} {path} have whole minutes only, which hide all bursts: log seconds, or milliseconds")
    if whole:
        times = np.sort(times + np.random.default_rng(0).random(len(times)))
    times = times - times[0]
    if times[-1] < _SHORTEST:
        raise DataError(f"{WHAT} {path} are all at the same time, which makes no rate")
    times.setflags(write=False)
    return ArrivalLog(times, whole, digest)


def _array(path: Path) -> NDArray[np.float64]:
    values = array_in(path, WHAT)
    wrong = np.flatnonzero(~(np.abs(values.astype(np.float64)) < _LATEST))
    if len(wrong):
        raise DataError(f"value {wrong[0]} of {WHAT} {path} is {values[wrong[0]]}, {_must_be()}")
    apart = float(np.spacing(abs(values).max())) if values.dtype.kind == "f" and len(values) else 0.0
    if apart > _COARSEST:
        raise DataError(
            f"{WHAT} {path} are {values.dtype} numbers, which are {apart:g} s apart at this size: save float64"
        )
    return values.astype(np.float64)


def _text(path: Path) -> NDArray[np.float64]:
    rows = rows_in(path)
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    place = next((header.index(name) for name in COLUMNS if name in header), None)
    if place is None:
        if wide := next(((number, cells) for number, cells in rows if len(cells) > 1), None):
            raise DataError(
                f"line {wide[0]} of {WHAT} {path} has {len(wide[1])} columns: name that of the times "
                f"{' or '.join(COLUMNS)} in the first line, or leave only the times"
            )
        place = 0
        if rows and math.isnan(_seconds(rows[0][1][0])):
            raise DataError(
                f"line {rows[0][0]} of {WHAT} {path} is {rows[0][1][0][:40]!r}, {_must_be()}, or the names of columns, "
                f"separated by commas, one of them {' or '.join(COLUMNS)}"
            )
    else:
        rows = rows[1:]
        if long := next(((number, cells) for number, cells in rows if any(cells[len(header) :])), None):
            raise DataError(
                f"line {long[0]} of {WHAT} {path} has {len(long[1])} columns, but the first line names {len(header)}"
            )
    return np.array([_time(path, number, cells, place) for number, cells in rows], np.float64)


def _time(path: Path, number: int, cells: list[str], place: int) -> float:
    text = cells[place] if place < len(cells) else ""
    value = _seconds(text)
    if not abs(value) < _LATEST:
        raise DataError(f"line {number} of {WHAT} {path} is {text[:40]!r}, {_must_be()}")
    return value


def _must_be() -> str:
    return f"but must be a time: seconds, below {_LATEST:.0e}, or a date such as 2026-03-01 09:30:00.25"


def _seconds(text: str) -> float:
    """Return a number, or a date as seconds; NaN if it is neither."""
    try:
        return float(text)
    except ValueError:
        return _date(text)


def _date(text: str) -> float:
    """Return an ISO 8601 date with time as seconds, to the microsecond; NaN if it is none."""
    if text.endswith(("Z", "z")):
        text = f"{text[:-1]}+00:00"
    text = _SHORT_FRACTION.sub(lambda found: f".{found[1]:<06}", _FRACTION.sub(r"\1", text))  # as Python 3.10 takes it
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return date.timestamp() if date.tzinfo else (date - datetime(1970, 1, 1)).total_seconds()

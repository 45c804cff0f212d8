"""Read a trace: measured service times, in seconds, with one log for each machine.

    .npy            a NumPy file, one dimension
    text or CSV     one value per line
    CSV             columns `machine` and `seconds`, in any order and among others; the first line names them
    any text .gz    the same, compressed

Empty lines and lines that begin with # are skipped. A file that does not name machines is one log, unless `log_length`
is given: it is then split into logs of that length, of which the last may be shorter.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from collagebench.errors import DataError, UsageError
from collagebench.number_files import array_in, reading, rows_in

WHAT = "the trace"

Log = tuple[float, ...]


def read_logs(path: Path, log_length: int | None = None) -> tuple[Log, ...]:
    """Return the logs of a trace, seconds above 0, in their order.

    Raises:
        DataError: the file cannot be read, or a value is not valid; the message names its line.
        UsageError: a log length is given for a file that names its machines.
    """
    logs, named = _read(path)
    if log_length is None:
        return logs
    if named:
        raise UsageError(
            f"--log-length has no effect on {path}, whose column `machine` says which machine each value belongs to"
        )
    return tuple(logs[0][start : start + log_length] for start in range(0, len(logs[0]), log_length))


def _read(path: Path) -> tuple[tuple[Log, ...], bool]:
    """Return the file's logs, and whether the file names machines."""
    with reading(path, WHAT):
        logs, named = ((_array(path),), False) if path.suffix == ".npy" else _text(path)
    if not any(logs):
        raise DataError(f"{WHAT} {path} holds no value")
    return logs, named


def _array(path: Path) -> Log:
    values = array_in(path, WHAT)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise DataError(f"value {wrong[0]} of {WHAT} {path} is {values[wrong[0]]}, but must be seconds above 0")
    return tuple(values.astype(float).tolist())


def _text(path: Path) -> tuple[tuple[Log, ...], bool]:
    rows = rows_in(path)
    if rows and "seconds" in (header := rows[0][1]):
        for number, cells in rows[1:]:
            if len(cells) != len(header):  # a line that was cut off, or two that a cut has joined
                raise DataError(
                    f"line {number} of {WHAT} {path} has {len(cells)} columns, but its header has {len(header)}: "
                    "repair or remove the line"
                )
        if "machine" not in header:
            values = [_value(path, number, cells, header.index("seconds")) for number, cells in rows[1:]]
            return (tuple(values),), False
        logs: dict[str, list[float]] = {}
        for number, cells in rows[1:]:
            value = _value(path, number, cells, header.index("seconds"))
            place = header.index("machine")
            logs.setdefault(cells[place], []).append(value)
        return tuple(map(tuple, logs.values())), True
    return (tuple(_value(path, number, cells, 0, 1) for number, cells in rows),), False


def _value(path: Path, number: int, cells: list[str], place: int, most: int | None = None) -> float:
    text = cells[place] if place < len(cells) and (most is None or len(cells) <= most) else ",".join(cells)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise DataError(f"line {number} of {WHAT} {path} must hold seconds above 0, not {text[:40]!r}")
    return value

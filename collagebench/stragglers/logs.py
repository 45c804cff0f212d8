"""Read a trace: measured service times, in seconds, with one log for each machine.

    .npy            a NumPy file, one dimension
    text or CSV     one value per line
    CSV             columns `machine` and `seconds`, in any order and among others; the first line names them
    any text .gz    the same, compressed

Empty lines and lines that begin with # are skipped. A file that does not name machines is one log, unless `log_length`
is given: it is then split into logs of that length, of which the last may be shorter.
"""

from __future__ import annotations

import csv
import gzip
import math
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from collagebench.errors import DataError, UsageError
from collagebench.ordinary import ordinary

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
    try:
        ordinary(path)
        logs, named = ((_array(path),), False) if path.suffix == ".npy" else _text(path)
    except OSError as error:
        raise DataError(f"the trace {path} cannot be read ({error.strerror or error})") from None
    except (EOFError, zlib.error):
        raise DataError(f"the trace {path} cannot be uncompressed: it is truncated or damaged") from None
    except UnicodeDecodeError:
        raise DataError(f"the trace {path} is neither a .npy file nor text in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"the trace {path} is not text with one value per line ({error})") from None
    if not any(logs):
        raise DataError(f"the trace {path} holds no value")
    return logs, named


def _array(path: Path) -> Log:
    with path.open("rb") as file:
        try:
            values = np.load(file)
        except (ValueError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile):  # from damaged headers
            values = None
    if not isinstance(values, np.ndarray):  # None, or an archive of several arrays
        raise DataError(f"the trace {path} is damaged, or is not a NumPy file of numbers")
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise DataError(
            f"the trace {path} must hold numbers in one dimension, not {values.dtype} of shape {values.shape}"
        )
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise DataError(f"value {wrong[0]} of the trace {path} is {values[wrong[0]]}, but must be seconds above 0")
    return tuple(values.astype(float).tolist())


def _text(path: Path) -> tuple[tuple[Log, ...], bool]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows = [(number, line) for number, line in enumerate(file, 1) if line.strip() and line.lstrip()[0] != "#"]
    if rows and "seconds" in (header := _cells(rows[0][1])):
        if "machine" not in header:
            values = [_value(path, number, _cells(line), header.index("seconds")) for number, line in rows[1:]]
            return (tuple(values),), False
        logs: dict[str, list[float]] = {}
        for number, line in rows[1:]:
            cells = _cells(line)
            value = _value(path, number, cells, header.index("seconds"))
            place = header.index("machine")
            logs.setdefault(cells[place] if place < len(cells) else "", []).append(value)
        return tuple(map(tuple, logs.values())), True
    return (tuple(_value(path, number, _cells(line), 0, 1) for number, line in rows),), False


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]))]


def _value(path: Path, number: int, cells: list[str], place: int, most: int | None = None) -> float:
    text = cells[place] if place < len(cells) and (most is None or len(cells) <= most) else ",".join(cells)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise DataError(f"line {number} of the trace {path} must hold seconds above 0, not {text[:40]!r}")
    return value

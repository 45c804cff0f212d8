"""Read files of measured numbers: a NumPy array, or text with the numbers in lines or columns, possibly compressed.

Who reads one says what the numbers must be; the errors that all such files have in common are found here.
"""

from __future__ import annotations

import csv
import gzip
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.ordinary import ordinary


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of reading a file into one sentence; `what` names the file's contents, as in "the trace".

    Raises:
        DataError: the file cannot be read, is not a regular file, is damaged, or is not text.
    """
    try:
        ordinary(path)
        yield
    except gzip.BadGzipFile:
        raise DataError(f"{what} {path} cannot be read (it is not a gzip file)") from None
    except (EOFError, zlib.error):
        raise DataError(f"{what} {path} cannot be uncompressed: it is truncated or damaged") from None
    except OSError as error:
        raise DataError(f"{what} {path} cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise DataError(f"{what} {path} is neither a .npy file nor text in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{what} {path} is not text with one value per line ({error})") from None


def array_in(path: Path, what: str) -> NDArray[Any]:
    """Return the numbers of a .npy file, in one dimension and of their own dtype; see `reading` for `what`.

    Raises:
        OSError: it cannot be opened.
        DataError: it is damaged, or does not hold numbers in one dimension.
    """
    with path.open("rb") as file:
        try:
            values = np.load(file)
        except (EOFError, ValueError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile):  # from damaged headers
            values = None
    if not isinstance(values, np.ndarray):  # None, or an archive of several arrays
        raise DataError(f"{what} {path} is damaged, or is not a NumPy file of numbers")
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise DataError(f"{what} {path} must hold numbers in one dimension, not {values.dtype} of shape {values.shape}")
    return values


def rows_in(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a text, as numbers of lines and cells without blanks around them; it may be a .gz file.

    Empty lines and lines that begin with # are left out.

    Raises:
        OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error: see `reading`.
    """
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        return [
            (number, _cells(line)) for number, line in enumerate(file, 1) if line.strip() and line.lstrip()[0] != "#"
        ]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]))]

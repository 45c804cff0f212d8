"""Reading of one CSV file of records into arrays by column; an invalid line is refused by its number."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.ordinary import ordinary
from collagebench.results.directory import holds_no_record
from collagebench.results.lines import split, whole_lines

TORN = "its writer was killed or its disk full."

EMPTY = -1
"""The value of an empty integer field."""
TRUTH = {"False": False, "True": True}
BOOLS = {"": -1, **TRUTH}

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Records as columns of equal length: float64 (empty: NaN), int64 (empty: EMPTY), bool, or int32 codes of strings.

    A bool that may be empty is an int64 of 1, 0 or -1. Code c of a string column stands for `texts[column][c]`; an
    empty field is the string "".
    """

    columns: dict[str, Array]
    texts: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> Array:
        return self.columns[column]

    def equal(self, column: str, text: str) -> NDArray[np.bool_]:
        """Return a mask of the rows whose `column` is `text`."""
        texts = self.texts[column]
        code = texts.index(text) if text in texts else -1
        return np.asarray(self.columns[column] == code)

    def where(self, mask: NDArray[np.bool_]) -> Table:
        """Return the rows of the mask; consecutive rows as views, without copying."""
        if mask.all():
            return self
        places = np.flatnonzero(mask)
        together = len(places) > 0 and places[-1] - places[0] == len(places) - 1
        return self._rows(slice(places[0], places[-1] + 1) if together else places)

    def by_scheme(self) -> Table:
        """Return the rows sorted by scheme, otherwise in the same order."""
        return self._rows(np.argsort(self["scheme"], kind="stable"))

    def _rows(self, rows: slice | NDArray[np.intp]) -> Table:
        return Table({name: column[rows] for name, column in self.columns.items()}, self.texts)


def read_table(path: Path, kind: type, notes: list[str], skip: Iterable[str] = ()) -> Table:
    """Read one CSV file of a run, without the columns `skip`; report a dropped line in `notes`.

    It may be missing from a run without any record: the disk was full, or the run was killed, before it was made.
    """
    types = {field.name: str(field.type) for field in fields(kind)}
    written = list(types)
    texts: dict[str, dict[str, int]] = {
        name: {} for name in types if name not in skip and types[name].startswith("str")
    }
    parts: dict[str, list[Array]] = {name: [] for name in types if name not in skip}
    rows_read, block = 0, ""
    try:
        with ordinary(path).open(encoding="utf-8", newline="") as file:
            first = file.readline()
            if first.endswith("\n") and next(csv.reader([first]), []) != written:
                raise DataError(
                    f"{path} does not have the columns of a run; the file was changed or is another program's"
                )
            for block in whole_lines(file) if first.endswith("\n") else [first]:
                if not block.endswith("\n"):
                    notes += [f"{path.name} ends in the middle of a line, which was dropped: {TORN}"] if block else []
                    continue
                columns = dict(zip(written, split(block, len(written)), strict=True))
                for name in parts:
                    parts[name].append(_column(columns[name], types[name], texts.get(name, {})))
                rows_read += len(columns[written[0]])
    except OSError as error:
        if not (isinstance(error, FileNotFoundError) and holds_no_record(path.parent)):
            raise DataError(
                f"{path} cannot be read ({error.strerror}); copy the directory again, or run it again"
            ) from None
    except (ValueError, KeyError, OverflowError, csv.Error) as error:
        if isinstance(error, UnicodeDecodeError):
            raise DataError(f"{path} is not text in UTF-8 after line {rows_read + 1}; the file is damaged") from None
        row, why = _first_wrong(block, written, {name: types[name] for name in parts}) or (
            None,
            "its parts do not fit together",
        )
        where = (
            f"{path} has a line after line {rows_read + 1} that" if row is None else f"{path} line {rows_read + row}"
        )
        raise DataError(f"{where} is not a record ({why}); the file is damaged") from None
    empty = {name: _column((), types[name], {}) for name in parts}
    return Table(
        {name: np.concatenate(arrays) if arrays else empty[name] for name, arrays in parts.items()},
        {name: list(codes) for name, codes in texts.items()},
    )


def _first_wrong(block: str, written: Sequence[str], types: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the number of a block's first invalid line, from 2 on, and what is wrong; None if every line is valid.

    `types` are those of the columns that are read.
    """
    for number, line in enumerate(block.split("\n")[:-1], 2):
        try:
            columns = dict(zip(written, split(line + "\n", len(written)), strict=True))
        except csv.Error:
            return number, "its quotes are not those of a CSV file"
        except ValueError as error:
            return number, str(error)
        for name, values in columns.items():
            try:
                if name in types:
                    _column(values, types[name], {})
            except (ValueError, KeyError, OverflowError):
                return number, f"its {name} is {values[0][:40]!r}"
    return None


def _column(values: Sequence[str], type_: str, codes: dict[str, int]) -> Array:
    """Convert a column of strings to an array; new strings of a string column get the next code."""
    if len(values) > 1 and values[0] == values[-1] and values.count(values[0]) == len(values):
        return np.repeat(_column(values[:1], type_, codes), len(values))
    if type_.startswith("float"):
        empty = values.count("")
        known = [value or "nan" for value in values] if empty else values
        array = np.fromiter(map(float, known), dtype=np.float64, count=len(values))
        if np.isfinite(array).sum() != len(values) - empty:
            raise ValueError("a time that is not finite")
        return array
    if type_.startswith("int"):
        known = [value or str(EMPTY) for value in values] if "" in values else values
        return np.fromiter(map(int, known), dtype=np.int64, count=len(values))
    if type_ == "bool | None":
        return np.array([BOOLS[value] for value in values], dtype=np.int64)
    if type_ == "bool":
        return np.array([TRUTH[value] for value in values], dtype=np.bool_)
    for value in dict.fromkeys(values):
        codes.setdefault(value, len(codes))
    return np.fromiter(map(codes.__getitem__, values), dtype=np.int32, count=len(values))

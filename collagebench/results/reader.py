"""A run directory as it is read back: `run.json` and, column by column, the records of its complete cells.

Only cells listed in `cells.csv` count, and only if all their requests and tasks have a record; others (the one that ran
when the program was interrupted or killed) are left out and named. Nothing else is repaired: a line that a crash tore
is dropped and reported, and a file that says something impossible is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.ordinary import ordinary
from collagebench.results.checks import check_records
from collagebench.results.directory import CELLS, HEADER, REQUESTS, SCHEMA, TASKS
from collagebench.results.header import read_header
from collagebench.results.lines import split, whole_lines
from collagebench.results.records import CellRecord, RequestRecord, TaskRecord
from collagebench.results.seal import changed_files

ADDED = {2: {REQUESTS: ("straggled",), TASKS: ("share",)}, 3: {CELLS: ("tasks",)}}
"""The columns that came with each schema; records of an older one have them empty."""
TORN = "its writer was killed or its disk full."

EMPTY = -1
"""What an integer is read as where its field is empty."""
TRUTH = {"False": False, "True": True}
BOOLS = {"": -1, **TRUTH}

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Records as columns of equal length: float64 (NaN: empty), int64 (EMPTY: empty), bool, or int32 codes of a text.

    A bool that may be empty is an int64 of 1, 0 or -1.

    Code c of a text column stands for `texts[column][c]`; an empty field is the text "".
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
        """Return the rows of the mask; where these follow each other, as views and not as copies."""
        if mask.all():
            return self
        places = np.flatnonzero(mask)
        together = len(places) > 0 and places[-1] - places[0] == len(places) - 1
        return self._rows(slice(places[0], places[-1] + 1) if together else places)

    def by_scheme(self) -> Table:
        """Return the rows with those of each scheme together, otherwise in the order they had."""
        return self._rows(np.argsort(self["scheme"], kind="stable"))

    def _rows(self, rows: Any) -> Table:
        return Table({name: column[rows] for name, column in self.columns.items()}, self.texts)


@dataclass(frozen=True, slots=True)
class Run:
    """One run directory: the header, and the records of the cells that are complete, sorted by scheme."""

    directory: Path
    header: dict[str, Any]
    requests: Table
    tasks: Table
    """Without the column `requests`, which no figure of a fleet that loses no replies needs (see `carried`)."""
    cells: Table
    left_out: tuple[str, ...]
    """Names of the cells that are not complete."""
    notes: tuple[str, ...]
    """What was found damaged and dropped, one sentence each."""
    changed: tuple[str, ...]
    """Names of the files that are not as the run wrote them."""
    _schemes: dict[str, Run] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def config(self) -> dict[str, Any]:
        """What the experiment was asked to do, as far as the header says."""
        config: dict[str, Any] = self.header.get("config", {})
        return config

    @property
    def service(self) -> dict[str, Any]:
        """What the header says of services and their load: {mean_s, utilisation, rate, mode}."""
        service: dict[str, Any] = self.header.get("service", {})
        return service

    @property
    def stragglers(self) -> dict[str, Any]:
        """What the header says of the stragglers."""
        stragglers: dict[str, Any] = self.header.get("stragglers", {})
        return stragglers

    def scheme(self, variant: str) -> dict[str, Any]:
        """Return what the header says of a scheme; nothing of one that it does not list."""
        listed = self.header.get("schemes", [])
        return next((scheme for scheme in listed if scheme.get("variant", scheme["scheme"]) == variant), {})

    @property
    def variants(self) -> list[str]:
        """The schemes' names in the order of the header, those with no complete cell included."""
        listed = [str(scheme.get("variant", scheme["scheme"])) for scheme in self.header.get("schemes", [])]
        return listed + [name for name in self.cells.texts["scheme"] if name not in listed]

    def of(self, variant: str) -> Run:
        """Return the same run with the records of one scheme."""
        if variant not in self._schemes:
            requests, tasks, cells = (
                table.where(table.equal("scheme", variant)) for table in (self.requests, self.tasks, self.cells)
            )
            self._schemes[variant] = replace(self, requests=requests, tasks=tasks, cells=cells)
        return self._schemes[variant]


def load(directory: Path) -> Run:
    """Read a run directory.

    Raises:
        DataError: it is no run directory, cannot be read, was written by a newer version, or holds an impossible line.
    """
    header, intact = _header(directory)
    notes: list[str] = []
    schema = header["schema"]
    requests = _table(directory / REQUESTS, RequestRecord, schema, notes)
    tasks = _table(directory / TASKS, TaskRecord, schema, notes, skip={"requests"})
    cells = _table(directory / CELLS, CellRecord, schema, notes)
    check_records(directory, requests, tasks, cells, header)
    expected = dict(
        zip(_cells(cells), zip(cells["requests"].tolist(), cells["tasks"].tolist(), strict=True), strict=True)
    )
    found, sent = _counts(requests), _counts(tasks)
    complete = {
        cell
        for cell, (of_requests, of_tasks) in expected.items()
        if found.get(cell) == of_requests and of_tasks in (-1, sent.get(cell, 0))
    }
    left_out = [f"{scheme} run {run}" for scheme, run in {**found, **expected} if (scheme, run) not in complete]
    # With the rows of a scheme side by side, `of` need not copy them.
    requests, tasks, cells = (table.where(_member(table, complete)).by_scheme() for table in (requests, tasks, cells))
    try:
        changed = (*(() if intact else (HEADER,)), *changed_files(directory, header))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror})") from None
    return Run(directory, header, requests, tasks, cells, tuple(left_out), tuple(notes), changed)


def read_run_header(directory: Path) -> dict[str, Any]:
    """Return what `run.json` of a run directory says; raises what `load` raises."""
    return _header(directory)[0]


def _header(directory: Path) -> tuple[dict[str, Any], bool]:
    """Return the header, and whether it is as it was written."""
    path = directory / HEADER
    try:
        return read_header(path, SCHEMA)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{directory} is not a run directory: it holds no {HEADER}{_what_else(directory)}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def _what_else(directory: Path) -> str:
    """Say what to name instead of a directory that is no run's."""
    try:
        names = sorted(path.name for path in directory.iterdir())
        runs = [name for name in names if (directory / name / HEADER).exists()]
    except OSError:
        names, runs = [], []
    for page in ("crossover.html", "answer.html"):
        if page in names:
            more = f", or name one of the runs that are in it, such as {directory / runs[0]}" if runs else ""
            return f"; open {directory / page}{more}"
    if runs:
        return f"; name one that is in it, such as {directory / runs[-1]}"
    return "; name the --out of a run"


def _table(path: Path, kind: type, schema: int, notes: list[str], skip: Iterable[str] = ()) -> Table:
    """Read one CSV file of a run with this schema, leaving out the columns `skip`."""
    types = {field.name: str(field.type) for field in fields(kind)}
    added = {name for number, columns in ADDED.items() if number > schema for name in columns.get(path.name, ())}
    written = [name for name in types if name not in added]
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
                count = len(columns[written[0]])
                columns.update(dict.fromkeys(added, ("",) * count))
                for name in parts:
                    parts[name].append(_column(columns[name], types[name], texts.get(name, {})))
                rows_read += count
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); copy the directory again, or run it again"
        ) from None
    except (ValueError, KeyError, OverflowError, csv.Error) as error:
        row, why = _first_wrong(block, written, {name: types[name] for name in parts}) or (None, error)
        where = (
            f"{path} has a line after line {rows_read + 1} that" if row is None else f"{path} line {rows_read + row}"
        )
        raise DataError(f"{where} is no record ({why}); the file is damaged") from None
    empty = {name: _column((), types[name], {}) for name in parts}
    return Table(
        {name: np.concatenate(arrays) if arrays else empty[name] for name, arrays in parts.items()},
        {name: list(codes) for name, codes in texts.items()},
    )


def _first_wrong(block: str, written: Sequence[str], types: Mapping[str, str]) -> tuple[int, Exception] | None:
    """Return the number of the first line of a block that is no record, from 2 on, and why; None if none is by itself.

    `types` are those of the columns that are read.
    """
    for number, line in enumerate(block.split("\n")[:-1], 2):
        try:
            columns = dict(zip(written, split(line + "\n", len(written)), strict=True))
            for name, values in columns.items():
                if name in types:
                    _column(values, types[name], {})
        except (ValueError, KeyError, OverflowError, csv.Error) as error:
            return number, error
    return None


def _column(values: Sequence[str], type_: str, codes: dict[str, int]) -> Array:
    """Return a column's texts as an array; new texts of a text column get the next code."""
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


def _cells(table: Table) -> list[tuple[str, int]]:
    """Return the cell (scheme, run) of every row."""
    texts = table.texts["scheme"]
    return [(texts[code], run) for code, run in zip(table["scheme"].tolist(), table["run"].tolist(), strict=True)]


def _counts(table: Table) -> dict[tuple[str, int], int]:
    """Return how many rows each cell has, in the order in which the cells first appear."""
    keys, first, counts = np.unique(_keys(table), return_index=True, return_counts=True)
    texts = table.texts["scheme"]
    order = np.argsort(first)
    return {
        (texts[key >> 32], key & 0xFFFFFFFF): count
        for key, count in zip(keys[order].tolist(), counts[order].tolist(), strict=True)
    }


def _member(table: Table, cells: set[tuple[str, int]]) -> NDArray[np.bool_]:
    """Return a mask of the rows that belong to one of `cells`."""
    codes = {text: code for code, text in enumerate(table.texts["scheme"])}
    wanted = [(codes[scheme] << 32) | run for scheme, run in cells if scheme in codes]
    return np.isin(_keys(table), np.array(wanted, dtype=np.int64))


def _keys(table: Table) -> NDArray[np.int64]:
    """Return one number per row that names its cell."""
    return np.asarray((table["scheme"].astype(np.int64) << 32) | table["run"])

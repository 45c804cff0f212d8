"""Reading of a run directory: `run.json`, and the records of its complete cells, by column.

Only cells listed in `cells.csv` count, and only if all their requests and tasks have a record. Others (such as the one
that was running when the program was interrupted or killed) are left out and named. A partial last line, from a crash,
is dropped and reported. Nothing else is repaired: a file with impossible values is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.results.checks import check_records
from collagebench.results.directory import CELLS, HEADER, REQUESTS, TASKS
from collagebench.results.header import read_header
from collagebench.results.records import CellRecord, RequestRecord, TaskRecord
from collagebench.results.seal import changed_files
from collagebench.results.table import Table, read_table


@dataclass(frozen=True, slots=True)
class Run:
    """One run directory: the header, and the records of the complete cells, sorted by scheme."""

    directory: Path
    header: dict[str, Any]
    requests: Table
    tasks: Table
    """Without the column `requests`, which is needed only if replies are lost (see `carried`)."""
    cells: Table
    left_out: tuple[str, ...]
    """Names of the incomplete cells."""
    notes: tuple[str, ...]
    """Sentences about damaged lines that were dropped."""
    changed: tuple[str, ...]
    """Names of the files that changed since the run wrote them."""
    _schemes: dict[str, Run] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def config(self) -> dict[str, Any]:
        """The experiment's configuration, as far as the header has it."""
        config: dict[str, Any] = self.header.get("config", {})
        return config

    @property
    def service(self) -> dict[str, Any]:
        """The header's entry on service times and load: {mean_s, utilisation, rate, mode}."""
        service: dict[str, Any] = self.header.get("service", {})
        return service

    @property
    def stragglers(self) -> dict[str, Any]:
        """The header's entry on the stragglers."""
        stragglers: dict[str, Any] = self.header.get("stragglers", {})
        return stragglers

    def scheme(self, variant: str) -> dict[str, Any]:
        """Return the header's entry on a scheme; empty if it has none."""
        listed = self.header.get("schemes", [])
        return next((scheme for scheme in listed if scheme.get("variant", scheme["scheme"]) == variant), {})

    @property
    def variants(self) -> list[str]:
        """The names of the variants in the order of the header, including those without a complete cell."""
        listed = [str(scheme.get("variant", scheme["scheme"])) for scheme in self.header.get("schemes", [])]
        return listed + [name for name in self.cells.texts["scheme"] if name not in listed]

    def of(self, variant: str) -> Run:
        """Return the same run with only the records of one scheme."""
        if variant not in self._schemes:
            requests, tasks, cells = (
                table.where(table.equal("scheme", variant)) for table in (self.requests, self.tasks, self.cells)
            )
            self._schemes[variant] = replace(self, requests=requests, tasks=tasks, cells=cells)
        return self._schemes[variant]


def load(directory: Path) -> Run:
    """Read a run directory.

    Raises:
        DataError: it is not a run directory, cannot be read, is of another schema, or has invalid records.
    """
    header, intact = _header(directory)
    notes: list[str] = []
    requests = read_table(directory / REQUESTS, RequestRecord, notes)
    tasks = read_table(directory / TASKS, TaskRecord, notes, skip={"requests"})
    cells = read_table(directory / CELLS, CellRecord, notes)
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
    """Return the content of `run.json` in a run directory; raises the errors of `load`."""
    return _header(directory)[0]


def _header(directory: Path) -> tuple[dict[str, Any], bool]:
    """Return the header, and whether it is unchanged since it was written."""
    path = directory / HEADER
    try:
        return read_header(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{directory} is not a run directory: it holds no {HEADER}{_what_else(directory)}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def _what_else(directory: Path) -> str:
    """Return advice on what to name instead of a directory that is not a run's."""
    try:
        names = sorted(path.name for path in directory.iterdir())
        runs = [name for name in names if (directory / name / HEADER).exists()]
    except OSError:
        names, runs = [], []
    for page in ("crossover.html", "answer.html"):
        if page in names:
            more = f", or name one of the runs in it, such as {directory / runs[0]}" if runs else ""
            return f"; open {directory / page}{more}"
    if runs:
        return f"; name one in it, such as {directory / runs[-1]}"
    return "; name the --out of a run"


def _cells(table: Table) -> list[tuple[str, int]]:
    """Return the cell (scheme, run) of every row."""
    texts = table.texts["scheme"]
    return [(texts[code], run) for code, run in zip(table["scheme"].tolist(), table["run"].tolist(), strict=True)]


def _counts(table: Table) -> dict[tuple[str, int], int]:
    """Return the number of rows of each cell, in the order in which the cells first appear."""
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
    """Return for each row a number that identifies its cell."""
    return np.asarray((table["scheme"].astype(np.int64) << 32) | table["run"])

"""Consistency checks of records: the columns behind each figure of a report must agree with each other.

A request's latency is its answer minus its arrival, and the sum of its phases. It has the same arrival and image under
every scheme. The task that answered it is among the tasks, and was used. A task's service is computing plus injection.
A cell has as many requests and tasks as it says, each once, and lasts until the last of them ends.

So a single changed number contradicts another, unless it differs by less than the ten digits that are written, or
nothing else depends on it (a predicted class, a bandwidth). Such numbers only have to be possible. Records that
contradict themselves are refused, by file and line, and no report is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.results.directory import CELLS, REQUESTS, TASKS
from collagebench.results.records import NO_CLASS
from collagebench.results.table import Table
from collagebench.terms import ROLES, SOURCES

OUTCOMES = ("used", "wasted", "cancelled", "cancelled in service", "dropped", "crashed", "lost", "deadline", "refused")
SUMMED = ("group", "encode", "queue", "service", "transport", "decode", "hold")
"""The phases that add up to a latency; one more, `injected`, is a part of `service`."""
MOST = 2**31
"""Numbers of runs, requests, tasks and workers are below this."""
EXACT = 2e-6
"""Seconds by which two computations of a time may differ, plus the share DIGITS of it."""
DIGITS = 4e-9

Mask = NDArray[np.bool_]


class Checker:
    """Checks the columns of one file."""

    def __init__(self, path: Path, table: Table) -> None:
        self._path = path
        self._columns = table.columns
        self._texts = table.texts

    def refuse(self, row: int, what: str) -> NoReturn:
        """Raise a DataError about a row, counted from 0."""
        raise DataError(f"{self._path} line {row + 2}: {what}; the file was changed or is damaged")

    def none(self, wrong: Mask, what: str) -> None:
        """Refuse the first row of the mask, if there is one."""
        if wrong.any():
            self.refuse(int(np.argmax(wrong)), what)

    def whole(self, names: tuple[str, ...], least: int = 0, below: int = MOST) -> None:
        """Check that columns of whole numbers are in a range."""
        for name in names:
            column = self._columns[name]
            wrong = (column < least) | (column >= below)
            if wrong.any():
                row = int(np.argmax(wrong))
                self.refuse(row, f"{name} cannot be {column[row]}")

    def known(self, *names: str) -> None:
        """Check that columns of seconds have no empty field."""
        for name in names:
            self.none(np.isnan(self._columns[name]), f"{name} is empty")

    def from_0(self, *names: str) -> None:
        """Check that columns of seconds hold no value below 0; empty fields are permitted."""
        for name in names:
            column = self._columns[name]
            wrong = column < 0
            if wrong.any():
                row = int(np.argmax(wrong))
                self.refuse(row, f"{name} cannot be {column[row]:g}")

    def one_of(self, name: str, allowed: tuple[str, ...]) -> None:
        """Check that a column of strings holds only the allowed ones."""
        for code, text in enumerate(self._texts[name]):
            if text not in allowed:
                self.none(self._columns[name] == code, f"{name} cannot be {text!r}")

    def equal(
        self, left: NDArray[np.float64], right: NDArray[np.float64], scale: NDArray[np.float64], what: str
    ) -> None:
        """Check that two columns of seconds agree where both are known, to the digits that are written."""
        with np.errstate(invalid="ignore"):
            self.none(np.abs(left - right) > EXACT + DIGITS * np.abs(scale), what)

    def once(self, keys: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """Check that no key occurs twice; return the keys sorted."""
        ordered = np.sort(keys)
        again = ordered[1:] == ordered[:-1]
        if again.any():
            second = int(np.flatnonzero(keys == ordered[int(np.argmax(again))])[1])
            self.refuse(second, f"this {what} was there before")
        return ordered


def check_records(directory: Path, requests: Table, tasks: Table, cells: Table, header: Mapping[str, Any]) -> None:
    """Check that the records of a run are possible and agree with each other.

    Raises:
        DataError: they are not or do not; the message names the file and the line.
    """
    config = header.get("config", {})
    check = Checker(directory / REQUESTS, requests)
    _requests(check, requests, _classes(header))
    asked = Checker(directory / TASKS, tasks)
    _tasks(asked, tasks, config.get("workers", MOST), header.get("service", {}).get("mode"))
    listed = Checker(directory / CELLS, cells)
    listed.whole(("order",))
    listed.whole(("run",), below=config.get("runs", MOST))
    listed.whole(("requests",), 1)
    listed.known("duration")
    listed.from_0("duration", "client_cpu")
    if "requests" in config:
        listed.none(cells["requests"] != config["requests"], f"a run has {config['requests']} requests")
    numbers: dict[tuple[str, int], int] = {}
    of_request, of_task, of_cell = (_cells(table, numbers) for table in (requests, tasks, cells))
    check.once(of_request << 32 | requests["request"], "request")
    _paired(check, requests)
    if "warmup" in config and "requests" in config:
        first = min(round(config["warmup"] * config["requests"]), config["requests"] - 1)
        check.none(requests["warmup"] != (requests["request"] < first), f"the first {first} requests are the warm-up")
    all_tasks = asked.once(of_task << 32 | tasks["task"], "task")
    listed.once(of_cell, "cell")
    answered = requests["task"] >= 0
    wanted = of_request << 32 | requests["task"]
    whole = np.isin(of_request, _complete(cells, of_cell, of_request, of_task))
    check.none(whole & answered & ~_among(wanted, all_tasks), f"its task is not in {TASKS}")
    used = np.sort((of_task << 32 | tasks["task"])[tasks.equal("outcome", "used")])
    check.none(whole & answered & ~_among(wanted, used), "the task that answered it was not used")
    _durations(listed, requests, tasks, cells, (of_request, of_task, of_cell))


def _requests(check: Checker, requests: Table, classes: int) -> None:
    check.whole(("run", "request"))
    check.whole(("image",))
    check.whole(("label",), below=classes)
    check.whole(("predicted",), NO_CLASS, classes)
    check.whole(("task",), -1)
    check.known("arrival")
    check.from_0("arrival", "answered", "latency", "encode", "queue", "service", "decode", "hold")
    check.one_of("source", ("", *SOURCES))
    latency = requests["latency"]
    failed = np.isnan(latency)
    check.none(failed != np.isnan(requests["answered"]), "it has a latency but no answer, or an answer but no latency")
    check.none(failed != requests.equal("source", ""), "it has a source but no latency, or a latency but no source")
    check.none(failed == requests.equal("reason", ""), "a request has either an answer or a reason why it failed")
    ended, arrived = requests["answered"], requests["arrival"]
    check.equal(ended - arrived, latency, ended, "its latency is not the time from its arrival to its answer")
    served = ~np.isnan(requests["service"])
    travelled = np.isnan(requests["encode"]) == np.isnan(requests["transport"])
    check.none(~failed & served & ~travelled, "encode and transport must be both known, or neither")
    for one, other in (("encode", "decode"), ("queue", "service")):
        apart = np.isnan(requests[one]) != np.isnan(requests[other])
        check.none(~failed & apart, f"{one} and {other} must be both known, or neither")
    worked = ~failed & (requests["task"] >= 0)
    for name in ("group", "hold"):
        check.none(worked & np.isnan(requests[name]), f"a task answered it, but its {name} is empty")
    check.none(~failed & ~served & ~np.isnan(requests["transport"]), "its transport is known, but not its service")
    known = served & travelled
    total = np.where(known, 0.0, np.nan)
    for name in SUMMED:
        np.add(total, requests[name], out=total, where=~np.isnan(requests[name]))
    check.equal(total, latency, ended, "its phases do not add up to its latency")


def _paired(check: Checker, requests: Table) -> None:
    """Check that every scheme met the same requests."""
    _, place = np.unique(requests["run"] << 32 | requests["request"], return_inverse=True)
    for name in ("arrival", "image", "label", "warmup"):
        column = requests[name]
        met = np.empty(len(column), dtype=column.dtype)
        met[place] = column
        check.none(met[place] != column, f"its {name} is not that of the same request under another scheme")


def _tasks(check: Checker, tasks: Table, workers: int, mode: str | None) -> None:
    check.whole(("run", "task", "attempt"))
    check.whole(("worker",), below=workers)
    check.whole(("share",))
    check.whole(("bytes_sent",), -1)
    check.one_of("outcome", OUTCOMES)
    check.one_of("role", ROLES)
    check.known("sent")
    check.from_0("sent", "ended", "asked", "wanted_s", "queue", "compute", "service")
    ended, service = tasks["ended"], tasks["service"]
    check.none(ended < tasks["sent"] - EXACT - DIGITS * ended, "it ended before it was sent")
    compute, draw = tasks["compute"], tasks["asked"]
    spent = compute + tasks["injected"]
    check.none(np.isnan(service) & ~np.isnan(spent), "computing and injection are known, but not its service")
    check.equal(spent, service, service, "its service is not the sum of computing and injection")
    meant = {"floor": np.maximum(compute, draw), "add": compute + draw, "scale": compute * np.maximum(draw, 1.0)}
    wanted = meant.get(str(mode))
    if wanted is not None:
        unasked = np.isnan(draw) | np.isnan(tasks["wanted_s"])
        check.none(~np.isnan(compute) & unasked, "compute is known, but not what was asked of it")
        check.equal(wanted, tasks["wanted_s"], wanted, "the service wanted is not what was asked of its inference")


def _durations(check: Checker, requests: Table, tasks: Table, cells: Table, of: tuple[NDArray[np.int64], ...]) -> None:
    """Check that a cell lasted from its first arrival to the end of its last task."""
    of_request, of_task, of_cell = of
    size = 1 + max((int(each.max()) for each in of if len(each)), default=0)
    first, last = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(first, of_request, requests["arrival"])
    ended = ~np.isnan(tasks["ended"])
    np.maximum.at(last, of_task[ended], tasks["ended"][ended])
    whole = np.isin(of_cell, _complete(cells, of_cell, of_request, of_task))
    with np.errstate(invalid="ignore"):
        length = np.where(whole & np.isfinite(last[of_cell]), np.maximum(last - first, 0.0)[of_cell], np.nan)
    check.equal(length, cells["duration"], last[of_cell], "its duration is not that of its requests and tasks")


def _complete(
    cells: Table, of_cell: NDArray[np.int64], of_request: NDArray[np.int64], of_task: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the cells that have as many requests and tasks as they say.

    Checks skip the others.
    """
    size = 1 + max((int(each.max()) for each in (of_cell, of_request, of_task) if len(each)), default=0)
    requests, tasks = np.bincount(of_request, minlength=size), np.bincount(of_task, minlength=size)
    return np.asarray(of_cell[(requests[of_cell] == cells["requests"]) & (tasks[of_cell] == cells["tasks"])])


def _among(keys: NDArray[np.int64], ordered: NDArray[np.int64]) -> Mask:
    """Return which of the keys are in a sorted array."""
    if not len(ordered):
        return np.zeros(len(keys), dtype=np.bool_)
    place = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.asarray(ordered[place] == keys)


def _cells(table: Table, numbers: dict[tuple[str, int], int]) -> NDArray[np.int64]:
    """Return a number for every row's cell, the same for the same scheme and run in all tables."""
    keys, place = np.unique(table["scheme"].astype(np.int64) << 32 | table["run"], return_inverse=True)
    texts = table.texts["scheme"]
    cells = [(texts[key >> 32], key & 0xFFFFFFFF) for key in keys.tolist()]
    return np.array([numbers.setdefault(cell, len(numbers)) for cell in cells], dtype=np.int64)[place]


def _classes(header: Mapping[str, Any]) -> int:
    """Return the number of classes of the run's models, or MOST if it is unknown."""
    known = [model["classes"] for model in header.get("models", []) if model.get("classes")]
    return max(known, default=MOST)

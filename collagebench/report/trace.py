"""A run as a Chrome trace, for ui.perfetto.dev or chrome://tracing: what every worker did, and when.

There is a process for each scheme and run, a thread for each worker, a slice for each task in service, and an
asynchronous slice for each request, from its intended arrival to its answer. Times are microseconds since the run
began. (The format is the JSON object form of Chromium's "Trace Event Format".)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from collagebench.report.lanes import starts
from collagebench.results.carried import Cell, carried
from collagebench.results.reader import Run
from collagebench.results.table import EMPTY, Table

MOST_EVENTS = 100_000
"""More events (about 25 MB) are slow to open, so later runs are left out."""

Event = dict[str, Any]


def trace(runs: Sequence[Run], names: Sequence[str], most: int = MOST_EVENTS) -> tuple[str, str | None]:
    """Return the trace of run directories called `names`, and a sentence about what was left out, or None.

    Whole runs of all schemes are included, from the first on, up to about `most` events. If the first run alone has
    more, only its beginning is included.

    Raises:
        DataError: a run's tasks cannot be read.
    """
    events: list[Event] = []
    left_out = []
    pids = count(1)
    for run, name in zip(runs, names, strict=True):
        label = f"{name}: " if len(runs) > 1 else ""
        kept, until = _fitting(run, most // len(runs))
        cells = [(variant, number) for number in kept for variant in run.variants]
        by_task = carried(run.directory, cells)
        for cell in cells:
            events += _cell(run, cell, by_task[cell], next(pids), label, until)
        everything = sorted(set(run.cells["run"].tolist()))
        if until is not None:
            left_out.append(f"{label}only the first {until:.3g} s of run {kept[0]} (of {len(everything)}) are included")
        elif len(kept) < len(everything):
            left_out.append(f"{label}only the first {len(kept)} of {len(everything)} runs are included")
    note = f"the trace would be too large to open: {'; '.join(left_out)}" if left_out else None
    facts = {"tool": runs[0].header.get("tool"), "left_out": note}
    whole = {"displayTimeUnit": "ms", "otherData": facts, "traceEvents": events}
    return json.dumps(whole, separators=(",", ":"), allow_nan=False) + "\n", note


def _fitting(run: Run, most: int) -> tuple[list[int], float | None]:
    """Return the runs to keep, and, if not even the first fits, the second at which it must be cut."""
    kept: list[int] = []
    total = 0
    for number in sorted(set(run.cells["run"].tolist())):
        requests, tasks = (table["run"] == number for table in (run.requests, run.tasks))
        total += 2 * int(requests.sum()) + int(tasks.sum())
        if total > most and kept:
            break
        kept.append(number)
        if total > most:
            times = np.sort(np.concatenate((run.requests["arrival"][requests].repeat(2), run.tasks["sent"][tasks])))
            return kept, float(times[most - 1])
    return kept, None


def _cell(
    run: Run, cell: Cell, by_task: Mapping[int, tuple[int, ...]], pid: int, label: str, until: float | None
) -> Iterator[Event]:
    variant, number = cell
    mine = run.of(variant)
    end = math.inf if until is None else until
    requests = mine.requests.where((mine.requests["run"] == number) & (mine.requests["arrival"] <= end))
    tasks = mine.tasks.where((mine.tasks["run"] == number) & (mine.tasks["sent"] <= end))
    yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": f"{label}{variant}, run {number}"}}
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": pid}}
    roles = dict(zip(tasks["worker"].tolist(), _texts(tasks, "role"), strict=True))
    for worker, role in sorted(roles.items()):
        thread = {"pid": pid, "tid": worker + 1}
        yield {"ph": "M", "name": "thread_name", **thread, "args": {"name": f"worker {worker} ({role})"}}
        yield {"ph": "M", "name": "thread_sort_index", **thread, "args": {"sort_index": worker}}
    yield from _tasks(tasks, by_task, pid)
    yield from _requests(requests, tasks, by_task, pid)


def _tasks(tasks: Table, by_task: Mapping[int, tuple[int, ...]], pid: int) -> Iterator[Event]:
    """Yield a slice for each task that was served; a task cancelled before that took no worker's time."""
    begun = starts(tasks)
    outcomes, roles = _texts(tasks, "outcome"), _texts(tasks, "role")
    for row in np.flatnonzero(~np.isnan(begun)):
        number = int(tasks["task"][row])
        args = {
            "task": number,
            "requests": list(by_task.get(number, ())),
            "attempt": int(tasks["attempt"][row]),
            "share": int(tasks["share"][row]),
            **{f"{name}_ms": _ms(tasks[name][row]) for name in ("queue", "compute", "injected")},
        }
        yield {
            "ph": "X",
            "cat": outcomes[row],
            "name": f"{roles[row]}, {outcomes[row]}",
            "pid": pid,
            "tid": int(tasks["worker"][row]) + 1,
            "ts": _us(begun[row]),
            "dur": _us(tasks["service"][row]),
            "args": args,
        }


def _requests(requests: Table, tasks: Table, by_task: Mapping[int, tuple[int, ...]], pid: int) -> Iterator[Event]:
    """Yield the two ends of each request; a failed one ends with its last task."""
    last: dict[int, float] = {}
    for task, ended in zip(tasks["task"].tolist(), tasks["ended"].tolist(), strict=True):
        for request in by_task.get(task, ()) if not math.isnan(ended) else ():
            last[request] = max(ended, last.get(request, ended))
    sources, reasons = _texts(requests, "source"), _texts(requests, "reason")
    for row, number in enumerate(requests["request"].tolist()):
        arrival, latency = float(requests["arrival"][row]), float(requests["latency"][row])
        end = max(arrival, last.get(number, arrival)) if math.isnan(latency) else arrival + latency
        right = requests["predicted"][row] == requests["label"][row] if requests["predicted"][row] != EMPTY else None
        same = {"cat": "request", "name": "request", "id": f"{pid}.{number}", "pid": pid, "tid": 0}
        args = {
            "request": number,
            "source": sources[row] or None,
            "failed": reasons[row] or None,
            "right": None if right is None else bool(right),
            "warmup": bool(requests["warmup"][row]),
            "latency_ms": _ms(latency),
        }
        yield {"ph": "b", **same, "ts": _us(arrival), "args": args}
        yield {"ph": "e", **same, "ts": _us(end)}


def _texts(table: Table, column: str) -> list[str]:
    texts = table.texts[column]
    return [texts[code] for code in table[column].tolist()]


def _us(seconds: float) -> float:
    return round(float(seconds) * 1e6, 3)


def _ms(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(float(seconds) * 1e3, 6)

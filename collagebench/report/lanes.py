"""Timelines of the workers around the slowest requests: a lane for each worker, a bar for each task in service.

Times are seconds since the run began. A live worker's clock is never used: its service is placed midway between sending
the task and receiving its reply, so a bar may be off by half the transport time. A lost reply is never received, so its
service is placed as if there were no transport.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from collagebench.report.frame import WIDTH, Box, Looks, axes, figure, ms, text, text_width
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_ms
from collagebench.report.scales import Scale, room_for
from collagebench.results.carried import Cell, carried
from collagebench.results.checks import SUMMED
from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.latency import infinite_if_failed

SLOWEST = 3
LANES = 12
"""The most workers that are shown."""
LANE = 14
CODES = ("parity", "coded")
"""Sources of answers that are decoded from the replies to several tasks."""
LEGEND = (
    "Solid: the task that answered the request, or those from whose replies its answer was decoded. Hollow: its other "
    "tasks. Dotted: waiting. A cross: never served. Grey: tasks of other requests."
)


def timelines(key: str, run: Run, looks: Looks) -> list[list[Markup]]:
    """Return for every scheme the plots of its slowest requests, the slowest first."""
    slowest = {variant: _slowest(run.of(variant).requests) for variant in run.variants}
    cells = {(variant, int(rows["run"][row])) for variant, (rows, order) in slowest.items() for row in order}
    tasks = carried(run.directory, cells) if cells else {}
    plots = []
    for scheme, (variant, (rows, order)) in enumerate(slowest.items()):
        mine = run.of(variant).tasks
        plots.append(
            [
                _plot(f"{key}-{scheme}-{place}", variant, rows, row, mine, tasks, looks[variant].classes)
                for place, row in enumerate(order)
            ]
        )
    return [of_scheme for of_scheme in plots if of_scheme]


def starts(tasks: Table) -> np.ndarray:
    """Return the start of each task's service; NaN if it never began or is unknown."""
    on_the_way = np.nan_to_num(tasks["ended"] - tasks["sent"] - tasks["queue"] - tasks["service"])
    on_the_way[tasks.equal("outcome", "dropped")] = 0  # a lost reply ends when the client gives up
    begun: np.ndarray = tasks["sent"] + tasks["queue"] + np.maximum(on_the_way, 0.0) / 2 + 0 * tasks["service"]
    return begun


def _slowest(requests: Table) -> tuple[Table, list[int]]:
    """Return a scheme's requests, without the warm-up, and the rows of the slowest; failed ones come first."""
    counted = requests.where(~requests["warmup"])
    order = np.argsort(-infinite_if_failed(counted), kind="stable")[:SLOWEST]
    return counted, [int(row) for row in order]


def _plot(
    key: str,
    variant: str,
    requests: Table,
    row: int,
    tasks: Table,
    by_task: Mapping[Cell, Mapping[int, tuple[int, ...]]],
    classes: str,
) -> Markup:
    run, number = int(requests["run"][row]), int(requests["request"][row])
    arrival, latency = float(requests["arrival"][row]), float(requests["latency"][row])
    cell = tasks.where(tasks["run"] == run)
    contents = [by_task[variant, run].get(int(task), ()) for task in cell["task"]]
    own = np.array([number in requests_of for requests_of in contents], dtype=np.bool_)
    answered = _answered_by(requests, row, cell, own, contents)
    own |= answered
    last = float(np.nanmax(np.concatenate((cell["ended"][own], [arrival]))))
    failed = math.isnan(latency)
    end = max(last, arrival + 1e-3) if failed else arrival + latency
    around = max(0.25 * (end - arrival), 1e-4)
    before, after = arrival - around, end + around
    begun = starts(cell)
    seen = own | ((begun < after) & (begun + cell["service"] > before))
    lanes = _lanes(cell.where(own), cell.where(seen))
    roles = {worker: cell.texts["role"][code] for worker, code in zip(cell["worker"], cell["role"], strict=True)}
    left = room_for([f"{worker} {roles[worker]}" for worker in lanes], 110)
    box = Box(left, WIDTH - 4, 24, 24 + LANE * len(lanes) + 4)
    x = Scale(before, after, box.left, box.right)
    shifted = Scale(before - arrival, after - arrival, box.left, box.right)
    drawn = axes(box, shifted, None, x_title="ms since its arrival", x_text=ms)
    for place, worker in enumerate(lanes):
        level = box.top + 3 + LANE * place
        drawn.append(text(0, level + 9, f"{worker} {roles[worker]}", class_="tick"))
        here = np.flatnonzero(seen & (cell["worker"] == worker))
        for of_it in sorted(here, key=lambda row: bool(own[row])):  # its own tasks are drawn last, on top
            look = "other" if not own[of_it] else f"{classes} own used" if answered[of_it] else f"{classes} own"
            drawn.append(_bar(cell, int(of_it), float(begun[of_it]), look, x, level))
    answer = "failed" if failed else f"answered after {as_ms(latency)} ms"
    drawn += [
        tag("path", class_="moment", d=f"M{x(arrival):.1f} 16V{box.bottom:g}M{x(end):.1f} 16V{box.bottom:g}"),
        text(min(x(arrival), x(end) - 12 - text_width(answer)), 11, "arrives", class_="tick", anchor="middle"),
        text(min(x(end) + 40, box.right), 11, answer, class_="label", anchor="end"),
    ]
    hidden = len(np.unique(cell["worker"])) - len(lanes)
    note = _fate(requests, row) + (
        f" {hidden} more worker{'s are' if hidden > 1 else ' is'} not shown." if hidden > 0 else ""
    )
    title = f"{variant}: run {run}, request {number}"
    return figure(key, title, box.bottom + 34, drawn, says=f"{title}. {note}", note=note)


LEAST = 5e-5
"""Shorter phases, in seconds, are not mentioned."""


def _fate(requests: Table, row: int) -> str:
    """Return a sentence about the outcome of a request."""
    if math.isnan(requests["latency"][row]):
        reason = requests.texts["reason"][requests["reason"][row]]
        return f"It failed ({reason})."
    source = requests.texts["source"][requests["source"][row]]
    parts = {name: float(requests[name][row]) for name in SUMMED}
    long = [f"{name} {as_ms(seconds)} ms" for name, seconds in parts.items() if seconds > LEAST]
    injected = float(requests["injected"][row])
    rest = f", of the service {as_ms(injected)} ms injected" if injected > 0 else ""
    return f"Source of the answer: {source}" + (f" ({', '.join(long)}{rest})." if long else ".")


def _answered_by(
    requests: Table, row: int, cell: Table, own: np.ndarray, contents: Sequence[tuple[int, ...]]
) -> np.ndarray:
    """Return a mask of the tasks from which a request was answered; `own` is that of the tasks which carried it.

    A decoded answer came from its group's coded tasks and, with a parity, from the singles of the group's other
    requests, as far as they had replied by then.
    """
    completed: np.ndarray = cell["task"] == requests["task"][row]
    if requests.texts["source"][requests["source"][row]] not in CODES:
        return completed
    there: np.ndarray = completed | (cell.equal("outcome", "used") & (cell["ended"] <= requests["answered"][row]))
    group = {member for place in np.flatnonzero(own & there).tolist() for member in contents[place]}
    there &= np.array([not group.isdisjoint(members) for members in contents], dtype=np.bool_)
    return there


def _lanes(own: Table, seen: Table) -> list[int]:
    """Return the workers to show, sorted; those with a task of the request are chosen first."""
    mine = list(dict.fromkeys(own["worker"].tolist()))
    others = [worker for worker in sorted(set(seen["worker"].tolist())) if worker not in mine]
    return sorted((mine + others)[:LANES])


def _bar(cell: Table, row: int, begun: float, look: str, x: Scale, level: float) -> Markup:
    """Return the drawing of a task: its wait as a line, its service as a bar; a task never served has only a line.

    `look` is the classes of the drawing; the wait of a task of another request is not drawn.
    """
    outcome = cell.texts["outcome"][cell["outcome"][row]]
    sent, ended = float(cell["sent"][row]), float(cell["ended"][row])
    service = float(cell["service"][row])
    served = not math.isnan(begun)
    until = begun if served else (ended if not math.isnan(ended) else sent)
    tip = f"task {cell['task'][row]}, {outcome}" + (f", service {as_ms(service)} ms" if served else "")
    drawn = [tag("title", tip)]
    own = look != "other"
    if own and x(until) > x(sent):
        drawn.append(tag("path", class_="wait", d=f"M{x(sent):.1f} {level + 5:g}H{x(until):.1f}"))
    if served:
        start, stop = x(begun), x(begun + service)
        drawn.append(tag("rect", x=start, y=level, width=max(1.0, stop - start - 0.8), height=LANE - 4, class_="task"))
    elif own:
        drawn.append(tag("path", class_="wait", d=f"M{x(until) - 3:.1f} {level + 2:g}l6 6m0 -6l-6 6"))
    return tag("g", *drawn, class_=look)

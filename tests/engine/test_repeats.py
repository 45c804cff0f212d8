"""Which runs are measured again because the client was late, what is kept and what is shown; without workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import HEADER, cell, request

from collagebench.cli.resolve import resolve
from collagebench.engine.cells import Progress, in_order
from collagebench.engine.plan import Plan, make_plan
from collagebench.engine.repeats import late_again
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter

REQUESTS, LATENCY, LATE = 40, 0.1, 0.03
SCHEMES = ("none", "hedge")

Lag = Callable[[str, int, int], float]
"""Returns the dispatch lag, in s, for a scheme, a run and how often it has been measured before."""


class Watching(Progress):
    """A progress that keeps what it is called with."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.shown: list[str] = []
        self.begun: list[tuple[int, tuple[str, ...], int]] = []

    def stage(self, text: str) -> None:
        """Keep it."""
        self.stages.append(text)

    def show(self, text: str) -> None:
        """Keep it."""
        self.shown.append(text)

    def begin(self, requests: int, schemes: tuple[str, ...], runs: int) -> None:
        """Keep it."""
        self.begun.append((requests, schemes, runs))


def planned(**options: Any) -> Plan:
    """Return the plan of four runs of two schemes."""
    given = {"schemes": SCHEMES, "workers": 4, "runs": 4, "requests": REQUESTS, "compute": "emulated"}
    return make_plan(resolve({**given, "compute_time": 0.002, **options}))


def again(
    directory: Path, plan: Plan, lag: Lag, lost: Collection[int] = (), failed: bool = False, full: bool = False
) -> tuple[list[list[tuple[int, str]]], Watching]:
    """Write the plan's cells, then those to measure again; return the latter, run by run, and the progress.

    `failed`: late cells have no answer; `full`: there is no room for a copy of the records.
    """
    writer, progress = RunWriter(directory, {**HEADER, "engine": "live"}), Watching()

    def measure(scheme: str, run: int, times: int) -> None:
        late = lag(scheme, run, times)
        for number in range(REQUESTS):
            latency = None if failed and late >= LATE else LATENCY
            writer.request(request(scheme, run, number, latency=latency, lag=late, task=None))
        writer.cell(cell(scheme, run, REQUESTS))

    async def collect() -> list[list[tuple[int, str]]]:
        asked = []
        async for cells in late_again(plan, writer, directory, progress, lost):
            asked.append([(run, variant.name) for _, run, variant in cells])
            measured = load(directory)
            assert not {run for run, _ in asked[-1]} & set(measured.cells["run"].tolist())
            for _, run, variant in cells:
                measure(variant.name, run, sum(run == some[0][0] for some in asked))
        return asked

    for _, run, variant in in_order(plan):
        measure(variant.name, run, 0)
    if full:
        (directory / "cells.csv.partial").mkdir()
    try:
        return asyncio.run(collect()), progress
    finally:
        if full:
            (directory / "cells.csv.partial").rmdir()
        writer.finish("done")
        writer.close()


def test_all_schemes_of_a_late_run_are_asked_for_again_and_nothing_else(tmp_path: Path) -> None:
    """All schemes of a late run are measured again in the order of execution, and no others.

    The message has the largest lag, and the header keeps the figures of the replaced cells.
    """
    plan = planned()
    lags = {("hedge", 2): LATE, ("none", 3): 2 * LATE, ("hedge", 3): 0.001}
    asked, progress = again(
        tmp_path / "run", plan, lambda scheme, run, times: 0 if times else lags.get((scheme, run), 0)
    )
    order = [(run, variant.name) for _, run, variant in in_order(plan)]
    assert asked == [[one for one in order if one[0] == run] for run in (2, 3)]
    assert progress.shown == [
        "measuring 2 of 4 runs again, because the client was late (dispatch lag p99 up to 60.0 ms)"
    ]
    assert progress.begun == [(4 * REQUESTS, SCHEMES, 4)]
    assert progress.stages == ["checking whether the client was late"] * 2
    kept = {(one["scheme"], one["run"]): one for one in load(tmp_path / "run").header["replaced"]}
    assert {name: one["dispatch_lag_p99_s"] for name, one in kept.items()} == {
        ("none", 2): 0.0, ("hedge", 2): LATE, ("none", 3): 2 * LATE, ("hedge", 3): 0.001,
    }  # fmt: skip
    assert {(one["p50_s"], one["p99_s"]) for one in kept.values()} == {(LATENCY, LATENCY)}


def test_what_is_late_each_time_is_asked_for_twice(tmp_path: Path) -> None:
    """A run that is late each time is measured again twice; the second message says `once more`."""
    asked, progress = again(tmp_path / "run", planned(), lambda scheme, run, times: LATE if run == 1 else 0)
    assert [cells[0][0] for cells in asked] == [1, 1]
    assert [text[:36] for text in progress.shown] == [
        "measuring 1 of 4 runs again, because",
        "measuring 1 of 4 runs once more, bec",
    ]


@pytest.mark.parametrize(
    ("options", "late", "lost"),
    [
        ({}, 0, ()),
        ({}, 3, ()),
        ({}, 1, (2,)),
        ({"stragglers": "none", "rate": 10.0}, 1, ()),
        ({"stragglers": "stop", "rate": 10.0}, 1, ()),
    ],
    ids=["in time", "more than half", "a worker is lost", "nothing is injected", "slowness really happens"],
)
def test_nothing_is_measured_again_where_it_would_not_help(
    tmp_path: Path, options: dict[str, Any], late: int, lost: Collection[int]
) -> None:
    """Nothing is measured again if no run or most runs are late, if a worker is lost, or if slowness is real."""
    asked, _ = again(tmp_path / "run", planned(**options), lambda scheme, run, times: LATE if run < late else 0, lost)
    run = load(tmp_path / "run")
    assert (asked, len(run.cells), "replaced" in run.header) == ([], 8, False)


def test_without_room_for_a_copy_the_late_run_stays(tmp_path: Path) -> None:
    """Without room for a copy of the records, nothing is measured again, a message says so, and the records stay."""
    asked, progress = again(tmp_path / "run", planned(), lambda scheme, run, times: LATE if run == 1 else 0, full=True)
    assert progress.shown[1:] == [f"there is no room in {tmp_path / 'run'} to measure again"]
    run = load(tmp_path / "run")
    assert (asked, len(run.cells), len(run.requests), "replaced" in run.header) == ([], 8, 8 * REQUESTS, False)


def test_a_late_cell_in_which_all_failed_has_no_latency_to_keep(tmp_path: Path) -> None:
    """A replaced cell in which every request failed has null latencies in `run.json`, not infinite ones."""

    def lag(scheme: str, run: int, times: int) -> float:
        return LATE if (scheme, run, times) == ("hedge", 1, 0) else 0

    again(tmp_path / "run", planned(), lag, failed=True)
    kept = load(tmp_path / "run").header["replaced"]
    assert {one["scheme"]: (one["p50_s"], one["p99_s"]) for one in kept} == {
        "none": (LATENCY, LATENCY),
        "hedge": (None, None),
    }

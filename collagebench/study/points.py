"""Many simulated experiments in a pool of processes; each is a point of a study, with its own run directory.

Points differ only in their configs: all use the same inference times. Finished points are kept, and an interrupted
study continues where it stopped.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

from collagebench.config import Config
from collagebench.engine import experiment, in_virtual_time
from collagebench.engine.cells import Progress
from collagebench.engine.plan import compute_times
from collagebench.errors import DataError, Interrupted, OutputError
from collagebench.ordinary import ordinary
from collagebench.report.alike import across
from collagebench.report.summary import summarise
from collagebench.results.directory import CELLS, HEADER, REQUESTS, TASKS
from collagebench.results.environment import cores
from collagebench.results.reader import load
from collagebench.study import pool as processes
from collagebench.study.pool import MakePool, open_pool
from collagebench.whole import leftovers, write_whole

Compute = Mapping[tuple[str, int], float]
"""Seconds of one inference, by model name and batch size."""
NOTHING: Compute = {}


@dataclass(frozen=True, slots=True)
class Point:
    """One experiment of a study."""

    name: str
    """Unique in the study; also the name of the point's directory."""
    config: Config


def measured(configs: Sequence[Config], known: Compute = NOTHING) -> Compute:
    """Return the inference times of all models that the configs need; measure those that are not `known`.

    For a config with a `compute_time` nothing is measured, but its models must exist. All configs must use the same
    directory of models.

    Raises what `engine.plan.make_plan` and `experiment.check_simulated` raise.
    """
    for config in configs:
        experiment.check_simulated(config)
    found = dict(known)
    # Configs that differ only in other fields use the same models.
    alike = {
        replace(
            Config(config.schemes, config.workers),
            **{name: getattr(config, name) for name in ("dataset", "data", "download", "models", "precision")},
            compute_time=config.compute_time,
        )
        for config in configs
    }
    for config in alike:
        if config.compute_time is None:
            found.update(compute_times(config, found))
        else:
            compute_times(config)
    return found


def run_points(
    points: Sequence[Point],
    directory: Path,
    compute: Compute,
    jobs: int = 0,
    done: Callable[[int, int, str], None] = lambda done, of, line: None,
    pool: MakePool | None = None,
    finished: Callable[[Point, dict[str, Any]], None] = lambda point, summary: None,
) -> list[dict[str, Any]]:
    """Simulate every point into `directory / its name`; return the summaries, as in `report --format json`.

    A finished point is not simulated again, and an interrupted one is continued. `compute` is what `measured` returned.
    `jobs` is the number of parallel processes, 0 for one per core; `pool` makes another executor of that size. `done`
    is called a few times a second with the requests that have arrived so far over all points, their total, and a line
    to show. `finished` is called with each finished point and its summary.

    Raises:
        CollagebenchError: a point failed; the message names it. Finished points are kept.
        Interrupted: the user stopped it; finished points are kept.
    """
    jobs = max(1, min(jobs or cores(), len(points)))
    requests = {point.name: _requests(point.config) for point in points}
    named = {point.name: point for point in points}
    counters = counters_of(len(points))
    whole: set[str] = set()
    began = time.monotonic()

    def look() -> None:
        arrived = sum(counters)
        there = sum(
            requests[name] if name in whole else min(requests[name], counters[place])
            for place, name in enumerate(requests)
        )
        seconds = time.monotonic() - began
        rate = f", {arrived / seconds:,.0f} requests/s" if arrived and seconds > 1 else ""
        done(there, sum(requests.values()), f"{len(whole)} of {len(points)} simulated{rate}")

    def keep(name: str, summary: dict[str, Any]) -> None:
        whole.add(name)
        finished(named[name], summary)
        look()

    look()
    work = {
        point.name: (place, point, directory / point.name, dict(compute), jobs) for place, point in enumerate(points)
    }
    try:
        with open_pool(jobs, pool, counters) as some:
            return list(some.each(simulate_point, work, keep, look).values())
    except Interrupted:
        raise interrupted(directory) from None


def interrupted(directory: Path) -> Interrupted:
    """Return the error of a study in `directory` that the user stopped."""
    if not directory.exists():
        return Interrupted("interrupted before anything was finished")
    where = shlex.quote(str(directory))
    return Interrupted(
        f"interrupted; what was finished is in {directory}: repeat the command with --out {where} to continue"
    )


def keep_answer(
    answer: dict[str, Any], page: str, directory: Path, names: tuple[str, str], others: Mapping[str, str] = {}
) -> None:
    """Write a study's answer beside its points, as JSON and as a page; `names` are the names of the two files.

    `others` are further files to write: their texts by name.

    Raises:
        OutputError: a file cannot be written.
    """
    texts = dict(zip(names, (json.dumps(answer, indent=2, allow_nan=False) + "\n", page), strict=True))
    for name, text in {**texts, **others}.items():
        path = directory / name
        try:
            if path.exists():
                ordinary(path)  # a pipe may wait for a reader forever
            write_whole(path, text.encode())
        except OSError as error:
            raise OutputError(
                f"the answer cannot be written to {path} ({error.strerror or error}): mend that and repeat the "
                "command; what was simulated is kept"
            ) from None


def of_scheme(summary: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Return a scheme's part of a summary."""
    return next(scheme for scheme in summary["schemes"] if scheme["variant"] == variant)


def notes_of(summaries: Sequence[Mapping[str, Any]]) -> list[tuple[list[str], str]]:
    """Return each warning once, even where its numbers differ, after the indices (as text) of the summaries with it."""
    variants = dict.fromkeys(scheme["variant"] for summary in summaries for scheme in summary["schemes"])
    said = [(str(place), text) for place, summary in enumerate(summaries) for text in summary["warnings"]]
    return across(said, list(variants))


def simulate_point(place: int, point: Point, directory: Path, compute: Compute, jobs: int) -> dict[str, Any]:
    """Simulate the point with index `place` unless it is finished, and return its summary; runs in a pool process."""
    run_cells = partial(in_virtual_time.run_cells, threads=max(1, cores() // jobs))
    known = compute if point.config.compute_time is None else NOTHING
    with or_removed(directory, "simulated"):
        experiment.simulate(point.config, directory, Counted(place), _begun(directory), known, run_cells)
        summary: dict[str, Any] = summarise([load(directory)])
    return summary


@contextmanager
def or_removed(directory: Path, done: str) -> Iterator[None]:
    """Add to an error about what was kept in a point's `directory` how to have it `done` (simulated, run) again."""
    try:
        yield
    except (DataError, OutputError) as error:
        if not str(error).startswith(str(directory)) or not os.path.lexists(directory):  # about images, or a disk
            raise
        raise type(error)(f"{error}; remove {directory}, so that it is {done} again") from None


class Counted(Progress):
    """Counts arrivals in memory shared with the parent, if there is any."""

    def __init__(self, place: int) -> None:
        self._place = place

    def advance(self, requests: int) -> None:
        """Add to the counter of this point."""
        if processes.shared is not None:
            processes.shared[self._place] += requests


def counters_of(points: int) -> Any:
    """Return counters that processes share; if they cannot share memory, counters that stay 0."""
    try:
        return RawArray("Q", max(1, points))
    except OSError:
        return [0] * points


def _requests(config: Config) -> int:
    return config.requests * config.runs * len(config.schemes)


def _begun(directory: Path) -> bool:
    """Tell whether the point can be resumed; if it has no finished cell, remove its incomplete files.

    Raises:
        DataError: it has records, but no header.
    """
    if os.path.lexists(directory / CELLS):
        if not os.path.lexists(directory / HEADER):
            raise DataError(f"{directory} has lost its {HEADER}")
        return True
    for path in (*leftovers(directory / HEADER), *(directory / name for name in (HEADER, REQUESTS, TASKS))):
        with suppress(OSError):
            path.unlink()
    return False

"""Many simulated experiments at once: each a point with a run directory of its own, in a pool of processes.

Points differ by their configs and by nothing else: all are told the same times of inference. What is finished stays; a
study that was interrupted is gone on with where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

from collagebench.config import Config
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.plan import compute_times
from collagebench.errors import Interrupted, OutputError
from collagebench.report.alike import across
from collagebench.report.summary import summarise
from collagebench.results.directory import CELLS, HEADER, REQUESTS, TASKS
from collagebench.results.environment import cores
from collagebench.results.reader import load
from collagebench.study import pool as processes
from collagebench.study.pool import MakePool, open_pool
from collagebench.whole import leftovers, write_whole

Compute = Mapping[tuple[str, int], float]
"""Seconds of one inference, by the model's name and the size of the batch."""
NOTHING: Compute = {}


@dataclass(frozen=True, slots=True)
class Point:
    """One experiment of a study."""

    name: str
    """Unique in the study, and a directory's name."""
    config: Config


def measured(configs: Sequence[Config], known: Compute = NOTHING) -> Compute:
    """Return the times of inference of all models that the configs need; those that are not `known` are measured.

    Configs that say how long an inference takes need no measuring, but their models are looked for as well. All configs
    must have the models of one directory.

    Raises what `engine.plan.make_plan` and `experiment.check_simulated` raise.
    """
    for config in configs:
        experiment.check_simulated(config)
    found = dict(known)
    # Whatever else differs, the models do not.
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
    """Simulate every point into `directory / its name`; return their summaries, as `report --format json` has them.

    A point that is there is not done again, and one that was interrupted is gone on with. `compute` should be those of
    `measured`. `jobs` processes at a time, 0 for one a core; `pool` makes another executor of so many. `done` hears
    some times a second how many of how many requests have arrived, over all points, and what is to be said of it;
    `finished` hears of each point that is whole.

    Raises:
        CollagebenchError: a point could not be done; the sentence names it. Those that are finished stay.
        Interrupted: the user stopped it; what is finished stays.
    """
    jobs = max(1, min(jobs or cores(), len(points)))
    requests = {point.name: _requests(point.config) for point in points}
    named = {point.name: point for point in points}
    counters = _counters(len(points))
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
    """Return what is said when a study is stopped that lives in `directory`."""
    if not directory.exists():
        return Interrupted("interrupted before anything was finished")
    return Interrupted(
        f"interrupted; what was finished is in {directory}: repeat the command with --out {directory} to continue"
    )


def keep_answer(answer: dict[str, Any], page: str, directory: Path, names: tuple[str, str]) -> None:
    """Keep a study's answer beside its points, as JSON and as a page; `names` are those of the two files.

    Raises:
        OutputError: it cannot be written.
    """
    for name, text in zip(names, (json.dumps(answer, indent=2, allow_nan=False) + "\n", page), strict=True):
        path = directory / name
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise OutputError(f"the answer cannot be written to {path} ({error.strerror or error})") from None


def of_scheme(summary: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Return what a summary says of a scheme."""
    return next(scheme for scheme in summary["schemes"] if scheme["variant"] == variant)


def notes_of(summaries: Sequence[Mapping[str, Any]]) -> list[tuple[list[str], str]]:
    """Return what summaries warn of, each once where only numbers differ, and in which of them, by number."""
    variants = dict.fromkeys(scheme["variant"] for summary in summaries for scheme in summary["schemes"])
    said = [(str(place), text) for place, summary in enumerate(summaries) for text in summary["warnings"]]
    return across(said, list(variants))


def simulate_point(place: int, point: Point, directory: Path, compute: Compute, jobs: int) -> dict[str, Any]:
    """Simulate the point number `place` unless it is there already, and return its summary; what a process does."""
    resume = _begun(directory)
    threads = max(1, cores() // jobs)
    known = compute if point.config.compute_time is None else NOTHING
    progress = _Counted(place)
    experiment.simulate(point.config, directory, progress, resume, known, threads)
    summary: dict[str, Any] = summarise([load(directory)])
    return summary


class _Counted(Progress):
    """Counts arrivals where the parent sees it, if it does."""

    def __init__(self, place: int) -> None:
        self._place = place

    def advance(self, requests: int) -> None:
        if processes.shared is not None:
            processes.shared[self._place] += requests


def _counters(points: int) -> Any:
    """Return numbers that processes share; where they cannot share any, numbers that stay 0."""
    try:
        return RawArray("Q", max(1, points))
    except OSError:
        return [0] * points


def _requests(config: Config) -> int:
    return config.requests * config.runs * len(config.schemes)


def _begun(directory: Path) -> bool:
    """Say whether there is something to go on with; what was killed before its first record is taken away."""
    if (directory / CELLS).exists():
        return True
    for path in (*leftovers(directory / HEADER), *(directory / name for name in (HEADER, REQUESTS, TASKS))):
        with suppress(OSError):
            path.unlink()
    return False

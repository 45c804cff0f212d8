"""Many simulated experiments at once: each a point with a run directory of its own, in a pool of processes.

Points differ by their configs and by nothing else: all are told the same times of inference. What is finished stays; a
study that was interrupted is gone on with where it stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collagebench.config import Config
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.plan import compute_times
from collagebench.errors import CollagebenchError, Interrupted
from collagebench.report.summary import summarise
from collagebench.results.reader import load
from collagebench.results.writer import HEADER

Compute = Mapping[tuple[str, int], float]
"""Seconds of one inference, by the model's name and the size of the batch."""
NOTHING: Compute = {}
LOOK_EVERY = 0.2
"""Seconds from one look for a Ctrl-C to the next."""


@dataclass(frozen=True, slots=True)
class Point:
    """One experiment of a study."""

    name: str
    """Unique in the study, and a directory's name."""
    config: Config


def measured(configs: Sequence[Config], known: Compute = NOTHING) -> Compute:
    """Return the times of inference of all models that the configs need; those that are not `known` are measured.

    Raises what `engine.plan.make_plan` raises.
    """
    found = dict(known)
    for config in configs:
        found.update(compute_times(config, found))
    return found


def run_points(
    points: Sequence[Point],
    directory: Path,
    compute: Compute,
    jobs: int = 0,
    done: Callable[[int, int, str], None] = lambda done, of, line: None,
    pool: Callable[[int], Executor] | None = None,
) -> list[dict[str, Any]]:
    """Simulate every point into `directory / its name`; return their summaries, as `report --format json` has them.

    A point that is there is not done again, and one that was interrupted is gone on with. `compute` should be those of
    `measured`. `jobs` processes at a time, 0 for one a core; `pool` makes another executor of so many. `done` hears how
    many of how many are finished, and what is to be said of it.

    Raises:
        CollagebenchError: a point could not be done; the sentence names it. Those that are finished stay.
        Interrupted: the user stopped it; what is finished stays.
    """
    jobs = min(jobs or _cores(), len(points)) or 1
    done(0, len(points), "simulating")
    found: dict[int, dict[str, Any]] = {}
    with _stoppable() as stopped, (pool or _pool)(jobs) as executor:
        waiting: dict[Future[dict[str, Any]], int] = {}
        coming = iter(enumerate(points))
        try:
            while len(found) < len(points):
                while len(waiting) < jobs and (following := next(coming, None)) is not None:
                    place, point = following
                    waiting[executor.submit(simulate_point, point, directory / point.name, dict(compute), jobs)] = place
                finished, _ = wait(waiting, LOOK_EVERY, FIRST_COMPLETED)
                if stopped.is_set():
                    raise Interrupted("interrupted")
                for future in finished:
                    place = waiting.pop(future)
                    found[place] = _result(future, points[place])
                    done(len(found), len(points), "simulating")
        finally:
            for future in waiting:
                future.cancel()
            if stopped.is_set():  # they were told as well, and save what they have
                wait(waiting)
    return [found[place] for place in range(len(points))]


def simulate_point(point: Point, directory: Path, compute: Compute, jobs: int) -> dict[str, Any]:
    """Simulate one point unless it is there already, and return its summary; what a process of the pool does."""
    resume = (directory / HEADER).exists()
    threads = max(1, _cores() // jobs)
    experiment.simulate(point.config, directory, Progress(), resume, compute, threads)
    summary: dict[str, Any] = summarise([load(directory)])
    return summary


def _result(future: Future[dict[str, Any]], point: Point) -> dict[str, Any]:
    try:
        return future.result()
    except Interrupted:
        raise Interrupted("interrupted") from None
    except CollagebenchError as error:
        raise type(error)(f"{point.name}: {error}") from None
    except BrokenProcessPool:
        raise CollagebenchError(
            f"{point.name}: a process of the study was killed, by the system if memory ran short: what is finished "
            "stays; go on with fewer --jobs"
        ) from None


def _pool(jobs: int) -> Executor:
    # Not forked: a fork of a process with threads, such as those of ONNX Runtime, may hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Leave Ctrl-C to the experiment, which ends between two steps, and end at once when the parent is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until an experiment runs, which has a handler of its own

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Yield what is set by a Ctrl-C or a SIGTERM, which the processes of the pool are told of as well."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, frame: object) -> None:
        if not stopped.is_set():
            stopped.set()
            for process in multiprocessing.active_children():
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGTERM)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, stop) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

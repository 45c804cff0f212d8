"""The cells of one simulated experiment in a pool of processes.

A process writes the records of a cell into files of its own. They are added to the run directory in the order in which
one process would simulate the cells, so that the records are the same, byte for byte, however many processes there are.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collagebench.config import Config
from collagebench.engine import experiment, in_virtual_time
from collagebench.engine.cells import Progress, begin, in_order
from collagebench.engine.conductor import Listener
from collagebench.engine.evaluation import Evaluator
from collagebench.engine.plan import Plan, make_plan
from collagebench.engine.tally import Tally, Watched
from collagebench.results.directory import PARTS
from collagebench.results.environment import cores
from collagebench.results.part import new_part
from collagebench.results.writer import RunWriter
from collagebench.study.points import Counted, counters_of
from collagebench.study.pool import open_pool

WORTH = 100_000
"""Requests of all cells together, from which several processes are sooner done than one, as each has to begin."""
CLASSIFIED_AT_ONCE = 256
"""Images that are classified from one report of progress to the next."""

IMAGES = "images.npy"
"""The images of all runs, uint8 [n, height, width, 3], beside the parts."""

Compute = tuple[tuple[tuple[str, int], float], ...]
"""Model name, batch size and seconds of one inference."""
Found = tuple[tuple[int, int, float], float, Tally]
"""What `run_cell` returned, the seconds that it took, and the counts of answers."""


def simulate(config: Config, directory: Path, progress: Progress, resume: bool = False, jobs: int = 0) -> None:
    """Simulate an experiment in `jobs` processes; 0: one per core, or only one if the experiment is small.

    Raises:
        CollagebenchError: the experiment failed; finished cells are saved.
        Interrupted: the user stopped it; finished cells are saved.
    """
    run_cells = partial(_run_cells, directory=directory, jobs=jobs)
    experiment.simulate(config, directory, progress, resume, run_cells=run_cells)


def _run_cells(
    plan: Plan, writer: RunWriter, progress: Progress, done: Collection[tuple[str, int]], directory: Path, jobs: int
) -> bool:
    cells = in_order(plan, done)
    is_small = len(cells) * plan.config.requests < WORTH
    jobs = min(jobs or (1 if is_small else cores()), len(cells))
    if jobs < 2:
        return in_virtual_time.run_cells(plan, writer, progress, done)
    _classify(plan, progress)
    begin(plan, progress, cells)
    counters = counters_of(len(cells))
    names = [f"run {run + 1}, {variant.name}" for _, run, variant in cells]
    waiting: dict[str, Found] = {}
    arrived = written = 0

    def look() -> None:
        nonlocal arrived
        before, arrived = arrived, sum(counters)
        progress.advance(arrived - before)

    def keep(name: str, found: Found) -> None:
        nonlocal written
        waiting[name] = found
        while written < len(cells) and names[written] in waiting:
            facts, seconds, tally = waiting.pop(names[written])
            place, run, variant = cells[written]
            writer.take_over(place)
            in_virtual_time.write_cell(writer, place, run, variant, facts)
            written += 1
            progress.elsewhere(variant.name, run, seconds, tally)
            progress.stage(f"{written} of {len(cells)} cells done")

    compute, threads = tuple(plan.compute.items()), max(1, cores() // jobs)
    progress.stage(f"{len(cells)} cells, {jobs} at a time")
    shutil.rmtree(directory / PARTS, ignore_errors=True)  # of a process that was killed
    try:
        (directory / PARTS).mkdir()
        np.save(directory / PARTS / IMAGES, plan.images.pixels)
    except OSError:  # no room for it, so each process reads the images itself
        with suppress(OSError):
            (directory / PARTS / IMAGES).unlink()
    work = {
        name: (number, plan.config, compute, threads, directory, place, run, variant.name)
        for number, (name, (place, run, variant)) in enumerate(zip(names, cells, strict=True))
    }
    try:
        with open_pool(jobs, counters=counters) as pool:
            pool.each(_simulate_cell, work, keep, look)
    finally:
        shutil.rmtree(directory / PARTS, ignore_errors=True)
    return True


def _classify(plan: Plan, progress: Progress) -> None:
    """Store the outputs of singles for all images whose answers are wanted, so that no two processes compute them."""
    singles = {
        variant.models["single"].name: variant.models["single"]
        for variant in plan.variants
        if "single" in variant.models
    }
    asked = [load.images if load.classified is None else load.images[load.classified] for load in plan.workloads]
    images = np.unique(np.concatenate(asked)).tolist()
    evaluator = Evaluator(plan.images)
    for model in singles.values():
        for first in range(0, len(images), CLASSIFIED_AT_ONCE):
            progress.stage("classifying images")
            evaluator.classify(model, images[first : first + CLASSIFIED_AT_ONCE])
    evaluator.keep()


# Code that runs in the processes of the pool.


def _simulate_cell(
    number: int, config: Config, compute: Compute, threads: int, directory: Path, place: int, run: int, name: str
) -> Found:
    """Simulate one cell, the one with index `number`, and write its records into a part of the run directory."""
    began = time.perf_counter()
    plan, evaluator = _planned(config, compute, threads, directory)
    variant = next(variant for variant in plan.variants if variant.name == name)
    progress = _Tallied(number)
    with new_part(directory, place) as part:
        facts = in_virtual_time.run_cell(plan, part, evaluator, run, variant, progress)
    evaluator.keep()
    return facts, time.perf_counter() - began, progress.tally


@cache
def _planned(config: Config, compute: Compute, threads: int, directory: Path) -> tuple[Plan, Evaluator]:
    """Return what all cells of a process share; all processes share the images, in memory too."""
    pixels: NDArray[np.uint8] | None = None
    with suppress(OSError, ValueError):  # it was not written, or not completely
        pixels = np.asarray(np.load(directory / PARTS / IMAGES, mmap_mode="r"))
    plan = make_plan(config, dict(compute), pixels)
    return plan, Evaluator(plan.images, threads)


class _Tallied(Counted):
    """Also counts the answers of a cell."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.tally = Tally()

    def watch(self, listener: Listener, scheme: str, warmup: int, slow_above: float) -> Listener:
        """Wrap the cell's listener so that its events are counted."""
        return Watched(listener, self.tally, warmup, slow_above)

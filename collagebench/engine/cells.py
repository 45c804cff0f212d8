"""The parts of a cell that both engines use: the order of cells, the conductor and the recorder.

A cell is one scheme in one run. Every run has every scheme once, in a random order of its own, so that no scheme
systematically gets a hotter machine or warmer caches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from heapq import merge

from collagebench.engine.conductor import Conductor, Listener, Transport
from collagebench.engine.judgement import Evaluate, Judge
from collagebench.engine.plan import Plan
from collagebench.engine.recorder import Recorder, Records
from collagebench.engine.router import Router
from collagebench.engine.simulated import Crash
from collagebench.engine.tally import Tally
from collagebench.engine.variants import Variant
from collagebench.schemes.faults import ask
from collagebench.schemes.protocol import Task
from collagebench.stragglers.failures import Crash as Crashing
from collagebench.stragglers.failures import Erasure
from collagebench.stragglers.natural import Natural
from collagebench.stragglers.service import service_time


class Progress:
    """The interface for progress reports of an experiment; this base class ignores them."""

    def stage(self, text: str) -> None:
        """A step begins that is not counted in requests; `text` names it."""

    def show(self, text: str) -> None:
        """Show a text that the user should keep seeing, such as a table or a warning."""

    def begin(self, requests: int, schemes: tuple[str, ...], runs: int) -> None:
        """Cells begin: `requests` will arrive in all of them together."""

    def workers(self, count: int) -> None:
        """`count` real workers are up."""

    def lost(self, worker: int) -> None:
        """A worker was lost."""

    def cell(self, scheme: str, run: int) -> None:
        """A cell begins."""

    def watch(self, listener: Listener, scheme: str, warmup: int, slow_above: float) -> Listener:
        """Return the listener of a cell, or a wrapper that also counts what the listener receives.

        Requests with numbers below `warmup` are not counted; a task straggles if it takes more than `slow_above` s.
        """
        return listener

    def advance(self, requests: int) -> None:
        """`requests` more have arrived."""

    def elsewhere(self, scheme: str, run: int, seconds: float, tally: Tally) -> None:
        """Another process has finished a cell within `seconds`, and counted its answers."""


def in_order(plan: Plan, done: Collection[tuple[str, int]] = ()) -> list[tuple[int, int, Variant]]:
    """Return place, run and variant of each cell in the order of execution, except for the cells in `done`.

    `done` identifies a cell by the name of its variant and the number of its run.
    """
    cells = [(run, variant) for run in range(plan.config.runs) for variant in plan.order(run)]
    return [(place, run, variant) for place, (run, variant) in enumerate(cells) if (variant.name, run) not in done]


def begin(plan: Plan, progress: Progress, cells: Sequence[tuple[int, int, Variant]]) -> None:
    """Report the cells that will be run."""
    names = tuple(variant.name for variant in plan.variants)
    progress.begin(plan.config.requests * len(cells), names, plan.config.runs)


def watched(plan: Plan, variant: Variant, run: int, listener: Listener, progress: Progress) -> Listener:
    """Report that a cell begins, and return the listener that `progress` chooses for it."""
    progress.cell(variant.name, run)
    return progress.watch(listener, variant.name, plan.workloads[run].warmup, plan.slow_above)


def conductor_of(
    plan: Plan, variant: Variant, run: int, listener: Listener, judge: Judge = lambda request, jobs: math.inf
) -> Callable[[Transport], Conductor]:
    """Return a function that creates the conductor of a cell on a transport."""
    compute, mode = plan.compute_of(variant), plan.stragglers.mode

    def expected(task: Task, draw: float) -> float:
        return service_time(mode, compute(task), draw)

    def conduct(transport: Transport) -> Conductor:
        stragglers = plan.stragglers
        draw, tie = partial(stragglers.draw, run), plan.ties(run)
        drops = partial(stragglers.drops, run) if isinstance(stragglers, Erasure) else None
        scheme, router = variant.scheme(), Router(variant.workers)
        scheme.deadline = plan.config.deadline
        ask(scheme, scheme.allot, plan.config.workers)  # the plan asked another object of the class
        return Conductor(scheme, router, draw, tie, expected, transport, listener, drops, judge, variant.silent)

    return conduct


def crashes_of(plan: Plan, run: int) -> Iterator[Crash]:
    """Yield the crashes of all workers in one run, in order of time, without end; none without `crash` stragglers."""
    stragglers = plan.stragglers
    if isinstance(stragglers, Crashing):
        yield from merge(*(_named(stragglers.crashes(run, worker), worker) for worker in range(plan.config.workers)))


def _named(crashes: Iterator[tuple[float, float]], worker: int) -> Iterator[Crash]:
    return ((dies, is_back, worker) for dies, is_back in crashes)


def recorder_of(
    plan: Plan, records: Records, variant: Variant, run: int, evaluate: Evaluate | None, chunk: int | None = None
) -> Recorder:
    """Return the recorder of a cell; see `Recorder` for `evaluate` and `chunk`."""
    return Recorder(
        records,
        variant.name,
        run,
        plan.stragglers.mode,
        plan.workloads[run],
        variant.codec,
        None if isinstance(plan.stragglers, Natural) else plan.slow_above,
        evaluate,
        chunk,
    )

"""The certainty of answers that a scheme asks about with a Judge before it uses them (see `schemes/rejection`).

If workers compute, the margin comes from their outputs at once. Otherwise the model runs in the client's process. In
simulation that happens in the middle of a cell, for requests whose answers are evaluated anyway, and for others until
some hundred margins are known. For workers that are emulated in real time, a thread computes the outputs while the
worker is busy, for as many tasks as it can. All other margins are drawn from the known ones.

Judges also tell whether there is an answer at all, if a model may have none for an image.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from collagebench.engine.evaluation import scored
from collagebench.engine.router import Job
from collagebench.schemes.protocol import Request, Scheme

Judge = Callable[[Request, Sequence[Job]], float]
"""Returns the margin of the answer to a request from these jobs; -inf if there is no answer."""
ENOUGH = 500
"""The number of known margins from which others are drawn."""
Evaluate = Callable[[Sequence[Job]], None]
"""Sets the `outputs` of jobs, from the images of their requests."""
Chance = Callable[[int], float]
"""Returns a random number in (0, 1) for a request's id, always the same."""


def margin(codec: Scheme, request: Request, jobs: Sequence[Job]) -> float:
    """Return the best score minus the second best of the answer to a request from the jobs that have outputs.

    It is -inf if there is no answer, and inf if there is only one class.
    """
    scores = scored(codec, request, [(job.task, job.outputs) for job in jobs if job.outputs is not None])
    if not np.isfinite(scores).all():
        return -math.inf
    if scores.size < 2:
        return math.inf
    second, best = np.partition(scores, -2)[-2:]
    return float(best - second)


class LiveJudge:
    """The judge of one cell whose workers compute, so that every reply has outputs."""

    cpu = 0.0

    def __init__(self, codec: Scheme) -> None:
        self._codec = codec

    def ahead(self, job: Job) -> None:
        """Do nothing: the worker computes the outputs."""

    def __call__(self, request: Request, jobs: Sequence[Job]) -> float:
        """Return the margin of an answer."""
        return margin(self._codec, request, jobs)

    def close(self) -> None:
        """Do nothing: no work is in progress."""


class Drawn:
    """Margins that are drawn from the known ones."""

    def __init__(self, chance: Chance) -> None:
        self.known: list[float] = []
        """The first ENOUGH margins; no more are added, so that later draws do not change."""
        self._chance = chance

    def add(self, margin: float) -> None:
        """Add a known margin, unless there are enough."""
        if len(self.known) < ENOUGH:
            self.known.append(margin)

    def __call__(self, request: Request) -> float:
        """Return a known margin, the same for the same request once ENOUGH are known; inf while none is."""
        known = self.known
        return known[int(self._chance(request.id) * len(known))] if known else math.inf


class SimulatedJudge:
    """The judge of one simulated cell."""

    def __init__(self, codec: Scheme, evaluate: Evaluate, classified: NDArray[np.bool_] | None, chance: Chance) -> None:
        """`classified` [n] says for which requests the answer is evaluated anyway; None means for all."""
        self._codec = codec
        self._evaluate = evaluate
        self._classified = classified
        self._drawn = Drawn(chance)

    def __call__(self, request: Request, jobs: Sequence[Job]) -> float:
        """Return the margin of an answer."""
        unknown = [job for job in jobs if job.outputs is None]
        if unknown:
            wanted = self._classified is None or self._classified[request.id]
            if not wanted and len(self._drawn.known) >= ENOUGH:
                return self._drawn(request)
            self._evaluate(unknown)
        found = margin(self._codec, request, jobs)
        self._drawn.add(found)
        return found


class EmulatedJudge:
    """The judge of one cell whose workers compute nothing; it must be closed.

    `ahead` starts to compute the outputs of a job, unless another job is being computed. The client has a schedule to
    keep, so it must neither wait for a model nor occupy all cores with one.
    """

    def __init__(self, codec: Scheme, evaluate: Evaluate, chance: Chance, roles: Collection[str]) -> None:
        """`roles` are those whose tasks the judge can be asked about."""
        self.cpu = 0.0
        """Seconds of processor time spent on computing outputs; they do not count as the client's."""
        self._codec = codec
        self._evaluate = evaluate
        self._drawn = Drawn(chance)
        self._roles = roles
        self._aside = ThreadPoolExecutor(1, "evaluation")
        self._under_way: Future[None] | None = None

    def ahead(self, job: Job) -> None:
        """Start to compute a job's outputs in a thread, if its role may be asked about; raise what the last one did."""
        if job.task.role not in self._roles or (self._under_way is not None and not self._under_way.done()):
            return
        if self._under_way is not None:
            self._under_way.result()
        self._under_way = self._aside.submit(self._work_out, job)

    def __call__(self, request: Request, jobs: Sequence[Job]) -> float:
        """Return the margin of an answer."""
        if any(job.outputs is None for job in jobs):
            return self._drawn(request)
        found = margin(self._codec, request, jobs)
        self._drawn.add(found)
        return found

    def _work_out(self, job: Job) -> None:
        began = time.thread_time()
        self._evaluate([job])
        self.cpu += time.thread_time() - began

    def close(self) -> None:
        """Wait for the computation in progress, because the evaluator must not be used concurrently."""
        self._aside.shutdown()

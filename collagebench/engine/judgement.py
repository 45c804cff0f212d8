"""How sure an answer is that a scheme asks about before it uses it (see `schemes/rejection`).

Where workers compute, their outputs say so at once. Where they do not, the model has to be asked in the client's own
process. In simulation that is done in the middle of a cell, for requests whose answers are classified anyway, and until
some hundred margins are known. For workers that are emulated in real time a thread does it while the worker is busy, as
far as it gets round to it. What is not worked out is drawn from the margins that are known.

In the same way it is found out whether there is an answer at all, where a model may have none for an image.
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
"""Returns the margin of the answer that these jobs give to a request; -inf if they have none."""
ENOUGH = 500
"""Margins that others are drawn from."""
Evaluate = Callable[[Sequence[Job]], None]
"""Sets `outputs` of jobs, from the images of their requests."""
Chance = Callable[[int], float]
"""A number in (0, 1) of a request."""


def margin(codec: Scheme, request: Request, jobs: Sequence[Job]) -> float:
    """Return by how much the best score of the answer that jobs with outputs give exceeds the second best.

    -inf if there is no answer, inf if there is no second class.
    """
    scores = scored(codec, request, [(job.task, job.outputs) for job in jobs if job.outputs is not None])
    if not np.isfinite(scores).all():
        return -math.inf
    if scores.size < 2:
        return math.inf
    second, best = np.partition(scores, -2)[-2:]
    return float(best - second)


class LiveJudge:
    """The judge of one cell whose workers compute: every reply brought its outputs along."""

    cpu = 0.0

    def __init__(self, codec: Scheme) -> None:
        self._codec = codec

    def ahead(self, job: Job) -> None:
        """Nothing has to be worked out."""

    def __call__(self, request: Request, jobs: Sequence[Job]) -> float:
        """Return the margin of an answer."""
        return margin(self._codec, request, jobs)

    def close(self) -> None:
        """Nothing is under way."""


class Drawn:
    """Margins that are drawn from those that are known."""

    def __init__(self, chance: Chance) -> None:
        self.known: list[float] = []
        """The first ENOUGH, so that what is drawn does not change any more once they are there."""
        self._chance = chance

    def add(self, margin: float) -> None:
        """Take in a margin, unless enough are known."""
        if len(self.known) < ENOUGH:
            self.known.append(margin)

    def __call__(self, request: Request) -> float:
        """Return one of them, always the same of the same; inf while none is known."""
        known = self.known
        return known[int(self._chance(request.id) * len(known))] if known else math.inf


class SimulatedJudge:
    """The judge of one simulated cell."""

    def __init__(self, codec: Scheme, evaluate: Evaluate, classified: NDArray[np.bool_] | None, chance: Chance) -> None:
        """`classified` [n] says of which requests the answer is wanted anyway; None: of all."""
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
    """The judge of one cell whose workers compute nothing; to be closed.

    `ahead` begins to work out what the reply to a job will be, unless another one is still being worked out: the client
    has a schedule to meet, and must neither wait for a model nor keep all cores busy with one.
    """

    def __init__(self, codec: Scheme, evaluate: Evaluate, chance: Chance, roles: Collection[str]) -> None:
        """It is asked about tasks of `roles`."""
        self.cpu = 0.0
        """Seconds of processor time that working out has taken, which are none of the client's."""
        self._codec = codec
        self._evaluate = evaluate
        self._drawn = Drawn(chance)
        self._roles = roles
        self._aside = ThreadPoolExecutor(1, "evaluation")
        self._under_way: Future[None] | None = None

    def ahead(self, job: Job) -> None:
        """Work out a job's outputs aside, if its role is one that is asked about; raises what the last one raised."""
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
        """Wait for what is under way: nobody else may evaluate meanwhile."""
        self._aside.shutdown()

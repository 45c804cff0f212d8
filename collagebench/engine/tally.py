"""What has become of a scheme's requests so far, kept while an experiment runs for somebody who watches it.

Adding an answer must cost next to nothing, since it happens between two arrivals: a latency is counted in one of some
hundred classes, each 2 % wider than the one before, so that a quantile is known to 1 % without keeping or sorting
anything. The report uses none of this; it is computed from the records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from collagebench.engine.conductor import Listener
from collagebench.engine.router import Job
from collagebench.schemes.protocol import Request

LEAST = 1e-5
"""Seconds; what is faster is counted as if it took as long."""
STEP = math.log(1.02)
CLASSES = 1 + math.ceil(math.log(1e9) / STEP)
"""The last one holds whatever took longer than some hours."""


class Tally:
    """Answers and failures of one scheme, over all cells so far, the warm-up left out."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.sources: dict[str, int] = {}
        """Answers from each source."""
        self._counts = [0] * CLASSES

    def add(self, source: str, seconds: float) -> None:
        """Count an answer."""
        self.answered += 1
        self.sources[source] = self.sources.get(source, 0) + 1
        place = int(math.log(seconds / LEAST) / STEP) if seconds > LEAST else 0
        self._counts[min(place, CLASSES - 1)] += 1

    def quantile(self, q: float) -> float | None:
        """Return the q-quantile in seconds, to 1 %; infinite where failures reach it, None without any request."""
        counts = self._counts.copy()
        answered = sum(counts)
        total = answered + self.failed
        if not total:
            return None
        rank = math.ceil(q * total)
        if rank > answered:
            return math.inf
        place = 0
        while rank > counts[place]:
            rank -= counts[place]
            place += 1
        return LEAST * math.exp(STEP * (place + 0.5))


class Watched:
    """A listener that passes on all it hears and counts it."""

    def __init__(self, listener: Listener, tally: Tally, warmup: int, slow_above: float) -> None:
        """Count requests from number `warmup` on, and the workers that serve a task of more than `slow_above` s."""
        self.slow: dict[int, int] = {}
        """Tasks in hand that straggle, by worker."""
        self._listener = listener
        self._tally = tally
        self._warmup = warmup
        self._slow_above = slow_above

    def sent(self, job: Job) -> None:
        """A job is on its way."""
        if job.expected > self._slow_above:
            self.slow[job.worker] = self.slow.get(job.worker, 0) + 1
        self._listener.sent(job)

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """A request has its answer."""
        if request.id >= self._warmup:
            self._tally.add(source, now - request.arrival)
        self._listener.answered(request, source, jobs, now)

    def failed(self, request: Request, reason: str) -> None:
        """A request will have no answer."""
        if request.id >= self._warmup:
            self._tally.failed += 1
        self._listener.failed(request, reason)

    def ended(self, job: Job, now: float) -> None:
        """Nothing more will become of a job."""
        if job.expected > self._slow_above:
            self.slow[job.worker] -= 1
        self._listener.ended(job, now)

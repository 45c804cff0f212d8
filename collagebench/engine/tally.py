"""Running counts of a scheme's answers and failures, for the display while an experiment runs.

An answer must be counted quickly, because it happens between two arrivals. So a latency is counted in one of more than
a thousand classes, each 2 % wider than the one before. A quantile is then known to 1 %, without storing or sorting
latencies. Reports do not use these counts; they are computed from the records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from collagebench.engine.conductor import Listener
from collagebench.engine.router import Job
from collagebench.schemes.protocol import Request

LEAST = 1e-5
"""Seconds; shorter latencies count as this long."""
STEP = math.log(1.02)
CLASSES = 1 + math.ceil(math.log(1e9) / STEP)
"""The last class is for latencies of more than 1e4 s."""


class Tally:
    """Answers and failures of one scheme, over all cells so far, without the warm-up."""

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

    def merge(self, other: Tally) -> None:
        """Add what another has counted."""
        self.answered += other.answered
        self.failed += other.failed
        for source, count in other.sources.items():
            self.sources[source] = self.sources.get(source, 0) + count
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]

    def quantile(self, q: float) -> float | None:
        """Return the q-quantile in seconds, to 1 %; infinite if it falls among the failures, None without requests."""
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
    """A listener that counts what it receives and passes it on."""

    def __init__(self, listener: Listener, tally: Tally, warmup: int, slow_above: float) -> None:
        """Count requests from number `warmup` on, and tasks whose service should take more than `slow_above` s."""
        self.slow: dict[int, int] = {}
        """The number of straggling tasks that each worker has now."""
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
        """A job has ended."""
        if job.expected > self._slow_above:
            self.slow[job.worker] -= 1
        self._listener.ended(job, now)

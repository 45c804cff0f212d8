"""The simulated engine: one cell in virtual time.

A heap of events replaces the clock. A worker serves the first job of its queue for a time that follows from the
straggler model's draw and the task's compute time, then the next one. Encoding, transport and decoding take no time. A
worker that crashes loses its jobs, and is out of the fleet until it is back. Everything else (scheme, router, draws,
records) is the same as in the live engine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from collagebench.engine.conductor import Conductor
from collagebench.engine.router import Job
from collagebench.schemes.faults import breach
from collagebench.schemes.protocol import Request, Task

ADVANCE = 100
"""Arrivals from one report of progress to the next."""
SURELY = 1 - 1e-6
"""A job that ends within this share of its deadline surely meets it, despite rounding errors in sums of times."""

INSTANT = 1e-9
"""Events within so many seconds count as simultaneous, because of rounding errors in sums of times."""
LOOK = 10_000
"""Events after which progress is reported even without an arrival, so that the simulation can be interrupted."""
WAKES = 100_000
"""How often a scheme may be woken at one time."""


Crash = tuple[float, float, int]
"""When a worker dies and when it is back, in seconds since the cell began, and the worker."""


@dataclass(frozen=True, slots=True)
class _Back:
    """The heap's token for the return of a crashed worker."""

    worker: int


class SimulatedTransport:
    """Workers whose services are entries in a heap."""

    def __init__(self, compute: Callable[[Task], float], deadline: float) -> None:
        """`compute` gives the inference time of a task, in seconds; `deadline` counts from the sending of a task."""
        self.now = 0.0
        self.heap: list[tuple[float, int, Job | None, tuple[float, Hashable] | None]] = []
        """(time, order, job whose service ends or None, time and token of a Wake or None)."""
        self.deadlines: deque[tuple[float, Job]] = deque()
        """Deadlines of jobs, earliest first, because jobs are sent in the order of time with equal deadlines."""
        self._compute = compute
        self._deadline = deadline
        self._order = 0

    def send(self, job: Job, ends: float) -> None:
        """Set the job's deadline, unless it will surely meet it: the queue before a job can only become shorter."""
        if job.drops or ends > self.now + SURELY * self._deadline:
            self.deadlines.append((self.now + self._deadline, job))

    def begin(self, job: Job) -> None:
        """Begin the service of the job."""
        now = self.now
        service = job.expected
        job.queue = now - job.sent
        job.compute = compute = self._compute(job.task)
        job.service = service
        job.injected = service - compute
        self._order += 1
        heappush(self.heap, (now + service, self._order, job, None))

    def has_begun(self, job: Job) -> bool:
        """Return False: without transport, the client knows the queue of a worker exactly."""
        return False

    def take_back(self, job: Job) -> None:
        """Do nothing: the job is not in the heap."""

    def wake(self, token: Hashable, at: float) -> None:
        """Add a Wake to the heap, after all replies at the same time.

        If services are constant, a percentile of latencies equals a latency, except for rounding errors; then a Wake
        after that delay must not come before a reply after the same time.
        """
        self._order += 1
        at = max(at, self.now)
        heappush(self.heap, (at + INSTANT, self._order, None, (at, token)))

    def due(self) -> float:
        """Return the earliest deadline of a job that is not served or given up; infinite if there is none."""
        deadlines = self.deadlines
        while deadlines:
            due, job = deadlines[0]
            if not job.given_up and job.replied is None:
                return due
            deadlines.popleft()
        return math.inf


def simulate_cell(
    conduct: Callable[[SimulatedTransport], Conductor],
    requests: Iterable[Request],
    compute: Callable[[Task], float],
    deadline: float,
    advance: Callable[[int], None] = lambda requests: None,
    crashes: Iterable[Crash] = (),
) -> None:
    """Run one cell until every request is settled and every worker is idle again.

    Args:
        conduct: creates the conductor on a transport.
        requests: in order of arrival.
        compute: the inference time of a task, in seconds.
        deadline: seconds after which a task is given up.
        advance: called now and then with the number of further arrivals.
        crashes: in order of time; they may be endless.
    """
    transport = SimulatedTransport(compute, deadline)
    coming = iter(crashes)
    crash = next(coming, None)
    conductor = conduct(transport)
    heap, deadlines = transport.heap, transport.deadlines
    pending = iter(requests)
    request = next(pending, None)
    never = math.inf
    arrival = never if request is None else request.arrival
    arrived = events = woken = 0
    while True:
        events += 1
        if events % LOOK == 0:
            advance(0)
        event = never
        if heap:
            event, _, _, waking = heap[0]
            if waking is not None:  # all replies of the same time are handled, so its own time counts now
                event = max(waking[0], transport.now)
        due = transport.due() if deadlines else never
        now = event if event < arrival else arrival
        if due < now:
            now = due
        if now > transport.now:
            woken = 0
            transport.now = now
        if now == never:
            break
        if crash is not None and crash[0] <= now:
            if request is None and not conductor.open and not conductor.router.in_hand:
                break
            transport.now, is_back, worker = crash
            conductor.lost(worker, transport.now, "crashed")
            transport.wake(_Back(worker), is_back)
            crash = next(coming, None)
        elif event == now:
            _, _, job, waking = heappop(heap)
            if job is not None:
                if job.drops:
                    conductor.dropped(job, now)
                else:
                    conductor.served(job, now)
            elif waking is not None:
                token = waking[1]
                if isinstance(token, _Back):
                    conductor.back(token.worker, now)
                elif (
                    request is None
                    and not conductor.router.in_hand
                    and (not conductor.open or now > conductor.overdue())
                ):
                    break  # the scheme could wake itself forever
                else:
                    woken += 1
                    if woken > WAKES:
                        scheme = conductor.scheme
                        raise breach(scheme, f"was woken {WAKES:,} times at the same time", scheme.woke)
                    conductor.woke(token, now)
        elif due == now:
            conductor.failed(deadlines.popleft()[1], "deadline", now)
        else:
            assert request is not None
            conductor.arrived(request, now)
            arrived += 1
            if arrived % ADVANCE == 0:
                advance(ADVANCE)
            request = next(pending, None)
            if request is not None:
                arrival = request.arrival
            else:
                arrival = never
                conductor.finished(now)
    conductor.close()

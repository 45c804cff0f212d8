"""The simulated engine: one cell in virtual time.

A heap of events stands for the clock. A worker serves the first job in its hand for the time that the straggler model
draws and the task's compute time give, then the next; nothing travels, so encoding, transport and decoding take no
time. A worker that crashes loses what it has in hand and is out of the fleet until it is back. Everything else (scheme,
router, draws, records) is the live engine's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from collagebench.engine.conductor import Conductor
from collagebench.engine.router import Job
from collagebench.errors import UsageError
from collagebench.schemes.protocol import Request, Task

ADVANCE = 100
"""Arrivals from one report of progress to the next."""
SURELY = 1 - 1e-6
"""The share of a deadline within which a job surely meets it, however sums of times were rounded."""

INSTANT = 1e-9
"""Seconds within which two events are at one time, however sums of times were rounded."""
LOOK = 10_000
"""Events after which progress is reported whether anything has arrived or not, so that it can be interrupted."""
WAKES = 100_000
"""How often a scheme may be woken at one time."""


Crash = tuple[float, float, int]
"""When a worker dies, when it is back, both in seconds since the cell began, and which."""


@dataclass(frozen=True, slots=True)
class _Back:
    """What stands in the heap for a crashed worker's return."""

    worker: int


class SimulatedTransport:
    """Workers that are an entry in a heap."""

    def __init__(self, compute: Callable[[Task], float], deadline: float) -> None:
        """`compute` gives a task's inference time, in seconds; `deadline` counts from a task's being sent."""
        self.now = 0.0
        self.heap: list[tuple[float, int, Job | None, tuple[float, Hashable] | None]] = []
        """(time, order, job whose service ends or None, when to wake and with which token)."""
        self.deadlines: deque[tuple[float, Job]] = deque()
        """Deadlines of jobs, earliest first: they are sent in the order of time and have equal deadlines."""
        self._compute = compute
        self._deadline = deadline
        self._order = 0

    def send(self, job: Job, ends: float) -> None:
        """Set the job's deadline, if it may come to pass: what is in hand before a job can only become less."""
        if job.drops or ends > self.now + SURELY * self._deadline:
            self.deadlines.append((self.now + self._deadline, job))

    def begin(self, job: Job) -> None:
        """Serve it from now on."""
        now = self.now
        service = job.expected
        job.queue = now - job.sent
        job.compute = compute = self._compute(job.task)
        job.service = service
        job.injected = service - compute
        self._order += 1
        heappush(self.heap, (now + service, self._order, job, None))

    def has_begun(self, job: Job) -> bool:
        """Never: nothing travels, so a worker's hand is known exactly."""
        return False

    def take_back(self, job: Job) -> None:
        """It was never begun: there is nothing to do."""

    def wake(self, token: Hashable, at: float) -> None:
        """Enter it in the heap, after all replies of that instant.

        Where services are constant, a delay that is a percentile of latencies is one itself, give or take a rounding.
        """
        self._order += 1
        at = max(at, self.now)
        heappush(self.heap, (at + INSTANT, self._order, None, (at, token)))

    def due(self) -> float:
        """Return the next deadline of a job that has not ended yet; infinite if there is none."""
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

    `conduct` makes the conductor on a transport; `requests` are in order of arrival; `advance` hears how many more have
    arrived, from time to time; `crashes` are in order of time and may go on for ever.
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
            if waking is not None:  # all replies of its instant have been: now its own time counts
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
                    break  # a scheme may wake itself for ever
                else:
                    woken += 1
                    if woken > WAKES:
                        raise UsageError(
                            f"the scheme {type(conductor.scheme).__name__} was woken {WAKES:,} times at the same time"
                        )
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

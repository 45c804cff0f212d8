"""Hedging into idle time: a worker that would have nothing to do takes a copy of the oldest request still open.

Requests wait in one queue before all workers, and an idle worker takes the oldest of them; if none waits, it takes a
copy of the oldest request that has none yet. So a copy never queues and takes no worker from a request that waits: the
busier the fleet, the fewer copies, without a delay that had to be tuned. A copy in service is not interrupted, though,
and may delay the next arrival by the rest of it; `hedge_delay` keeps younger requests from being copied. Each request
is copied once at most, and sent again at once if its original fails (the one case in which a task may queue at a
worker). Where no worker is left, requests wait for one to come back. A request that waits for longer than the deadline
is failed, as it is under schemes that let it queue at a worker. Source: LÆDGE, Primorac, Argyraki and Bugnion,
"When to Hedge in Interactive Services", NSDI 2021.

All other schemes send a request to a worker at once. With `hedge_queue` "workers" this one does so too: then a request
that queues at a worker while another is idle is copied like any other, and requests may wait behind copies.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from collagebench.errors import UsageError
from collagebench.schemes.hedge import Hedge
from collagebench.schemes.protocol import Action, Fail, Request, Send, Wake

OVERDUE = "overdue"
"""What the scheme is woken with when the oldest request of the queue has reached its deadline."""


class HedgeIdle(Hedge):
    """One task a request, and one more on an idle worker, `hedge_delay` (see `hedge`) after arrival at the soonest."""

    def __init__(self, hedge_delay: str | float = 0.0, hedge_queue: str = "central") -> None:
        super().__init__(hedge_delay)
        if hedge_queue not in ("central", "workers"):
            raise UsageError(f"--hedge-queue must be central or workers, not {hedge_queue!r}")
        self.hedge_queue = hedge_queue
        self.idle_role = "single"
        self._queue: dict[int, Request] = {}
        """Requests that no worker has been sent yet, oldest first, by id."""
        self._ripe_at: float | None = None
        """The time of the last Wake for a copy that was asked for."""
        self._watched = False
        """Whether a Wake has been asked for because of the deadline of a request in the queue."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Let it queue, or send it to one worker; both an idle worker and a copy are a matter of `idle`."""
        self._queue[request.id] = request
        return self._watch() if self.hedge_queue == "central" else [self._first(request)]

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker is idle: send it the oldest request that waits, or a copy, or come back when one is old enough."""
        if self._queue:
            return [self._first(next(iter(self._queue.values())))]
        delay = self.delay.seconds
        if delay is None or not self._unhedged:
            return []
        oldest = next(iter(self._unhedged.values()))
        ripe_at = oldest.arrival + delay
        if now >= ripe_at:
            return [self._hedge(oldest)]
        if self._ripe_at is not None and now < self._ripe_at <= ripe_at:
            return []
        self._ripe_at = ripe_at
        return [Wake(None, ripe_at)]

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """The oldest request may be old enough for a copy, of which `idle` is asked after every event, or too old."""
        if token != OVERDUE:
            return []
        overdue = [request for request in self._queue.values() if request.arrival + self.deadline <= now]
        for request in overdue:
            del self._queue[request.id]
        self._watched = False
        return [*(Fail(request, "deadline") for request in overdue), *self._watch()]

    def _watch(self) -> list[Action]:
        """Ask to be woken at the deadline of the oldest request in the queue, unless one of the past asks already."""
        if self._watched or not self._queue or self.deadline == math.inf:
            return []
        self._watched = True
        return [Wake(OVERDUE, next(iter(self._queue.values())).arrival + self.deadline)]

    def _first(self, request: Request) -> Send:
        del self._queue[request.id]
        self._unhedged[request.id] = request
        return self._send("single", (request,))

"""Hedging into idle time: a worker that would otherwise be idle takes a copy of the oldest open request.

Requests wait in one central queue, and an idle worker takes the oldest of them. If none waits, it takes a copy of the
oldest open request that has no copy yet. So a copy never queues and takes no worker from a waiting request: a busier
fleet makes fewer copies, and no delay has to be tuned. But a copy in service is not interrupted, and may delay the next
arrival by its remaining time; `hedge_delay` is the age below which a request is not copied. Each request is copied at
most once, and is sent again at once if its original fails (only then can a task queue at a worker). If no worker is
left, requests wait for one to come back. A request that waits in the queue for longer than the deadline fails, like one
that queues at a worker under other schemes. Source: LÆDGE, Primorac, Argyraki and Bugnion, "When to Hedge in
Interactive Services", NSDI 2021.

All other schemes send a request to a worker at once. With `hedge_queue` "workers" this scheme does so, too. Then a
request that queues at a worker may be copied to an idle one, and requests may wait behind copies.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from collagebench.errors import UsageError
from collagebench.schemes.hedge import Hedge
from collagebench.schemes.protocol import Action, Fail, Request, Send, Wake

OVERDUE = "overdue"
"""The token of the Wake for when the oldest request of the queue reaches its deadline."""


class HedgeIdle(Hedge):
    """One task a request, and one more on an idle worker, `hedge_delay` (see `hedge`) after arrival at the soonest."""

    def __init__(self, hedge_delay: str | float = 0.0, hedge_queue: str = "central") -> None:
        super().__init__(hedge_delay)
        if hedge_queue not in ("central", "workers"):
            raise UsageError(f"--hedge-queue must be central or workers, not {hedge_queue!r}")
        self.hedge_queue = hedge_queue
        self.idle_role = "single"
        self._queue: dict[int, Request] = {}
        """Requests in the central queue, oldest first, by id."""
        self._ripe_at: float | None = None
        """The time of the last Wake that was asked for because a copy will be due."""
        self._watched = False
        """Whether a Wake is pending for the deadline of a request in the queue."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Put the request into the queue, or send it to one worker; `idle` does the rest."""
        self._queue[request.id] = request
        return self._watch() if self.hedge_queue == "central" else [self._first(request)]

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker is idle: send it the oldest waiting request or a copy, or ask for a Wake for when a copy is due."""
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
        """Fail the requests that are past their deadline; a copy that is due is sent by `idle`, called after this."""
        if token != OVERDUE:
            return []
        overdue = [request for request in self._queue.values() if request.arrival + self.deadline <= now]
        for request in overdue:
            del self._queue[request.id]
        self._watched = False
        return [*(Fail(request, "deadline") for request in overdue), *self._watch()]

    def _watch(self) -> list[Action]:
        """Ask for a Wake at the deadline of the oldest request in the queue, unless one is pending."""
        if self._watched or not self._queue or self.deadline == math.inf:
            return []
        self._watched = True
        return [Wake(OVERDUE, next(iter(self._queue.values())).arrival + self.deadline)]

    def _first(self, request: Request) -> Send:
        del self._queue[request.id]
        self._unhedged[request.id] = request
        return self._send("single", (request,))

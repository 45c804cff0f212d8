"""Hedging into idle time: a worker that would have nothing to do takes a copy of the oldest request still open.

A copy is sent only when a worker is idle, so it does not queue and never floods the fleet: the busier the fleet, the
fewer copies, without a delay that had to be tuned. (One case is left where it queues: the only idle worker is the
original's own, whose reply was lost; the copy avoids that one.) A copy in service is not interrupted, though, and may
delay the next arrival by the rest of it; `hedge_delay` keeps younger requests from being copied. Each request is copied
once at most, and at once if its original fails. Source: LÆDGE, Primorac, Argyraki and Bugnion, "When to Hedge in
Interactive Services", NSDI 2021; there one queue before all workers feeds them, here each worker has its own, and a
request that queues while another worker idles is copied like any other.
"""

from __future__ import annotations

from collections.abc import Hashable

from collagebench.schemes.hedge import Hedge
from collagebench.schemes.percentile import RunningPercentile
from collagebench.schemes.protocol import Action, Request, Wake


class HedgeIdle(Hedge):
    """One task a request, and one more on an idle worker, `hedge_delay` (see `hedge`) after arrival at the soonest."""

    def __init__(self, hedge_delay: str | float = 0.0) -> None:
        super().__init__(hedge_delay)
        self.idle_role = "single"
        self._ripe_at: float | None = None
        """The time of the last Wake that was asked for."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send it to one worker; a copy is a matter of `idle`."""
        self._unhedged[request.id] = request
        return [self._send("single", (request,))]

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker is idle: copy the oldest request that has one task, or come back when that is old enough."""
        delay = self.delay.value if isinstance(self.delay, RunningPercentile) else self.delay
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
        """The oldest request may be old enough: `idle` is asked after every event."""
        return []

"""Hedging: a copy goes to another worker when no answer has come after a delay; the first reply answers.

The delay is fixed or a running percentile of the latencies of requests already answered. That percentile sets itself
right: a hedged request is answered after the delay whichever copy wins, so the share of requests slower than the delay
stays the share that it was chosen for. Until 20 latencies are known nothing is hedged. A copy is sent at once when the
original fails. Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013 (deferral to the 95th percentile).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from collagebench.errors import UsageError
from collagebench.schemes.percentile import RunningPercentile, parse_delay
from collagebench.schemes.protocol import Action, Request, Scheme, Task, Wake


class Hedge(Scheme):
    """One task a request, and one more on another worker after `hedge_delay` (seconds, or a percentile like p95)."""

    def __init__(self, hedge_delay: str | float = "p95") -> None:
        super().__init__()
        self.delay = parse_delay(hedge_delay)
        self._unhedged: dict[int, Request] = {}
        """Open requests that have had no second task yet, by id."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; a copy needs a second one."""
        if workers < 2:
            raise UsageError(f"hedging needs at least 2 workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send it to one worker and look again after the delay."""
        self._unhedged[request.id] = request
        actions: list[Action] = [self._send("single", (request,))]
        delay = self.delay.value if isinstance(self.delay, RunningPercentile) else self.delay
        if delay is not None:
            actions.append(Wake(request.id, now + delay))
        return actions

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """Still no answer: send the copy."""
        assert isinstance(token, int)
        request = self._unhedged.pop(token, None)
        return [] if request is None else [self._send("single", (request,), 1, tuple(self._live[request.id]))]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """The first reply answers; the other task is cancelled."""
        (request,) = task.requests
        if not self._open(request):
            return []
        self._unhedged.pop(request.id, None)
        if isinstance(self.delay, RunningPercentile):
            self.delay.add(now - request.arrival)
        return self._answer(request, "hedge" if task.attempt else "own", task)

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """Send the copy now if it was not sent yet; give up when both have failed."""
        actions: list[Action] = []
        for request in self._drop(task):
            if self._unhedged.pop(request.id, None):
                actions.append(self._send("single", (request,), 1, (task,)))
            else:
                actions.append(self._fail(request, reason))
        return actions

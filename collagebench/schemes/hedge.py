"""Hedging: a copy is sent to another worker if there is no answer after a delay; the first reply answers.

The delay is fixed, or a running percentile of the latencies of requests already answered. That percentile is stable
under hedging: a hedged request is answered after the delay whichever copy wins, so the share of requests slower than
the delay remains the chosen share. Nothing is hedged until 20 latencies are known; requests that are still open then
have that delay from their arrival. Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013 (deferral to the
95th percentile).

With a `hedge_budget` b, any n consecutive requests cause at most b x n + 1 copies (see `budget`). If there is no token
when a request's delay ends, the request waits for one; each token goes to the open request that has waited longest.
With a `hedge_probability` q, a request is hedged after its delay with probability q. That is SingleR, and the function
`fit` in `single_r` chooses both numbers.

If the original *fails*, the second task is sent at once. This is a retry, which replaces work instead of adding to it,
so neither budget nor probability applies to it. It is still the request's second and last task.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from collagebench.errors import UsageError
from collagebench.schemes.budget import CopyBudget
from collagebench.schemes.percentile import Delay
from collagebench.schemes.protocol import Action, Request, Scheme, Send, Task
from collagebench.schemes.single_r import coin


class Hedge(Scheme):
    """One task a request, and one more on another worker after `hedge_delay` (seconds, or a percentile like p95)."""

    def __init__(
        self, hedge_delay: str | float = "p95", hedge_budget: float | None = None, hedge_probability: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 <= hedge_probability <= 1:
            raise UsageError(f"--hedge-probability must be a number from 0 to 1, not {hedge_probability}")
        self.delay = Delay(hedge_delay)
        self.budget = None if hedge_budget is None else CopyBudget(hedge_budget)
        self.probability = hedge_probability
        self._unhedged: dict[int, Request] = {}
        """Open requests without a second task, by id."""
        self._due: dict[int, Request] = {}
        """Those of them that wait for a token, in the order in which their delays ended, by id."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; a copy needs a second one."""
        if workers < 2:
            raise UsageError(f"hedging needs at least 2 workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the request to one worker, and ask for a Wake after the delay; send a due copy if there is a token."""
        self._unhedged[request.id] = request
        actions: list[Action] = [self._send("single", (request,))]
        if coin(request.id) < self.probability:
            actions += self.delay.wake(request.id, now)
        if self.budget is not None:
            self.budget.earn()
            if self._due and self.budget.spend():
                actions.append(self._hedge(next(iter(self._due.values()))))
        return actions

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """Send the copy if there is still no answer, or let the request wait for a token."""
        assert isinstance(token, int)
        request = self._unhedged.get(token)
        if request is None:
            return []
        if self.budget is not None and not self.budget.spend():
            self._due[token] = request
            return []
        return [self._hedge(request)]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """The first reply answers; the other task is cancelled."""
        (request,) = task.requests
        if not self._open(request):
            return []
        self._forget(request)
        self.delay.add(now - request.arrival)
        return self._answer(request, "hedge" if task.attempt else "own", task) + self.delay.overdue(now)

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """Send the second task now if it was not sent yet; give the request up if both have failed."""
        actions: list[Action] = []
        for request in self._drop(task):
            if request.id in self._unhedged:
                self._forget(request)
                actions.append(self._send("single", (request,), 1, (task,)))
            else:
                actions.append(self._fail(request, reason))
        return actions

    def _hedge(self, request: Request) -> Send:
        self._forget(request)
        return self._send("single", (request,), 1, tuple(self._live[request.id]))

    def _forget(self, request: Request) -> None:
        self._unhedged.pop(request.id, None)
        self._due.pop(request.id, None)

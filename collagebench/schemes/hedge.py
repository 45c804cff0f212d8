"""Hedging: a copy goes to another worker when no answer has come after a delay; the first reply answers.

The delay is fixed or a running percentile of the latencies of requests already answered. That percentile sets itself
right: a hedged request is answered after the delay whichever copy wins, so the share of requests slower than the delay
stays the share that it was chosen for. Until 20 latencies are known nothing is hedged; what is still open then has its
delay from there on. Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013 (deferral to the 95th percentile).

With a `hedge_budget` b, any n consecutive requests bring at most b x n + 1 copies (see `budget`). A request whose delay
ends when there is no token still gets its copy if it is open when one comes; each token goes to the request that has
waited longest. With a `hedge_probability` q, a request is hedged after its delay with probability q; that is SingleR,
and the function `fit` in `single_r` chooses both numbers.

When the original *fails*, the copy is sent at once: that is a retry, which replaces work instead of adding to it. It is
the request's second and last task all the same, and neither budget nor probability has a say in it.
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
        """Open requests that have had no second task yet, by id."""
        self._due: dict[int, Request] = {}
        """Those of them whose delay is over and that wait for a token, in that order, by id."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; a copy needs a second one."""
        if workers < 2:
            raise UsageError(f"hedging needs at least 2 workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send it to one worker and look again after the delay; its share of a token may pay for another's copy."""
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
        """Still no answer: send the copy."""
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
        """Send the copy now if it was not sent yet; give up when both have failed."""
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

"""Reissue: a task without an answer after a timeout is given up, and the request is sent to another worker.

There is no race: the late reply is ignored, so the work already done for it is lost, and nobody is ever served twice on
purpose. That is the timeout and retry of every remote procedure call, the plainest remedy and the baseline of hedging.
The timeout is fixed or a running percentile of the latencies, as in `hedge`; the last attempt has none, so that a slow
fleet is not sent the same request for ever. A task that fails counts as an attempt. Until 20 latencies are known there
is no percentile, and a task that is still out then has its timeout from there on. Source: Dean and Barroso, "The Tail
at Scale", CACM 56(2), 2013, which sets hedging against it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from collagebench.errors import UsageError
from collagebench.schemes.checks import check_count
from collagebench.schemes.percentile import Delay
from collagebench.schemes.protocol import Action, Cancel, Request, Scheme, Send, Task


class Reissue(Scheme):
    """One task a request, given up after `reissue_after` (seconds, or like p95) for another, up to `retries` times."""

    def __init__(self, reissue_after: str | float = "p95", retries: int = 1) -> None:
        super().__init__()
        check_count(1, retries=retries)
        self.timeout = Delay(reissue_after)
        self.retries = retries
        self._anywhere: set[int] = set()
        """Tasks that no worker was to be avoided for any more."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; a retry needs a second one."""
        if workers < 2:
            raise UsageError(f"reissue needs at least 2 workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send it to one worker and look again after the timeout."""
        return self._try(request, 0, now)

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """Still no answer to this attempt: give it up and send the next."""
        assert isinstance(token, Task)
        actions: list[Action] = []
        for request in self._drop(token):
            # The next is sent first: it must keep away from the slow worker while that is known.
            actions += [*self._try(request, token.attempt + 1, now, token), Cancel(token)]
        return actions

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer it, unless the task was given up."""
        (request,) = task.requests
        if task not in self._live.get(request.id, ()):
            return []
        self.timeout.add(now - request.arrival)
        return self._answer(request, "resent" if task.attempt else "own", task) + self.timeout.overdue(now)

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """Send the next attempt at once, if one is left."""
        actions: list[Action] = []
        for request in self._drop(task):
            if reason == "refused" and task.attempt and task.id not in self._anywhere:
                # No other worker is up: the slow one is better than none.
                again = self._try(request, task.attempt, now)
                self._anywhere.update(action.task.id for action in again if isinstance(action, Send))
                actions += again
            elif task.attempt < self.retries:
                actions += self._try(request, task.attempt + 1, now, task)
            else:
                actions.append(self._fail(request, reason))
        return actions

    def _try(self, request: Request, attempt: int, now: float, *avoid: Task) -> list[Action]:
        sent = self._send("single", (request,), attempt, avoid)
        return [sent] if attempt == self.retries else [sent, *self.timeout.wake(sent.task, now)]

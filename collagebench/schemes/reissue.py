"""Reissue: a task without a reply after a timeout is given up, and its request is sent to another worker.

There is no race: a late reply is ignored, and the work done for it is lost. This is the timeout and retry of every
remote procedure call, and the baseline of hedging. The timeout is fixed, or a running percentile of the latencies, as
in `hedge`. The last attempt has no timeout, so that a slow fleet does not get the same request again and again. A
failed task counts as an attempt. The percentile is unknown until 20 latencies are; tasks that are still out then have
that timeout from the time they were sent. Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013, which
compares hedging with it.
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
        """Ids of tasks that were sent without avoiding any worker, because no other worker was up."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; a retry needs a second one."""
        if workers < 2:
            raise UsageError(f"reissue needs at least 2 workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the request to one worker, and ask for a Wake after the timeout."""
        return self._try(request, 0, now)

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """If this attempt has no reply yet, give it up and send the next one."""
        assert isinstance(token, Task)
        actions: list[Action] = []
        for request in self._drop(token):
            # The next one is sent before the cancel, because the worker to avoid is unknown after it.
            actions += [*self._try(request, token.attempt + 1, now, token), Cancel(token)]
        return actions

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer the request, unless the task was given up."""
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
                # No other worker is up, and the slow one is better than none.
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

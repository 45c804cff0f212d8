"""Tied requests: a request queues at two workers, and the one that begins it first has the other's taken back.

What makes services slow is mostly the queue, and nobody knows beforehand which queue is the faster; so both are tried,
and the work is done once. Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013. Slowness in service itself
is not covered: of a tied pair only one is ever served.

There the workers tell one another. Here the client does it, when it learns that a service has begun: a worker need
know nothing of any other, which works on every fleet, and costs a window of about one message each way in which both
may run. (Workers that told one another would need one message less, but each other's addresses.) A request whose first
task begins at once, on an idle worker, gets no second: that is sent only when the first is found not to have begun. So
when messages are instant, no pair ever runs twice.

When no task of a pair is left because the one that began has failed, the request is tied anew, `PAIRS_AT_MOST` times
in all.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from collagebench.errors import UsageError
from collagebench.schemes.protocol import Action, Cancel, Request, Scheme, Task, Wake

PAIRS_AT_MOST = 2


class Tied(Scheme):
    """Two tasks a request on two workers, of which one is served."""

    wants_begun = True

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[int, Request] = {}
        """Open requests with a pair that has not begun, by id."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; a pair needs two."""
        if workers < 2:
            raise UsageError(f"tied requests need at least 2 workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the first task, and find out whether it begins at once."""
        return self._tie(request, 0, now)

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """The first task has not begun, as it seems: send the second."""
        assert isinstance(token, Task)
        (request,) = token.requests
        if request.id not in self._waiting or token not in self._live[request.id]:
            return []
        return [self._send("single", (request,), token.attempt + 1, (token,))]

    def begun(self, task: Task, now: float) -> list[Action]:
        """Take the other one back."""
        (request,) = task.requests
        if request.id not in self._waiting or task not in self._live[request.id]:
            return []
        del self._waiting[request.id]
        peers = [peer for peer in self._live[request.id] if peer != task]
        for peer in peers:
            self._drop(peer)
        return [Cancel(peer) for peer in peers]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer it."""
        (request,) = task.requests
        if not self._open(request):
            return []
        self._waiting.pop(request.id, None)
        return self._answer(request, ("own", "replica", "resent", "resent")[task.attempt], task)

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """Leave it to the other task; if there is none, tie the request anew or give it up."""
        actions: list[Action] = []
        for request in self._drop(task):
            pair = task.attempt // 2 + 1
            if pair < PAIRS_AT_MOST:
                actions += self._tie(request, 2 * pair, now, (task,))
            else:
                self._waiting.pop(request.id, None)
                actions.append(self._fail(request, reason))
        return actions

    def _tie(self, request: Request, attempt: int, now: float, avoid: tuple[Task, ...] = ()) -> list[Action]:
        self._waiting[request.id] = request
        first = self._send("single", (request,), attempt, avoid)
        return [first, Wake(first.task, now)]

"""Tied requests: a request queues at two workers, and when one of them begins it, the task at the other is cancelled.

Services are slow mostly because of queues, and nobody knows beforehand which queue will move faster. So the request
waits in two, and the work is done once. This does not help against slowness in service itself, because only one task of
a pair is served. Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013.

In that source the workers tell one another. Here the client cancels the other task when it learns that a service has
begun. So a worker needs to know no other, and this works on every fleet, but both tasks may run for about one message
each way. (Workers that told one another would need one message less, but also each other's addresses.) A request whose
first task begins at once, on an idle worker, gets no second task: that is sent only if the first has not begun. So no
pair is ever served twice if messages are instant.

If the task that began fails, no task of its pair is left, and the request is tied again, `PAIRS_AT_MOST` times in all.
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
        """Open requests of whose pair no task has begun, by id."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; a pair needs two."""
        if workers < 2:
            raise UsageError(f"tied requests need at least 2 workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the first task, and ask for an immediate Wake to see whether it has begun."""
        return self._tie(request, 0, now)

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """Send the second task if the first has not begun, as far as is known."""
        assert isinstance(token, Task)
        (request,) = token.requests
        if request.id not in self._waiting or token not in self._live[request.id]:
            return []
        return [self._send("single", (request,), token.attempt + 1, (token,))]

    def begun(self, task: Task, now: float) -> list[Action]:
        """Cancel the other task of the pair."""
        (request,) = task.requests
        if request.id not in self._waiting or task not in self._live[request.id]:
            return []
        del self._waiting[request.id]
        peers = [peer for peer in self._live[request.id] if peer != task]
        for peer in peers:
            self._drop(peer)
        return [Cancel(peer) for peer in peers]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer the request."""
        (request,) = task.requests
        if not self._open(request):
            return []
        self._waiting.pop(request.id, None)
        return self._answer(request, ("own", "replica", "resent", "resent")[task.attempt], task)

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """Leave the request to the other task; if there is none, tie it again or give it up."""
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

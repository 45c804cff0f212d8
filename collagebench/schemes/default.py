"""Default answers: a request that is not answered in time gets the most frequent class.

No image is classified twice. Late requests cost accuracy instead: a default is right only as often as its class occurs.
The request's task is then cancelled, or its work is wasted. A request whose task has failed gets its default after the
same time as any other. Source: Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017
(straggler mitigation: answer by the deadline with what there is, or a default).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from collagebench.schemes.checks import check_seconds
from collagebench.schemes.protocol import Action, Request, Scheme, Task, Wake


class Default(Scheme):
    """One task a request, and the default answer `default_after` seconds after its arrival."""

    def __init__(self, default_after: float = 0.1) -> None:
        super().__init__()
        check_seconds(default_after=default_after)
        self.default_after = self.waits = default_after

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the request to one worker, and set the time of its default answer."""
        return [self._send("single", (request,)), Wake(request, request.arrival + self.default_after)]

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """Give the default answer, if the request is still open."""
        assert isinstance(token, Request)
        return self._answer(token, "default") if self._open(token) else []

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer the request, if the reply is in time."""
        (request,) = task.requests
        return self._answer(request, "own", task) if self._open(request) else []

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """Do nothing but remove the task: the default answers the request at its time."""
        self._drop(task)
        return []

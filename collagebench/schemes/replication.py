"""Replication: every request goes to r distinct workers at once, the first reply answers it, the others are cancelled.

A replica that is still queued is taken back; one in service runs to its end and is wasted. Source: Dean and Barroso,
"The Tail at Scale", CACM 56(2), 2013; Vulimiri et al., "Low Latency via Redundancy", CoNEXT 2013.
"""

from __future__ import annotations

from collections.abc import Collection

from collagebench.errors import UsageError
from collagebench.schemes.checks import check_count
from collagebench.schemes.protocol import Action, Request, Scheme, Send, Task


class Replication(Scheme):
    """`replicas` tasks a request, each on a worker of its own."""

    def __init__(self, replicas: int = 2) -> None:
        super().__init__()
        check_count(1, replicas=replicas)
        self.replicas = replicas

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve single images; there must be one for each replica."""
        if workers < self.replicas:
            raise UsageError(f"replication with {self.replicas} replicas needs {self.replicas} workers, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the request to `replicas` distinct workers."""
        sends: list[Send] = []
        for attempt in range(self.replicas):
            sends.append(self._send("single", (request,), attempt, [send.task for send in sends]))
        return [*sends]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """The first reply answers; the others are cancelled."""
        (request,) = task.requests
        if not self._open(request):
            return []
        return self._answer(request, "replica" if task.attempt else "own", task)

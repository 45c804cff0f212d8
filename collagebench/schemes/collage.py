"""Collage inference: one more model classifies a mosaic of up to w x w requests in one shot and backs them all up.

Every request goes to one worker as usual; besides, groups of requests go as one collage to a worker that runs the
collage model, and whichever reply comes first answers. Source: Narra, Lin, Ananthanarayanan, Avestimehr and Annavaram,
"Collage Inference", arXiv 1904.12222. Their rule for groups is `wait`; the others are ours:

    wait      a group is w x w consecutive arrivals and goes out with the last of them (the paper)
    deadline  the same, but a group goes out `flush_after` seconds after its first arrival at the latest
    idle      whenever a collage worker is idle it takes the oldest open requests that no collage covers yet, at most
              w x w and even a single one, once the oldest is `flush_after` seconds old; so nothing ever queues there

A request that was answered before its group goes out leaves its cell free; cells without a request are blank. With
`hold`, a collage reply may answer a request only from `hold` seconds after its arrival on: the request's own reply,
which is more accurate, gets that long to come first.

When a collage fails (lost, past its deadline, or without an answer for a cell), its open requests are sent once more
to another worker, as they are `reissue_after` seconds after their arrival where that is set. A request whose own
tasks have all failed is answered from a held reply, or sent again, three times in all, or left to a later collage.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.mosaic import mosaic
from collagebench.errors import UsageError
from collagebench.schemes.protocol import Action, Fail, Request, Scheme, Task, Wake

Flush = Literal["wait", "idle", "deadline"]
SINGLES_AT_MOST = 3


class Collage(Scheme):
    """Singles backed up by `grid` x `grid` collages on `collage_workers` workers; delays in seconds."""

    def __init__(
        self,
        grid: int = 3,
        flush: Flush = "idle",
        flush_after: float | None = None,
        hold: float = 0.0,
        collage_workers: int = 1,
        reissue_after: float | None = None,
    ) -> None:
        super().__init__()
        if not 2 <= grid <= 16:
            raise UsageError(f"--grid must be between 2 and 16, not {grid}")
        if flush not in ("wait", "idle", "deadline"):
            raise UsageError(f"--flush must be wait, idle or deadline, not {flush!r}")
        if flush == "wait" and flush_after is not None:
            raise UsageError("--flush wait has no deadline: leave --flush-after out, or say --flush deadline")
        if collage_workers < 1:
            raise UsageError(f"--collage-workers must be 1 or more, not {collage_workers}")
        for option, seconds in (("--flush-after", flush_after), ("--hold", hold), ("--reissue-after", reissue_after)):
            if seconds is not None and not 0 <= seconds < float("inf"):
                raise UsageError(f"{option} is a number of seconds from 0 up, not {seconds}")
        self.grid = grid
        self.flush = flush
        self.flush_after = flush_after if flush_after is not None else (0.1 if flush == "deadline" else 0.0)
        self.hold = hold
        self.collage_workers = collage_workers
        self.reissue_after = reissue_after
        self.idle_role = "collage" if flush == "idle" else None
        self._waiting: dict[int, Request] = {}
        """Open requests that no collage covers, oldest first, by id."""
        self._group = 0
        """Number of the group that is being gathered (wait and deadline), and how many have arrived for it."""
        self._arrived_in_group = 0
        self._held: dict[int, Task] = {}
        """Open requests whose collage has replied too early to be used, by id."""
        self._singles: dict[int, int] = {}
        """How many single tasks each open request has had, by id."""
        self._ripe_at: float | None = None
        """When the oldest waiting request will be old enough (idle), if a Wake was asked for."""

    def allot(self, workers: int) -> dict[str, int]:
        """Give `collage_workers` of them to the collage model."""
        singles = workers - self.collage_workers
        if singles < 1:
            raise UsageError(
                f"collage gives {self.collage_workers} of {workers} workers to collages: none is left for single images"
            )
        return {"single": singles, "collage": self.collage_workers}

    def needs(self, role: str) -> Mapping[str, Any]:
        """The collage model must be of this grid."""
        return {"grid": self.grid} if role == "collage" else {}

    def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
        """Paste a group's images into one mosaic."""
        return mosaic(images, self.grid, shape[:2])[np.newaxis] if task.role == "collage" else np.stack(images)

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send it to one worker and enter it for a collage."""
        self._singles[request.id] = 1
        self._waiting[request.id] = request
        actions: list[Action] = [self._send("single", (request,))]
        if self.reissue_after is not None:
            actions.append(Wake(("reissue", request), now + self.reissue_after))
        if self.flush != "idle":
            self._arrived_in_group += 1
            if self._arrived_in_group == self.grid * self.grid:
                actions += self._flush_group()
            elif self._arrived_in_group == 1 and self.flush == "deadline":
                actions.append(Wake(("flush", self._group), now + self.flush_after))
        return actions

    def idle(self, role: str, now: float) -> list[Action]:
        """A collage worker is idle: give it the oldest uncovered requests, if they are old enough."""
        if not self._waiting:
            return []
        ripe_at = next(iter(self._waiting.values())).arrival + self.flush_after
        if now >= ripe_at:
            return self._make_collage()
        if self._ripe_at is not None and self._ripe_at > now:
            return []
        self._ripe_at = ripe_at
        return [Wake(("ripe", None), ripe_at)]

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """A group's deadline, the end of a hold, or the time to send a request again has come."""
        assert isinstance(token, tuple)
        what, which = token
        if what == "flush":
            return self._flush_group() if which == self._group else []
        if what == "hold":
            return self._answer(which, "collage", self._held[which.id]) if which.id in self._held else []
        if what == "reissue" and self._open(which) and self._singles[which.id] == 1:
            return self._send_again(which)
        return []

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer from a single at once, from a collage as far as `hold` allows."""
        if task.role == "single":
            (request,) = task.requests
            return self._answer(request, "resent" if task.attempt else "own", task) if self._open(request) else []
        actions: list[Action] = []
        self._drop(task)
        for request in task.requests:
            if not self._open(request):
                continue
            if request.id in missing:
                actions += self._collage_failed(request, "no answer")
            elif now >= request.arrival + self.hold or not self._live[request.id]:
                actions += self._answer(request, "collage", task)
            else:
                self._held[request.id] = task
                actions.append(Wake(("hold", request), request.arrival + self.hold))
        return actions

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """A collage failed: send its open requests again. A single failed: fall back on whatever is left."""
        self._drop(task)
        actions: list[Action] = []
        for request in task.requests:
            if not self._open(request):
                continue
            if task.role == "collage":
                actions += self._collage_failed(request, reason)
            elif not self._live[request.id]:
                actions += self._last_resort(request, reason)
        return actions

    def finished(self, now: float) -> list[Action]:
        """Let the last, partial group go."""
        return [] if self.flush == "idle" else self._flush_group()

    def _flush_group(self) -> list[Action]:
        self._group += 1
        self._arrived_in_group = 0
        return self._make_collage() if self._waiting else []

    def _make_collage(self) -> list[Action]:
        members = [self._waiting.pop(request) for request in list(islice(self._waiting, self.grid * self.grid))]
        return [self._send("collage", members)]

    def _collage_failed(self, request: Request, reason: str) -> list[Action]:
        """Both ways are in doubt now: send the single once more beside the slow one."""
        if self._singles[request.id] == 1:
            return self._send_again(request)
        return [] if self._live[request.id] else self._last_resort(request, reason)

    def _last_resort(self, request: Request, reason: str) -> list[Action]:
        """No task is left for an open request: a held reply, another single, its future collage, or nothing."""
        if request.id in self._held:
            return self._answer(request, "collage", self._held[request.id])
        if self._singles[request.id] < SINGLES_AT_MOST:
            return self._send_again(request)
        if request.id in self._waiting:
            return []
        return [self._fail(request, reason)]

    def _send_again(self, request: Request) -> list[Action]:
        attempt = self._singles[request.id]
        self._singles[request.id] += 1
        singles = [task for task in self._live[request.id] if task.role == "single"]
        return [self._send("single", (request,), attempt, singles)]

    def _answer(self, request: Request, source: str, *tasks: Task) -> list[Action]:
        self._forget(request)
        return super()._answer(request, source, *tasks)

    def _fail(self, request: Request, reason: str) -> Fail:
        self._forget(request)
        return super()._fail(request, reason)

    def _forget(self, request: Request) -> None:
        del self._singles[request.id]
        self._waiting.pop(request.id, None)
        self._held.pop(request.id, None)

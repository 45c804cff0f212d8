"""Singles backed up by groups: what collage, approximate backup and parity have in common.

Every request goes to one worker as usual; besides, groups of requests go as one task to a worker of another role, and
whichever reply comes first answers. With `hold`, a group's reply, which is less accurate, may answer a request only
from `hold` seconds after its arrival on: the request's own reply gets that long to come first.

That time may be a running percentile of how long the first reply to a request takes, whoever gives it and whether or
not it is used. At the 98th, which is `auto`, about two requests in a hundred are late by it, which is little accuracy,
and their answers come within what a p99 counts. And a request that no single has begun to serve is not held then: it
is late for certain, and once it is answered its task is taken back from the queue, which speeds up those behind it.
Until 20 replies are known nothing is held.

When a group fails (lost, past its deadline, or without an answer for one request), its open requests are sent once
more to another worker, as they are `reissue_after` seconds (or a percentile of the first replies) after their arrival
where that is set, unless a reply for them is held; under `flush` auto that is their 99th percentile, counted from the
arrival also for what arrived before 20 replies were known. A request whose own tasks have all failed is answered from a
held reply, or sent again, three times in all, or left to a later group.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence
from typing import ClassVar

from collagebench.errors import UsageError
from collagebench.schemes.groups import Flush, Groups
from collagebench.schemes.percentile import Delay, RunningPercentile, parse_delay
from collagebench.schemes.protocol import Action, Judge, Request, Scheme, Task, Wake
from collagebench.schemes.rejection import Rejection

SINGLES_AT_MOST = 3
AUTO = "auto"
HOLD_AUTO = "p98"
"""Of the first replies, `hold` auto; a percentile that a p99 leaves room for."""
REJECT_AUTO = 0.005
"""Of all requests, `reject` under `flush` auto: half of what a p99 leaves room for."""
REISSUE_AUTO = "p99"
"""Of the first replies, when a request is sent again under `flush` auto: the few that are slow at both workers."""


def parse_hold(name: str, value: str | float | None, flush: Flush) -> float | RunningPercentile:
    """Read a hold: seconds, a percentile of first replies such as `p98`, or `auto`.

    None is `auto` under `flush` auto, else 0. `name` is the option's Python name.

    Raises:
        UsageError: it is none of these.
    """
    if value is None:
        value = AUTO if flush == AUTO else 0.0
    try:
        return parse_delay(HOLD_AUTO if value == AUTO else value)
    except UsageError:
        raise UsageError(
            f"--{name.replace('_', '-')} must be seconds, such as 0.2, or a percentile of first replies, such as p98, "
            f"or auto; not {value!r}"
        ) from None


class BackedUp(Scheme):
    """Singles, and groups of up to `size` of them on workers of `role`; delays in seconds."""

    role: ClassVar[str]
    """The role of the groups' model, which is also the source of the answers that come from it."""

    def __init__(
        self,
        size: int,
        flush: Flush,
        flush_after: float | None,
        hold: float | RunningPercentile,
        reissue_after: str | float | None,
        twice: bool = False,
        reject: float | None = 0.0,
        whole: bool = False,
    ) -> None:
        """`twice` and `whole` are those of `Groups`; `reject` None is 0.005 under `flush` auto, else 0."""
        super().__init__()
        self.hold = hold
        self._groups = Groups(size, flush, flush_after, self._send_group, twice, whole)
        self.waits = self._groups.flush_after
        if reissue_after is None and flush == AUTO:
            reissue_after = REISSUE_AUTO
        self.reissue_after = None if reissue_after is None else Delay(reissue_after)
        self.wants_begun = isinstance(hold, RunningPercentile)
        self.idle_role = self.role if self._groups.on_idle else None
        if reject is None:
            reject = REJECT_AUTO if flush == AUTO else 0.0
        self._rejection = Rejection(reject)
        self.judges = self.role if reject else None
        self._held: dict[int, tuple[Task, ...]] = {}
        """The replies that can answer an open request, but have come too early to be used, by its id."""
        self._singles: dict[int, int] = {}
        """How many single tasks each open request has had, by id."""
        self._unreplied: set[int] = set()
        """Open requests that no reply can answer yet, by id."""
        self._rejected: set[int] = set()
        """Open requests whose held reply was not sure enough, by id."""
        self._in_service: set[int] = set()
        """Open requests of which a single is or was in service, by id, where `hold` is a percentile."""

    def _allot(self, workers: int, backups: int) -> dict[str, int]:
        """Give `backups` of the workers to the groups' model and the rest to the single's."""
        if workers <= backups:
            raise UsageError(
                f"{self.role} gives {backups} of {workers} workers to its {self.role} model: none is left for singles"
            )
        return {"single": workers - backups, self.role: backups}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send it to one worker and enter it for a group."""
        self._singles[request.id] = 1
        self._rejection.arrived()
        self._unreplied.add(request.id)
        actions: list[Action] = [self._send("single", (request,))]
        if self.reissue_after is not None:
            actions += self.reissue_after.wake(("reissue", request), now)
        return actions + self._groups.arrived(request, now)

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker for groups is idle: give it the oldest requests that no group covers, if they are old enough."""
        return self._groups.idle(now)

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """A group's deadline, the end of a hold, or the time to send a request again has come."""
        assert isinstance(token, tuple)
        what, which = token
        if what == "hold":
            return self._release(which) if which.id in self._held and which.id not in self._rejected else []
        if what == "reissue":
            slow = self._open(which) and self._singles[which.id] == 1 and which.id not in self._held
            return self._send_again(which) if slow else []
        return self._groups.woke(token, now)

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer from a single at once, from a group as far as `hold` allows."""
        if task.role == "single":
            return self._single_replied(task, now)
        self._groups.returned(task.requests)
        self._drop(task)
        return self._group_replied(task, now, missing)

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """A group failed: send its open requests again. A single failed: fall back on whatever is left."""
        self._drop(task)
        if task.role != "single":
            self._groups.returned(task.requests)
            return self._group_failed(task, reason)
        (request,) = task.requests
        return self._single_failed(request, reason) if self._open(request) else []

    def begun(self, task: Task, now: float) -> list[Action]:
        """Take note that a request's own task does not queue any more."""
        if task.role == "single" and self._open(task.requests[0]):
            self._in_service.add(task.requests[0].id)
        return []

    def judged(self, request: Request, margin: float, now: float) -> list[Action]:
        """Use a held reply if it is sure enough, or nothing better is to come; else see to it that a single comes."""
        if margin == -math.inf:
            del self._held[request.id]
            return self._without_group(request, "no answer")
        underway = self._has_single(request)
        better = underway or self._singles[request.id] < SINGLES_AT_MOST
        if not self._rejection.rejects(margin) or not better:
            return self._answer(request, self.role, *self._held[request.id])
        self._rejected.add(request.id)
        return self._send_again(request) if self._singles[request.id] == 1 or not underway else []

    def finished(self, now: float) -> list[Action]:
        """Let the last, partial group go."""
        return self._groups.finished(now)

    def _send_group(self, members: Sequence[Request], now: float) -> list[Action]:
        return [self._send(self.role, members)]

    def _single_replied(self, task: Task, now: float) -> list[Action]:
        (request,) = task.requests
        if not self._open(request):
            return []
        overdue = self._time_first_reply(request, now)
        return self._answer(request, "resent" if task.attempt else "own", task) + overdue

    def _single_failed(self, request: Request, reason: str) -> list[Action]:
        if not self._live[request.id]:
            return self._last_resort(request, reason)
        waits = request.id in self._held and request.id not in self._rejected
        return self._release(request) if waits and not self._has_single(request) else []

    def _group_replied(self, task: Task, now: float, missing: Collection[int]) -> list[Action]:
        actions: list[Action] = []
        for request in task.requests:
            if self._open(request):
                silent = request.id in missing
                actions += self._without_group(request, "no answer") if silent else self._use(request, (task,), now)
        return actions

    def _group_failed(self, task: Task, reason: str) -> list[Action]:
        actions: list[Action] = []
        for request in task.requests:
            if self._open(request):
                actions += self._without_group(request, reason)
        return actions

    def _use(self, request: Request, tasks: tuple[Task, ...], now: float) -> list[Action]:
        """These replies answer the request: now if it is old enough or no single is left to wait for, or held."""
        if request.id in self._held:
            return [] if self._live[request.id] else self._answer(request, self.role, *tasks)
        overdue = self._time_first_reply(request, now)
        until = request.arrival + self._hold_of(request)
        self._held[request.id] = tasks
        if now >= until or not self._has_single(request):
            return self._release(request) + overdue
        return [Wake(("hold", request), until), *overdue]

    def _release(self, request: Request) -> list[Action]:
        """The hold of a reply is over: use it, or see first how sure it is."""
        tasks = self._held[request.id]
        return [Judge(request, tasks)] if self.judges else self._answer(request, self.role, *tasks)

    def _time_first_reply(self, request: Request, now: float) -> list[Wake]:
        """Take in how long it took until an answer to the request was there, used or held; see what is late by that."""
        if request.id not in self._unreplied:
            return []
        self._unreplied.remove(request.id)
        latency = now - request.arrival
        if isinstance(self.hold, RunningPercentile):
            self.hold.add(latency)
        if self.reissue_after is None:
            return []
        self.reissue_after.add(latency)
        return self.reissue_after.overdue(now)

    def _hold_of(self, request: Request) -> float:
        """Return how many seconds from its arrival on the request waits for its own reply."""
        if not isinstance(self.hold, RunningPercentile):
            return self.hold
        return (self.hold.value or 0.0) if request.id in self._in_service else 0.0

    def _without_group(self, request: Request, reason: str) -> list[Action]:
        """Both ways are in doubt now, unless a reply is held: send the single once more beside the slow one."""
        if self._singles[request.id] == 1 and request.id not in self._held:
            return self._send_again(request)
        return [] if self._live[request.id] else self._last_resort(request, reason)

    def _last_resort(self, request: Request, reason: str) -> list[Action]:
        """No task is left for an open request: a held reply, another single, its future group, or nothing."""
        if request.id in self._held:
            return self._answer(request, self.role, *self._held[request.id])
        if self._singles[request.id] < SINGLES_AT_MOST:
            return self._send_again(request)
        return [] if request in self._groups else self._give_up(request, reason)

    def _send_again(self, request: Request) -> list[Action]:
        attempt = self._singles[request.id]
        self._singles[request.id] += 1
        singles = [task for task in self._live[request.id] if task.role == "single"]
        return [self._send("single", (request,), attempt, singles)]

    def _has_single(self, request: Request) -> bool:
        return any(task.role == "single" for task in self._live[request.id])

    def _settle(self, request: Request, used: Sequence[Task] = ()) -> list[Action]:
        del self._singles[request.id]
        self._rejected.discard(request.id)
        self._groups.settled(request)
        self._held.pop(request.id, None)
        self._unreplied.discard(request.id)
        self._in_service.discard(request.id)
        return super()._settle(request, used)

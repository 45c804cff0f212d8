"""Singles backed up by groups: the common part of collage, approximate backup and parity.

Every request goes to one worker as usual. In addition, groups of requests go as one task to a worker of another role,
and the first reply answers a request. A group's reply is less accurate. With `hold`, it may answer a request only
`hold` seconds after the request's arrival, so that the request's own reply can come first.

The hold may also be a running percentile of the time until the first reply to a request, from whichever task, used or
held. `auto` is the 98th: about two requests in a hundred have no reply by then, which costs little accuracy, and their
answers still count in a p99. With a percentile, the hold ends at once for a request that no single has begun to serve.
It will be late in any case, and once it is answered its queued task is cancelled, which speeds up the tasks behind it.
Nothing is held until 20 first replies are known.

If a group fails (it is lost, misses its deadline, or has no answer for a request), its open requests are sent to one
more worker, unless a reply for them is held. With `reissue_after`, this also happens that many seconds after a
request's arrival, or after a percentile of the first replies (the 99th under `flush` auto). Requests that arrived
before 20 replies were known have that delay from their arrival, too. A request whose own tasks have all failed is
answered from a held reply, or is sent again, three times in all, or waits for a later group.
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
"""The `hold` auto, a percentile of first replies; it is below the 99th, so that held answers do not raise a p99."""
REJECT_AUTO = 0.005
"""The `reject` under `flush` auto, a share of all requests: half of those that a p99 ignores."""
REISSUE_AUTO = "p99"
"""The `reissue_after` under `flush` auto, a percentile of first replies: the few requests slow at both workers."""


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
    """The role of the groups' model, and the source of its answers."""

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
        """`twice` and `whole` are as in `Groups`; `reject` None is 0.005 under `flush` auto, else 0."""
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
        """The served tasks that can answer an open request but are held, by the request's id."""
        self._singles: dict[int, int] = {}
        """How many single tasks each open request has had, by id."""
        self._failed: dict[int, list[Task]] = {}
        """The singles of each open request that have failed, by its id: further ones avoid their workers."""
        self._unreplied: set[int] = set()
        """Ids of open requests that no reply can answer yet."""
        self._rejected: set[int] = set()
        """Ids of open requests whose held reply was not certain enough."""
        self._in_service: set[int] = set()
        """Ids of open requests of which a single is or was in service; empty unless `hold` is a percentile."""

    def _allot(self, workers: int, backups: int) -> dict[str, int]:
        """Give `backups` of the workers to the groups' model and the rest to the single's."""
        if workers <= backups:
            raise UsageError(
                f"{self.role} gives {backups} of {workers} workers to its {self.role} model: none is left for singles"
            )
        return {"single": workers - backups, self.role: backups}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the request to one worker, and add it to the requests to be grouped."""
        self._singles[request.id] = 1
        self._rejection.arrived()
        self._unreplied.add(request.id)
        actions: list[Action] = [self._send("single", (request,))]
        if self.reissue_after is not None:
            actions += self.reissue_after.wake(("reissue", request), now)
        return actions + self._groups.arrived(request, now)

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker for groups is idle: send it the oldest requests that are in no group, if they are old enough."""
        return self._groups.idle(now)

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """Act on the deadline of a group, the end of a hold, or the time to send a request again."""
        assert isinstance(token, tuple)
        what, which = token
        if what == "hold":
            return self._release(which) if which.id in self._held and which.id not in self._rejected else []
        if what == "reissue":
            slow = self._open(which) and self._singles[which.id] == 1 and which.id not in self._held
            return self._send_again(which) if slow else []
        return self._groups.woke(token, now)

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer from a single at once, and from a group when `hold` allows it."""
        if task.role == "single":
            return self._single_replied(task, now)
        self._groups.returned(task.requests)
        self._drop(task)
        return self._group_replied(task, now, missing)

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """After a failed group, send its open requests again; after a failed single, use what is left."""
        self._drop(task)
        if task.role != "single":
            self._groups.returned(task.requests)
            return self._group_failed(task, reason)
        (request,) = task.requests
        if not self._open(request):
            return []
        if reason != "refused":
            self._failed.setdefault(request.id, []).append(task)
        elif self._failed.pop(request.id, None):
            # No other worker is up, and one that failed a task is better than none.
            return [self._send_single(request, task.attempt)]
        return self._single_failed(request, reason)

    def begun(self, task: Task, now: float) -> list[Action]:
        """Note that a request's single is in service."""
        if task.role == "single" and self._open(task.requests[0]):
            self._in_service.add(task.requests[0].id)
        return []

    def judged(self, request: Request, margin: float, now: float) -> list[Action]:
        """Use a held reply if it is certain enough or nothing better can come; else make sure that a single can."""
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
        """Send the last, partial group."""
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
        """Use these replies for the request if its hold is over or no single is left; hold them otherwise."""
        if request.id in self._held:
            return [] if self._live[request.id] else self._answer(request, self.role, *tasks)
        overdue = self._time_first_reply(request, now)
        until = request.arrival + self._hold_of(request)
        self._held[request.id] = tasks
        if now >= until or not self._has_single(request):
            return self._release(request) + overdue
        return [Wake(("hold", request), until), *overdue]

    def _release(self, request: Request) -> list[Action]:
        """Use the held reply of a request, or ask first how certain it is."""
        tasks = self._held[request.id]
        return [Judge(request, tasks)] if self.judges else self._answer(request, self.role, *tasks)

    def _time_first_reply(self, request: Request, now: float) -> list[Wake]:
        """Record the time until the first reply to the request, used or held; return the wakes that are due by it."""
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
        """Return for how many seconds after its arrival the request waits for its own reply."""
        if not isinstance(self.hold, RunningPercentile):
            return self.hold
        return (self.hold.value or 0.0) if request.id in self._in_service else 0.0

    def _without_group(self, request: Request, reason: str) -> list[Action]:
        """Unless a reply is held, send the single once more beside the slow one: the group will not answer."""
        if self._singles[request.id] == 1 and request.id not in self._held:
            return self._send_again(request)
        return [] if self._live[request.id] else self._last_resort(request, reason)

    def _last_resort(self, request: Request, reason: str) -> list[Action]:
        """No task is left for an open request: use a held reply, another single or a future group, or give it up."""
        if request.id in self._held:
            return self._answer(request, self.role, *self._held[request.id])
        if self._singles[request.id] < SINGLES_AT_MOST:
            return self._send_again(request)
        return [] if request in self._groups else self._give_up(request, reason)

    def _send_again(self, request: Request) -> list[Action]:
        attempt = self._singles[request.id]
        self._singles[request.id] += 1
        return [self._send_single(request, attempt)]

    def _send_single(self, request: Request, attempt: int) -> Action:
        """Send a single where no other of the request is, and none has failed."""
        underway = [task for task in self._live[request.id] if task.role == "single"]
        return self._send("single", (request,), attempt, [*underway, *self._failed.get(request.id, ())])

    def _has_single(self, request: Request) -> bool:
        return any(task.role == "single" for task in self._live[request.id])

    def _settle(self, request: Request, used: Sequence[Task] = ()) -> list[Action]:
        del self._singles[request.id]
        self._failed.pop(request.id, None)
        self._rejected.discard(request.id)
        self._groups.settled(request)
        self._held.pop(request.id, None)
        self._unreplied.discard(request.id)
        self._in_service.discard(request.id)
        return super()._settle(request, used)

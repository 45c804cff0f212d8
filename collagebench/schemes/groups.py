"""How requests are gathered into groups: one rule for every scheme that serves several of them in one task.

A group is at most `size` requests. When it goes out is the policy, `flush`:

    wait      a group is `size` consecutive arrivals and goes out with the last of them (as the papers have it)
    deadline  the same, but a group goes out `flush_after` seconds after its first arrival at the latest
    idle      whenever a worker of the group's role is idle it takes the oldest open requests that are in no group yet,
              even a single one, once the oldest is `flush_after` seconds old; so no group ever waits for a full one
    auto      the same, and places that are left over in a group are taken by open requests whose first group is still
              out, the oldest first, once for each: where several workers serve groups, the faster of two then counts

A request that is settled before its group goes out leaves its place free, unless groups are `whole`; under `wait` and
`deadline` it counts as one of the `size` arrivals either way. Sources: `wait` is the rule of Narra et al., "Collage
Inference", arXiv 1904.12222, and of Kosaian et al., "Parity Models", SOSP 2019; `idle` and `auto` are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Final, Literal

from collagebench.errors import UsageError
from collagebench.schemes.checks import check_seconds
from collagebench.schemes.protocol import Action, Request, Wake

Flush = Literal["wait", "idle", "deadline", "auto"]
DEADLINE: Final = 0.1
"""Seconds from a group's first arrival until it goes out under `deadline`, unless told otherwise."""


class Groups:
    """The requests that wait to be grouped; `send(members, now)` says what to do with each group that goes out."""

    def __init__(
        self,
        size: int,
        flush: Flush,
        flush_after: float | None,
        send: Callable[[Sequence[Request], float], list[Action]],
        twice: bool = False,
        whole: bool = False,
    ) -> None:
        """`twice` says whether a request may be in two groups, which `auto` needs, and `whole` whether one that is
        settled before its group goes out stays in it (under `wait` and `deadline`).

        Raises UsageError for an unknown policy or a `flush_after` that makes no sense (in seconds).
        """
        if flush == "auto" and not twice:
            raise UsageError("--flush auto puts requests into two groups, which only collage and backup can: use idle")
        if flush not in ("wait", "idle", "deadline", "auto"):
            raise UsageError(f"--flush must be wait, idle, deadline or auto, not {flush!r}")
        if flush == "wait" and flush_after is not None:
            raise UsageError("--flush wait has no deadline: leave --flush-after out, or use --flush deadline")
        check_seconds(flush_after=flush_after)
        self.size = size
        self.flush = flush
        self._whole = whole and not self.on_idle
        self.flush_after = flush_after if flush_after is not None else (DEADLINE if flush == "deadline" else 0.0)
        self._send = send
        self._waiting: dict[int, Request] = {}
        """Requests that are in no group, oldest first, by id: open ones, and where groups are whole settled ones."""
        self._out: dict[int, Request] = {}
        """Open requests whose first group is out and has not replied, oldest first, by id (auto)."""
        self._group = 0
        """Number of the group that is being gathered (wait and deadline), and how many have arrived for it."""
        self._arrived = 0
        self._ripe_at: float | None = None
        """When the oldest waiting request will be old enough (idle), if a Wake was asked for."""

    @property
    def on_idle(self) -> bool:
        """Whether groups go out when a worker for them is idle."""
        return self.flush in ("idle", "auto")

    def __contains__(self, request: Request) -> bool:
        """Whether the request's group has still to go out."""
        return request.id in self._waiting

    def arrived(self, request: Request, now: float) -> list[Action]:
        """A request has come in."""
        self._waiting[request.id] = request
        if self.on_idle:
            return []
        self._arrived += 1
        if self._arrived == self.size:
            return self.finished(now)
        if self._arrived == 1 and self.flush == "deadline":
            return [Wake(("flush", self._group), now + self.flush_after)]
        return []

    def settled(self, request: Request) -> None:
        """A request needs no group any more: it leaves its place, if it still waits, unless groups are whole."""
        if not self._whole:
            self._waiting.pop(request.id, None)
        self._out.pop(request.id, None)

    def returned(self, requests: Sequence[Request]) -> None:
        """A group has replied or failed: its requests need no second one."""
        for request in requests:
            self._out.pop(request.id, None)

    def idle(self, now: float) -> list[Action]:
        """A worker for groups is idle: give it the oldest waiting requests, if they are old enough."""
        if not self.on_idle or not self._waiting:
            return []
        ripe_at = next(iter(self._waiting.values())).arrival + self.flush_after
        if now >= ripe_at:
            return self._go(now)
        if self._ripe_at is not None and self._ripe_at > now:
            return []
        self._ripe_at = ripe_at
        return [Wake(("ripe", None), ripe_at)]

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """The time of a Wake has come: the group's deadline, if it is one of ours and the group has not gone out."""
        return self.finished(now) if token == ("flush", self._group) else []

    def finished(self, now: float) -> list[Action]:
        """Let go of the group that is being gathered, full or not; on idle an idle worker will take it."""
        if self.on_idle:
            return []
        self._group += 1
        self._arrived = 0
        return self._go(now)

    def _go(self, now: float) -> list[Action]:
        members = [self._waiting.pop(request) for request in list(islice(self._waiting, self.size))]
        if self.flush == "auto":
            again = [self._out.pop(request) for request in list(islice(self._out, self.size - len(members)))]
            self._out.update((request.id, request) for request in members)
            members += again
        return self._send(members, now) if members else []

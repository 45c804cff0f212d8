"""Groups of requests, for the schemes that serve several requests in one task.

A group is at most `size` requests. The policy, `flush`, decides when it is sent:

    wait      a group is `size` consecutive arrivals, and is sent with the last of them (as in the papers)
    deadline  the same, but a group is sent at the latest `flush_after` seconds after its first arrival
    idle      an idle worker of the group's role takes the oldest open requests that were in no group yet, even just
              one, once the oldest is `flush_after` seconds old; so it never waits for more requests
    auto      as idle, and open requests whose first group is still out take the free places of a group, the oldest
              first, once each; if several workers serve groups, the faster of the two replies then counts

A request that is settled before its group is sent leaves its place free, unless groups are `whole`. Under `wait` and
`deadline` it counts as one of the `size` arrivals in any case. Sources: `wait` is the rule of Narra et al., "Collage
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
"""Default of `flush_after` under `deadline`, in seconds."""


class Groups:
    """The requests that wait for a group; `send(members, now)` returns the actions that send a group."""

    def __init__(
        self,
        size: int,
        flush: Flush,
        flush_after: float | None,
        send: Callable[[Sequence[Request], float], list[Action]],
        twice: bool = False,
        whole: bool = False,
    ) -> None:
        """Create an empty collection.

        Args:
            size: the largest number of requests in a group.
            flush: the policy.
            flush_after: seconds, see above; None for the policy's default.
            send: called with the members of a group and the time.
            twice: whether a request may be in two groups; `auto` needs it.
            whole: whether a request that is settled before its group is sent stays in it (under `wait` and `deadline`).

        Raises:
            UsageError: the policy is unknown, needs `twice`, or does not go with `flush_after`.
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
        """Requests that were in no group yet, oldest first, by id: open ones, and settled ones if groups are whole."""
        self._out: dict[int, Request] = {}
        """Open requests whose first group is out and has not replied, oldest first, by id (auto)."""
        self._group = 0
        """Number of the group that is being gathered (wait and deadline)."""
        self._arrived = 0
        """How many requests have arrived for that group."""
        self._ripe_at: float | None = None
        """The time of the last Wake for when the oldest waiting request is old enough (idle)."""

    @property
    def on_idle(self) -> bool:
        """Whether a group is sent when a worker for it is idle."""
        return self.flush in ("idle", "auto")

    def __contains__(self, request: Request) -> bool:
        """Return whether the request waits for its group to be sent."""
        return request.id in self._waiting

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Add a request; send the group that it completes, or ask for the deadline of the group that it begins."""
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
        """Remove a settled request; if groups are whole, it stays in the group that is not sent yet."""
        if not self._whole:
            self._waiting.pop(request.id, None)
        self._out.pop(request.id, None)

    def returned(self, requests: Sequence[Request]) -> None:
        """Note that a group has replied or failed, so that its requests need no second one."""
        for request in requests:
            self._out.pop(request.id, None)

    def idle(self, now: float) -> list[Action]:
        """A worker for groups is idle: send it the oldest waiting requests, or ask for a Wake for when they are due."""
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
        """Send the group that is being gathered if the token is its deadline; other tokens are ignored."""
        return self.finished(now) if token == ("flush", self._group) else []

    def finished(self, now: float) -> list[Action]:
        """Send the group that is being gathered, full or not; under `idle` and `auto`, an idle worker will take it."""
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

"""Which worker gets a task, and what each worker has in hand: one rule for real and for simulated fleets.

A task goes to the worker of its role with the fewest tasks in hand, as far as a client can know: where a reply was
lost, it takes the task to be there until it gives it up. Ties are broken by a number that the caller draws from the
routing stream: it sets an order in which workers are tried, so that each of the equals is as likely as any other, and
so that two schemes whose equals are nearly the same choose the same one. Their comparison is paired: a choice that hung
on anything else would hide the difference behind that of other workers' slowness. (Two choices agree with the chance
that A. Broder's min-hash has, the size of the sets' intersection over that of their union: On the resemblance and
containment of documents, SEQUENCES 1997.) Each worker serves its tasks one at a time, first come first served.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from collagebench.schemes.protocol import Task

TRIES = 32
"""So many workers, or more, are tried in the order that a tie sets before the equals are looked at one by one."""


@dataclass(slots=True, eq=False)
class Job:
    """A task on its worker, and when things happened to it: seconds since the cell began, None until they have."""

    task: Task
    worker: int
    amount: float
    """The straggler model's draw."""
    sent: float
    expected: float
    """Seconds its service should take, by the draw and what one inference takes."""
    begun: float | None = None
    """When its service began, as far as the client can know: a live worker was not earlier than this."""
    outcome: str | None = None
    """As in `TaskRecord`; None while nothing is decided."""
    drops: bool = False
    """Whether the straggler model has its reply lost."""
    dropped: bool = False
    """Its worker has served it, and its reply was lost."""
    given_up: bool = False
    """The scheme waits for it no longer (cancelled, or past its deadline) though its service may run on."""
    encode: float | None = None
    queue: float | None = None
    compute: float | None = None
    injected: float | None = None
    service: float | None = None
    decode: float | None = None
    replied: float | None = None
    bytes_sent: int | None = None
    outputs: NDArray[np.float32] | None = None
    """What its model gave, [rows, classes]; None while nothing was computed."""
    kept: int = 0
    """How many open requests its reply is kept for, one more while it is kept for requests still to come."""
    kept_for_later: bool = False
    """Whether it is kept for requests still to come."""


class _Hand:
    """One worker: what it has in hand, and where it stands among the workers of its role."""

    __slots__ = ("bucket", "load", "place", "queue", "role", "unheard", "work", "worker")

    def __init__(self, worker: int, role: _Role) -> None:
        self.worker = worker
        self.role = role
        self.queue: deque[Job] = deque()
        self.work = 0.0
        """Seconds of service that the queue should take, the job in service whole."""
        self.unheard: set[Job] = set()
        """Jobs that it has served, which the client takes to be there, because the reply was lost."""
        self.load = 0
        """Tasks in hand, as far as the client knows: those in the queue, and those unheard."""
        self.bucket: list[_Hand] | None = None
        """The workers with as many tasks in hand, this one among them; None while it does not serve."""
        self.place = 0
        """Index in the bucket."""


class _Role:
    """The workers of one role in buckets by the number of tasks in hand: bucket n lists those that have n."""

    __slots__ = ("buckets", "lowest")

    def __init__(self) -> None:
        self.buckets: list[list[_Hand]] = [[]]
        self.lowest = 0
        """No bucket below this one holds any."""

    def enter(self, hand: _Hand, load: int) -> None:
        """Put a worker into the bucket of those with `load` tasks in hand."""
        buckets = self.buckets
        if load == len(buckets):
            buckets.append([])
        if load < self.lowest:
            self.lowest = load
        hand.load = load
        hand.bucket = bucket = buckets[load]
        hand.place = len(bucket)
        bucket.append(hand)

    def leave(self, hand: _Hand) -> None:
        """Take a worker out of its bucket."""
        bucket = self.buckets[hand.load]
        last = bucket.pop()
        if last is not hand:
            bucket[hand.place] = last
            last.place = hand.place
        hand.bucket = None


class Router:
    """Workers by role, each with its queue; no operation looks at all of them.

    The lowest bucket of a role that may hold a worker is remembered, so that a deep backlog costs nothing to look past.
    """

    def __init__(self, workers: Mapping[str, Sequence[int]]) -> None:
        self.in_hand = 0
        """Tasks that all workers together really have in hand."""
        self._roles = {name: _Role() for name in workers}
        self._known = {
            worker: _Hand(worker, self._roles[name]) for name, indices in workers.items() for worker in indices
        }
        self._numbers = max(self._known, default=-1) + 1
        """One more than the highest number of a worker, those of all roles together."""
        self._hands: dict[int, _Hand] = {}
        """Those workers that serve, by their number."""
        for worker in self._known:
            self.restore(worker)

    @property
    def workers(self) -> int:
        """How many there are, those that do not serve among them."""
        return len(self._known)

    def idle(self, role: str) -> bool:
        """Whether a worker of `role` has nothing in hand."""
        return bool(self._roles[role].buckets[0])

    def serves(self, role: str) -> bool:
        """Whether there is any worker of `role` left."""
        return any(self._roles[role].buckets)

    def pick(self, role: str, avoid: Collection[int], tie: float) -> int | None:
        """Return the least loaded worker of `role` outside `avoid`, or None; `tie` in [0, 1) chooses among equals."""
        group = self._roles[role]
        buckets = group.buckets
        while group.lowest < len(buckets) - 1 and not buckets[group.lowest]:
            group.lowest += 1
        for bucket in islice(buckets, group.lowest, None):
            if bucket and (worker := self._choose(bucket, avoid, tie)) is not None:
                return worker
        return None

    def _choose(self, bucket: list[_Hand], avoid: Collection[int], tie: float) -> int | None:
        """Return the first worker of the bucket outside `avoid` in the order that `tie` sets for the whole fleet.

        The order is that of a linear congruential generator (D. Knuth, MMIX), of which the upper 32 bits are used. It
        is the fleet's and not the role's, so that schemes agree that have other numbers of workers in a role. Where
        few of many workers are in the bucket it may take any number of tries; after as many as cost what a look at all
        of the bucket does, the lowest hash of `tie` and worker wins.
        """
        if len(bucket) == 1:
            return bucket[0].worker if bucket[0].worker not in avoid else None
        known, numbers, state = self._known, self._numbers, int(tie * 2**64)
        for _ in range(max(TRIES, 2 * len(bucket))):
            worker = (state >> 32) * numbers >> 32
            hand = known.get(worker)
            if hand is not None and hand.bucket is bucket and worker not in avoid:
                return worker
            state = _next(state)
        equals = (hand.worker for hand in bucket if hand.worker not in avoid)
        return min(equals, key=lambda worker: _next(state ^ _next(worker)) >> 32, default=None)

    def put(self, job: Job) -> bool:
        """Queue a job at its worker; True when it is the first in hand, so that its service begins."""
        hand = self._hands[job.worker]
        hand.queue.append(job)
        hand.work += job.expected
        hand.role.leave(hand)
        hand.role.enter(hand, hand.load + 1)
        self.in_hand += 1
        return len(hand.queue) == 1

    def take(self, job: Job) -> Job | None:
        """Remove a job from its worker's hand, if it is there; return the one that is served next, if that begins."""
        hand = self._hands.get(job.worker)
        if hand is None or job not in hand.queue:
            return None
        queue = hand.queue
        was_first = queue[0] is job
        if was_first:
            queue.popleft()
        else:
            queue.remove(job)
        hand.work = hand.work - job.expected if queue else 0.0
        hand.role.leave(hand)
        hand.role.enter(hand, hand.load - 1)
        self.in_hand -= 1
        return queue[0] if was_first and queue else None

    def served_unheard(self, job: Job) -> Job | None:
        """Do what `take` does for a job that was served and whose reply is lost: its worker looks as loaded as before.

        That is so until `give_up`, which must be called when the job is waited for no longer.
        """
        hand = self._hands.get(job.worker)
        if hand is None or job not in hand.queue:
            return None
        following = self.take(job)
        hand.unheard.add(job)
        hand.role.leave(hand)
        hand.role.enter(hand, hand.load + 1)
        return following

    def give_up(self, job: Job) -> None:
        """A job whose reply was lost counts no longer."""
        hand = self._hands.get(job.worker)
        if hand is not None and job in hand.unheard:
            hand.unheard.remove(job)
            hand.role.leave(hand)
            hand.role.enter(hand, hand.load - 1)

    def free_at(self, worker: int, now: float) -> float:
        """Return when a worker should be done with what it has in hand: `now` if that is nothing, or overdue."""
        hand = self._hands.get(worker)
        if hand is None or not hand.queue or (begun := hand.queue[0].begun) is None:
            return now
        return max(now, begun + hand.work)

    def in_service(self, job: Job) -> bool:
        """Whether the job is the one that its worker serves."""
        return self.next(job.worker) is job

    def next(self, worker: int) -> Job | None:
        """The job that `worker` serves now."""
        hand = self._hands.get(worker)
        return hand.queue[0] if hand and hand.queue else None

    def second(self, worker: int) -> Job | None:
        """The job that `worker` will serve next."""
        hand = self._hands.get(worker)
        return hand.queue[1] if hand and len(hand.queue) > 1 else None

    def lose(self, worker: int) -> list[Job]:
        """Strike a worker out and return what it had in hand."""
        hand = self._hands.pop(worker, None)
        if hand is None:
            return []
        jobs = list(hand.queue)
        hand.role.leave(hand)
        self.in_hand -= len(jobs)
        return jobs

    def restore(self, worker: int) -> None:
        """Let a worker that was struck out serve again, with nothing in hand."""
        hand = self._known.get(worker)
        if hand is not None and worker not in self._hands:
            hand.queue.clear()
            hand.unheard.clear()
            hand.work = 0.0
            self._hands[worker] = hand
            hand.role.enter(hand, 0)


def _next(state: int) -> int:
    """Return the number of 64 bits that follows in the generator."""
    return (state * 6364136223846793005 + 1442695040888963407) % 2**64

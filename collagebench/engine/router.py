"""Routing of tasks to workers, and the queue of each worker, for real and simulated fleets.

A task goes to the worker of its role with the fewest tasks, as far as a client can know: a task whose reply was lost
counts until the client gives it up. Each worker serves its tasks one at a time, first come first served.

Ties are broken by a number that the caller draws from the routing stream. It sets an order in which workers are tried.
So each of the equally loaded workers is equally likely, and two schemes with nearly the same set of them choose the
same worker. This matters because schemes are compared in pairs: other choices would hide the difference between schemes
behind that between workers. (Two choices agree with the probability of A. Broder's min-hash, the size of the sets'
intersection over that of their union: On the resemblance and containment of documents, SEQUENCES 1997.)
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
"""The least number of workers to try in the order that a tie sets, before all equally loaded ones are looked at."""


@dataclass(slots=True, eq=False)
class Job:
    """A task on its worker. Times are in seconds since the cell began, durations in seconds; None while unknown."""

    task: Task
    worker: int
    amount: float
    """The straggler model's draw."""
    sent: float
    expected: float
    """Expected service time, from the draw and the time of an inference."""
    begun: float | None = None
    """When its service began, as far as the client can know; on a live worker it was not earlier."""
    outcome: str | None = None
    """As in `TaskRecord`; None while undecided."""
    drops: bool = False
    """Whether the straggler model will lose its reply."""
    dropped: bool = False
    """Whether its worker has served it and its reply was lost."""
    given_up: bool = False
    """Whether the scheme no longer waits for it (cancelled, failed or past its deadline); its service may run on."""
    encode: float | None = None
    queue: float | None = None
    compute: float | None = None
    injected: float | None = None
    service: float | None = None
    decode: float | None = None
    replied: float | None = None
    bytes_sent: int | None = None
    outputs: NDArray[np.float32] | None = None
    """The outputs of its model, [rows, classes]; None while they are not computed."""
    kept: int = 0
    """The number of open requests for which its reply is kept, plus one while it is kept for later requests."""
    kept_for_later: bool = False
    """Whether its reply is kept for later requests."""


class _Hand:
    """One worker: its queue, and its place among the workers of its role."""

    __slots__ = ("bucket", "load", "place", "queue", "role", "unheard", "work", "worker")

    def __init__(self, worker: int, role: _Role) -> None:
        self.worker = worker
        self.role = role
        self.queue: deque[Job] = deque()
        self.work = 0.0
        """Expected seconds of service of all jobs in the queue, including the whole of the job in service."""
        self.unheard: set[Job] = set()
        """Jobs that it has served but whose reply was lost, so that the client still counts them."""
        self.load = 0
        """Number of jobs, as far as the client knows: those in the queue and those unheard."""
        self.bucket: list[_Hand] | None = None
        """The workers with the same load, including this one; None while it does not serve."""
        self.place = 0
        """Index in the bucket."""


class _Role:
    """The workers of one role in buckets by load: bucket n lists the workers with a load of n."""

    __slots__ = ("buckets", "lowest")

    def __init__(self) -> None:
        self.buckets: list[list[_Hand]] = [[]]
        self.lowest = 0
        """All buckets below this index are empty."""

    def enter(self, hand: _Hand, load: int) -> None:
        """Put a worker into the bucket of `load`."""
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
    """Workers by role, each with its queue.

    No operation looks at all workers. The lowest bucket of a role that may not be empty is remembered, so that a long
    backlog costs no time.
    """

    def __init__(self, workers: Mapping[str, Sequence[int]]) -> None:
        self.in_hand = 0
        """The number of jobs in the queues of all workers, without those unheard."""
        self._roles = {name: _Role() for name in workers}
        self._known = {
            worker: _Hand(worker, self._roles[name]) for name, indices in workers.items() for worker in indices
        }
        self._numbers = max(self._known, default=-1) + 1
        """One more than the highest number of a worker of any role."""
        self._hands: dict[int, _Hand] = {}
        """The workers that serve now, by number."""
        for worker in self._known:
            self.restore(worker)

    @property
    def workers(self) -> int:
        """The number of workers, including those that do not serve now."""
        return len(self._known)

    def idle(self, role: str) -> bool:
        """Return whether a worker of `role` has no jobs."""
        return bool(self._roles[role].buckets[0])

    def serves(self, role: str) -> bool:
        """Return whether any worker of `role` serves now."""
        return any(self._roles[role].buckets)

    def pick(self, role: str, avoid: Collection[int], tie: float) -> int | None:
        """Return the least loaded worker of `role` that is not in `avoid`, or None; `tie` in [0, 1) breaks ties."""
        group = self._roles[role]
        buckets = group.buckets
        while group.lowest < len(buckets) - 1 and not buckets[group.lowest]:
            group.lowest += 1
        for bucket in islice(buckets, group.lowest, None):
            if bucket and (worker := self._choose(bucket, avoid, tie)) is not None:
                return worker
        return None

    def _choose(self, bucket: list[_Hand], avoid: Collection[int], tie: float) -> int | None:
        """Return the first worker of the bucket that is not in `avoid`, in the order that `tie` sets for the fleet.

        The order comes from the upper 32 bits of a linear congruential generator (D. Knuth, MMIX). It is one of all
        workers, not of a role, so that schemes agree even if their roles have different numbers of workers. If the
        bucket holds few of many workers, this may take any number of tries. After as many tries as cost the same as a
        look at the whole bucket, the worker with the lowest hash of `tie` and its number is chosen.
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
        """Queue a job at its worker; return True if it is the first there, so that its service begins."""
        hand = self._hands[job.worker]
        hand.queue.append(job)
        hand.work += job.expected
        hand.role.leave(hand)
        hand.role.enter(hand, hand.load + 1)
        self.in_hand += 1
        return len(hand.queue) == 1

    def take(self, job: Job) -> Job | None:
        """Remove a job from its worker's queue, if it is there; return the next job if its service begins now."""
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
        """Do the same as `take` for a served job whose reply is lost, but leave its worker's load as it is.

        `give_up` must be called when the job is given up.
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
        """Stop counting a job whose reply was lost."""
        hand = self._hands.get(job.worker)
        if hand is not None and job in hand.unheard:
            hand.unheard.remove(job)
            hand.role.leave(hand)
            hand.role.enter(hand, hand.load - 1)

    def free_at(self, worker: int, now: float) -> float:
        """Return when a worker should have served all its jobs: `now` if it has none, or is overdue."""
        hand = self._hands.get(worker)
        if hand is None or not hand.queue or (begun := hand.queue[0].begun) is None:
            return now
        return max(now, begun + hand.work)

    def in_service(self, job: Job) -> bool:
        """Return whether its worker serves the job now."""
        return self.next(job.worker) is job

    def next(self, worker: int) -> Job | None:
        """Return the job that `worker` serves now, or None."""
        hand = self._hands.get(worker)
        return hand.queue[0] if hand and hand.queue else None

    def second(self, worker: int) -> Job | None:
        """Return the job that `worker` will serve next, or None."""
        hand = self._hands.get(worker)
        return hand.queue[1] if hand and len(hand.queue) > 1 else None

    def lose(self, worker: int) -> list[Job]:
        """Remove a lost worker; return its queue."""
        hand = self._hands.pop(worker, None)
        if hand is None:
            return []
        jobs = list(hand.queue)
        hand.role.leave(hand)
        self.in_hand -= len(jobs)
        return jobs

    def restore(self, worker: int) -> None:
        """Let a lost worker serve again, with an empty queue."""
        hand = self._known.get(worker)
        if hand is not None and worker not in self._hands:
            hand.queue.clear()
            hand.unheard.clear()
            hand.work = 0.0
            self._hands[worker] = hand
            hand.role.enter(hand, 0)


def _next(state: int) -> int:
    """Return the generator's next state, 64 bits."""
    return (state * 6364136223846793005 + 1442695040888963407) % 2**64

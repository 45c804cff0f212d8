"""Which worker gets a task, and what each worker has in hand: one rule for real and for simulated fleets.

A task goes to the worker of its role with the fewest tasks in hand. Ties are broken by a number that the caller draws
from the routing stream. Each worker serves its tasks one at a time, first come first served.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.schemes.protocol import Task


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
    """How many open requests its reply is kept for."""


class Router:
    """Workers by role, each with its queue; every operation takes constant time in the number of workers.

    The workers of a role stand in buckets by the number of tasks in hand: bucket n lists those that have n. The lowest
    bucket that may hold any is remembered, so that a deep backlog costs nothing to look past.
    """

    def __init__(self, workers: Mapping[str, Sequence[int]]) -> None:
        self.queues: dict[int, deque[Job]] = {}
        self.in_hand = 0
        """Tasks that all workers together have in hand."""
        self._buckets: dict[str, list[list[int]]] = {}
        self._lowest = dict.fromkeys(workers, 0)
        self._role_of: dict[int, str] = {}
        self._place: dict[int, int] = {}
        """Where each worker stands in its bucket."""
        self._load: dict[int, int] = {}
        self._work: dict[int, float] = {}
        """Seconds of service that each worker's hand should take, the one in service whole."""
        for name, indices in workers.items():
            buckets: list[list[int]] = [[]]
            self._buckets[name] = buckets
            for worker in indices:
                self.queues[worker] = deque()
                self._role_of[worker] = name
                self._load[worker] = 0
                self._work[worker] = 0.0
                self._enter(worker)

    def idle(self, role: str) -> bool:
        """Whether a worker of `role` has nothing in hand."""
        return bool(self._buckets[role][0])

    def pick(self, role: str, avoid: Collection[int], tie: float) -> int | None:
        """Return the least loaded worker of `role` outside `avoid`, or None; `tie` in [0, 1) chooses among equals."""
        buckets = self._buckets[role]
        lowest = self._lowest[role]
        while lowest < len(buckets) - 1 and not buckets[lowest]:
            lowest += 1
        self._lowest[role] = lowest
        for load in range(lowest, len(buckets)):
            bucket = buckets[load]
            if not bucket:
                continue
            worker = bucket[int(tie * len(bucket))]
            if worker not in avoid:
                return worker
            others = [worker for worker in bucket if worker not in avoid]
            if others:
                return others[int(tie * len(others))]
        return None

    def put(self, job: Job) -> bool:
        """Queue a job at its worker; True when it is the first in hand, so that its service begins."""
        queue = self.queues[job.worker]
        queue.append(job)
        self._work[job.worker] += job.expected
        self.in_hand += 1
        self._move(job.worker, +1)
        return len(queue) == 1

    def in_service(self, job: Job) -> bool:
        """Whether the job is the one that its worker serves."""
        return self.next(job.worker) is job

    def take(self, job: Job) -> bool:
        """Remove a job from its worker's hand; False when it is not there any more."""
        queue = self.queues.get(job.worker)
        if not queue:
            return False
        if queue[0] is job:
            queue.popleft()
        else:
            try:
                queue.remove(job)
            except ValueError:
                return False
        self.in_hand -= 1
        self._work[job.worker] = self._work[job.worker] - job.expected if queue else 0.0
        self._move(job.worker, -1)
        return True

    def free_at(self, worker: int, now: float) -> float:
        """Return when a worker should be done with what it has in hand: `now` if that is nothing, or overdue."""
        first = self.next(worker)
        return now if first is None or first.begun is None else max(now, first.begun + self._work[worker])

    def next(self, worker: int) -> Job | None:
        """The job that `worker` serves now."""
        queue = self.queues.get(worker)
        return queue[0] if queue else None

    def second(self, worker: int) -> Job | None:
        """The job that `worker` will serve next."""
        queue = self.queues.get(worker)
        return queue[1] if queue and len(queue) > 1 else None

    def lose(self, worker: int) -> list[Job]:
        """Strike a worker out and return what it had in hand."""
        jobs = list(self.queues.pop(worker, ()))
        self.in_hand -= len(jobs)
        if worker in self._load:
            self._leave(worker)
            del self._load[worker]
        return jobs

    def restore(self, worker: int) -> None:
        """Let a worker that was struck out serve again, with nothing in hand."""
        if worker in self._role_of and worker not in self._load:
            self.queues[worker] = deque()
            self._load[worker], self._work[worker] = 0, 0.0
            self._enter(worker)

    def _move(self, worker: int, step: int) -> None:
        self._leave(worker)
        self._load[worker] += step
        self._enter(worker)

    def _enter(self, worker: int) -> None:
        role, load = self._role_of[worker], self._load[worker]
        buckets = self._buckets[role]
        self._lowest[role] = min(self._lowest[role], load)
        if load == len(buckets):
            buckets.append([])
        self._place[worker] = len(buckets[load])
        buckets[load].append(worker)

    def _leave(self, worker: int) -> None:
        bucket = self._buckets[self._role_of[worker]][self._load[worker]]
        last = bucket.pop()
        if last != worker:
            place = self._place[worker]
            bucket[place] = last
            self._place[last] = place

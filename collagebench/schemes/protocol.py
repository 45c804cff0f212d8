"""What a redundancy scheme is: a state machine that is told events and answers with actions.

It never sees a socket, a clock, a process or a random generator, so the same object runs on real workers and in
simulation. An engine tells it:

    arrived(request, now)            a request has come in
    replied(task, now, missing)      a worker has served a task (`missing`: ids of requests it holds no answer for)
    failed(task, reason, now)        a task will never be served: `lost` (its worker died), `deadline`, `refused`
    idle(role, now)                  after an event, a worker of `idle_role` has nothing to do
    woke(token, now)                 the time of a Wake has come
    begun(task, now)                 as far as the client knows, a worker has begun to serve a task (if `wants_begun`)
    judged(request, margin, now)     how sure the answer is that the scheme has asked about with a Judge
    finished(now)                    no more requests will come

and each returns a list of actions, which the engine carries out in order:

    Send(task, avoid)                put a task on a worker of its role that holds none of the tasks `avoid`
    Cancel(task)                     take it back if it still queues; a task in service is never interrupted
    Answer(request, source, tasks)   the request's one answer comes from these tasks, `decode` says how
    Keep(task, requests)             the reply of a task just served may help to decode these open requests, or others
                                     that are still to come (None)
    Judge(request, tasks)            say how sure the answer from these tasks would be: `judged` follows at once
    Fail(request, reason)            give the request up
    Wake(token, at)                  call `woke` at that time

Rules: every request is answered or failed exactly once; a task is cancelled when no request needs it any more; a scheme
is deterministic given its events. Times are seconds on one clock whose zero means nothing.

Besides, a scheme knows what its tasks mean: `encode` makes a task's input from its images, `decode` a request's answer
from the outputs of tasks. Both are pure; an engine calls them when it likes, live at once, simulated only for answers
that were used.

The nouns are named tuples: as immutable as frozen dataclasses, and made in a third of the time. A simulation makes
four for each request, a million times over.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import UsageError


class Request(NamedTuple):
    """One image to classify."""

    id: int
    image: int
    """Index of the image in the dataset."""
    arrival: float
    """When the schedule wants it to arrive."""


class Task(NamedTuple):
    """A piece of work for one worker: one request, or a group of them in the order of their cells."""

    id: int
    role: str
    """The model that serves it: `single`, `collage`, `parity`, `coded` or `backup`."""
    requests: tuple[Request, ...]
    attempt: int
    """0 for the first task of its role for the request, then 1, 2, …"""
    share: int = 0
    """Which of the coded inputs that its group was encoded into it carries."""


class Send(NamedTuple):
    """Put `task` on the least loaded worker of its role."""

    task: Task
    avoid: tuple[Task, ...] = ()
    """Tasks whose workers must not get this one."""


class Cancel(NamedTuple):
    """Nobody needs `task` any more: take it back if its service has not begun."""

    task: Task


class Answer(NamedTuple):
    """`request` is answered by the replies of `tasks`; by the most frequent class if there are none."""

    request: Request
    source: str
    """own, replica, hedge, resent, collage, parity, coded, backup or default."""
    tasks: tuple[Task, ...]


class Keep(NamedTuple):
    """The reply of `task`, whose own requests may be settled, is kept until these open `requests` are settled too.

    None: it is kept until a further Keep of the same task says for which requests, () for none.
    """

    task: Task
    requests: tuple[Request, ...] | None


class Judge(NamedTuple):
    """Look at the answer that the replies of `tasks` would be to `request`, and tell how sure it is."""

    request: Request
    tasks: tuple[Task, ...]


class Fail(NamedTuple):
    """`request` will have no answer."""

    request: Request
    reason: str


class Wake(NamedTuple):
    """Call `woke(token)` at time `at`."""

    token: Hashable
    at: float


Action = Send | Cancel | Answer | Keep | Judge | Fail | Wake


class Scheme:
    """The base of all schemes: the ledger of which tasks may still answer which request."""

    idle_role: str | None = None
    """The role whose idle workers the scheme wants to hear about."""
    wants_begun = False
    """Whether the scheme wants to hear when a task's service begins."""
    judges: str | None = None
    """The role whose replies the scheme asks about with a Judge."""
    deadline = math.inf
    """Seconds after which the engine, which sets this, gives up a task; a request that the scheme itself keeps waiting
    before it sends a task is for the scheme to fail after as long."""
    waits = 0.0
    """Seconds for which the scheme may wait for a Wake to settle a request when no worker has anything in hand; after
    that, or after the deadline where it is longer, the engine takes it that nothing more is to come."""

    def __init__(self) -> None:
        self._tasks_made = 0
        self._live: dict[int, list[Task]] = {}
        """For every open request, by id: the tasks that may still answer it."""

    def allot(self, workers: int) -> dict[str, int]:
        """Return how many of `workers` serve each role, raising UsageError when there are too few.

        Every object is asked before its first event, so a scheme may note here how many workers it has.
        """
        if workers < 1:
            raise UsageError(f"a fleet needs at least 1 worker, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """A request has come in."""
        raise NotImplementedError

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """A worker has served `task`; it holds no answer for the requests whose ids are `missing`."""
        raise NotImplementedError

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """`task` will never be served."""
        return [self._fail(request, reason) for request in self._drop(task)]

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker of `idle_role` has nothing to do."""
        return []

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """The time of a Wake has come."""
        return []

    def begun(self, task: Task, now: float) -> list[Action]:
        """As far as the client knows, a worker has begun to serve `task`."""
        return []

    def judged(self, request: Request, margin: float, now: float) -> list[Action]:
        """The score of the answer that was asked about is by `margin` above the second best; -inf: no answer."""
        return []

    def finished(self, now: float) -> list[Action]:
        """No more requests will come: let go of what was waiting for them."""
        return []

    # What its tasks mean: pure functions.

    def needs(self, role: str) -> Mapping[str, Any]:
        """Return what the model of a role must be, besides of that role: `{"grid": 3}`, `{"k": 2, "code": …}`."""
        return {}

    def batch(self, role: str) -> int:
        """Return how many inputs the largest task of a role carries."""
        return 1

    def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
        """Return a task's input to its model: uint8 or float32 [batch, *shape].

        `images` are those of the task's requests, in order, uint8 [height, width, 3]; `shape` is one model input's.
        """
        return np.array(images)

    def decode(self, request: Request, replies: Sequence[tuple[Task, NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Return the score of each class for a request, float32 [classes]: its answer is the highest.

        `replies` are an Answer's tasks, in order, with their outputs, float32 [rows, classes]. All NaN: no answer.
        """
        ((task, outputs),) = replies
        scores: NDArray[np.float32] = outputs[task.requests.index(request)]
        return scores

    # The ledger, for subclasses.

    def _open(self, request: Request) -> bool:
        """Whether the request still waits for its answer."""
        return request.id in self._live

    def _send(
        self, role: str, requests: Sequence[Request], attempt: int = 0, avoid: Sequence[Task] = (), share: int = 0
    ) -> Send:
        """Make a task for open or new requests and enter it in the ledger."""
        task = Task(self._tasks_made, role, tuple(requests), attempt, share)
        self._tasks_made += 1
        for request in requests:
            self._live.setdefault(request.id, []).append(task)
        return Send(task, tuple(avoid))

    def _answer(self, request: Request, source: str, *tasks: Task) -> list[Action]:
        """Answer an open request from `tasks` and cancel what nobody needs after that."""
        return [Answer(request, source, tasks), *self._settle(request, tasks)]

    def _give_up(self, request: Request, reason: str) -> list[Action]:
        """Fail an open request that tasks may be left for, and cancel what nobody needs after that."""
        return [Fail(request, reason), *self._settle(request)]

    def _settle(self, request: Request, used: Sequence[Task] = ()) -> list[Action]:
        """Strike out a request and cancel its tasks, but those `used` and those that another open request needs."""
        rivals = self._live.pop(request.id)
        return [
            Cancel(rival)
            for rival in rivals
            if rival not in used and not any(other.id in self._live for other in rival.requests)
        ]

    def _drop(self, task: Task) -> list[Request]:
        """Strike out a task that will give no (more) answers; return the open requests that no task is left for."""
        orphans = []
        for request in task.requests:
            tasks = self._live.get(request.id)
            if tasks is not None and task in tasks:
                tasks.remove(task)
                if not tasks:
                    orphans.append(request)
        return orphans

    def _fail(self, request: Request, reason: str) -> Fail:
        """Fail an open request that no task is left for."""
        del self._live[request.id]
        return Fail(request, reason)

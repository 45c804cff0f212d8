"""The contract between a redundancy scheme and an engine: the scheme receives events and returns actions.

A scheme is a state machine. It never sees a socket, a clock, a process or a random generator, so the same object runs
on real workers and in simulation. An engine calls one method for each event:

    arrived(request, now)            a request has arrived
    replied(task, now, missing)      a worker has served a task; it has no answer for requests with ids in `missing`
    failed(task, reason, now)        a task will never be served: `lost` (its worker died), `crashed` (its worker died
                                     as planned and will be back), `deadline` or `refused`
    idle(role, now)                  after all actions, a worker of the scheme's `idle_role` has nothing to do
    woke(token, now)                 the time of a Wake has come
    begun(task, now)                 a worker has begun to serve a task, as far as the client knows (if `wants_begun`)
    judged(request, margin, now)     how certain the answer is that the scheme asked about with a Judge
    finished(now)                    no more requests will arrive

Each method returns a list of actions, which the engine carries out in order:

    Send(task, avoid)                put a task on the least loaded worker of its role that holds none of `avoid`, and
                                     has failed none of them
    Cancel(task)                     take a task back if it is still queued; a service is never interrupted
    Answer(request, source, tasks)   answer a request from the replies to these tasks, as `decode` computes it
    Keep(task, requests)             keep the reply to a task just served: it may help to decode these open requests, or
                                     later ones (None)
    Judge(request, tasks)            ask how certain the answer from these replies would be; `judged` follows at once
    Fail(request, reason)            give a request up
    Wake(token, at)                  call `woke(token)` at that time, or at once if it has passed; never at infinity

The rules:

    - Every request is answered or failed exactly once.
    - A task is for at least one open request, and is sent once.
    - Two tasks with the same first request differ in role, attempt or share, on which their slowness depends.
    - An answer comes from tasks that have been served, or from none if its source is `default`.
    - A task is cancelled when no request needs it any more.
    - The same events give the same actions.

Times are seconds on one clock, whose zero is arbitrary.

A scheme also defines the content of its tasks: `encode` makes a task's input from images, and `decode` makes a
request's answer from the outputs of tasks. Both are pure functions. An engine calls them at any time, on another object
of the class, which receives no events.

Requests, tasks and actions are named tuples. They are as immutable as frozen dataclasses, but are created in a third of
the time; a simulation creates four for each of a million requests.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import UsageError

BATCHED = ("single", "backup")
"""Roles whose tasks have one input for each request; a task of another role combines its requests into one input."""


class Request(NamedTuple):
    """One image to classify."""

    id: int
    image: int
    """Index of the image in the dataset."""
    arrival: float
    """Its arrival time in the schedule."""


class Task(NamedTuple):
    """A unit of work for one worker: one request, or a group of requests in the order of their cells."""

    id: int
    role: str
    """The model that serves it: `single`, `collage`, `parity`, `coded` or `backup`."""
    requests: tuple[Request, ...]
    attempt: int
    """0 for the first task of its role for the request, then 1, 2, …"""
    share: int = 0
    """The index of its input among the coded inputs of its group; 0 if there is only one."""


class Send(NamedTuple):
    """Put `task` on the least loaded worker of its role."""

    task: Task
    avoid: tuple[Task, ...] = ()
    """Tasks whose workers must not get this task; that of a failed task is known until its requests are settled."""


class Cancel(NamedTuple):
    """Take `task` back, because no request needs it any more; a service that has begun goes on."""

    task: Task


class Answer(NamedTuple):
    """Answer `request` from the replies to `tasks`, or with the most frequent class if there are none."""

    request: Request
    source: str
    """own, replica, hedge, resent, collage, parity, coded, backup or default."""
    tasks: tuple[Task, ...]


class Keep(NamedTuple):
    """Keep the reply to `task` until these open `requests` are settled, even if the task's own requests are.

    None keeps it until a further Keep of the same task names the requests, or releases it with ().
    """

    task: Task
    requests: tuple[Request, ...] | None


class Judge(NamedTuple):
    """Tell how certain the answer to `request` from the replies to `tasks` would be."""

    request: Request
    tasks: tuple[Task, ...]


class Fail(NamedTuple):
    """Give `request` up: it will have no answer."""

    request: Request
    reason: str


class Wake(NamedTuple):
    """Call `woke(token)` at time `at`."""

    token: Hashable
    at: float


Action = Send | Cancel | Answer | Keep | Judge | Fail | Wake


class Scheme:
    """The base class of all schemes, with a ledger of the tasks that may still answer each request."""

    idle_role: str | None = None
    """The role about whose idle workers the engine calls `idle`; None for never."""
    wants_begun = False
    """Whether the engine calls `begun`."""
    judges: str | None = None
    """The role of the tasks that the scheme names in a Judge; None if it uses none."""
    deadline = math.inf
    """Seconds after which the engine gives up a task. The engine sets this. A scheme that lets a request wait before it
    sends a task must fail the request itself after as many seconds."""
    waits = 0.0
    """Seconds for which the scheme may wait for a Wake that settles a request, while no worker has a task. When no more
    requests will arrive, the engine ends the run after that time, or after the deadline if that is longer."""

    def __init__(self) -> None:
        self._tasks_made = 0
        self._live: dict[int, list[Task]] = {}
        """The tasks that may still answer each open request, by the request's id."""

    def allot(self, workers: int) -> dict[str, int]:
        """Return how many of `workers` serve each role; raise UsageError if there are too few.

        The engine calls this on every object before its first event, so a scheme may note the number of workers here.
        """
        if workers < 1:
            raise UsageError(f"a fleet needs at least 1 worker, not {workers}")
        return {"single": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """A request has arrived."""
        raise NotImplementedError

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """A worker has served `task`; its reply has no answer for the requests with ids in `missing`."""
        raise NotImplementedError

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """`task` will never be served; by default, give up the requests for which no task is left."""
        return [self._fail(request, reason) for request in self._drop(task)]

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker of `idle_role` has nothing to do."""
        return []

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """The time of a Wake has come."""
        return []

    def begun(self, task: Task, now: float) -> list[Action]:
        """A worker has begun to serve `task`, as far as the client knows."""
        return []

    def judged(self, request: Request, margin: float, now: float) -> list[Action]:
        """The best score of the judged answer exceeds the second best by `margin`; -inf if there is no answer."""
        return []

    def finished(self, now: float) -> list[Action]:
        """No more requests will arrive: send whatever waits for more of them."""
        return []

    # The content of tasks: pure functions.

    def needs(self, role: str) -> Mapping[str, Any]:
        """Return the traits that the model of a role must have, such as `{"grid": 3}` or `{"k": 2, "code": …}`."""
        return {}

    def batch(self, role: str) -> int:
        """Return the number of inputs in the largest task of a role."""
        return 1

    def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
        """Return a task's input to its model, [batch, *shape], uint8 or float32 as the model takes it.

        `images` are those of the task's requests, in order, uint8 [height, width, 3]; `shape` is that of one input.
        """
        return np.array(images)

    def decode(self, request: Request, replies: Sequence[tuple[Task, NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Return the score of each class for a request, float32 [classes]; the class with the highest is its answer.

        `replies` are the tasks of an Answer, in order, with their outputs, float32 [rows, classes]. Scores that are not
        all finite mean that there is no answer.
        """
        ((task, outputs),) = replies
        scores: NDArray[np.float32] = outputs[task.requests.index(request)]
        return scores

    # The ledger, for subclasses.

    def _open(self, request: Request) -> bool:
        """Return whether the request still waits for its answer."""
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
        """Answer an open request from `tasks`, and cancel the tasks that no request needs any more."""
        return [Answer(request, source, tasks), *self._settle(request, tasks)]

    def _give_up(self, request: Request, reason: str) -> list[Action]:
        """Fail an open request, and cancel the tasks that no request needs any more."""
        return [Fail(request, reason), *self._settle(request)]

    def _settle(self, request: Request, used: Sequence[Task] = ()) -> list[Action]:
        """Remove a request from the ledger; cancel its tasks, except those `used` or needed by another open request."""
        rivals = self._live.pop(request.id)
        return [
            Cancel(rival)
            for rival in rivals
            if rival not in used and not any(other.id in self._live for other in rival.requests)
        ]

    def _drop(self, task: Task) -> list[Request]:
        """Remove a task that will not answer any more; return its open requests for which no task is left."""
        orphans = []
        for request in task.requests:
            tasks = self._live.get(request.id)
            if tasks is not None and task in tasks:
                tasks.remove(task)
                if not tasks:
                    orphans.append(request)
        return orphans

    def _fail(self, request: Request, reason: str) -> Fail:
        """Fail an open request for which no task is left."""
        del self._live[request.id]
        return Fail(request, reason)

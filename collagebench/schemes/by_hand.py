"""A driver for tests of schemes, in which the test chooses every event:

driver = ByHand(Replication(2))
request = driver.arrive()
own, copy = driver.tasks()
driver.reply(copy)
assert driver.answers == {request.id: ("replica", copy)}
assert driver.cancelled == [own]
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Mapping

from collagebench.schemes.protocol import (
    BATCHED,
    Action,
    Answer,
    Cancel,
    Fail,
    Judge,
    Keep,
    Request,
    Scheme,
    Send,
    Task,
    Wake,
)
from collagebench.terms import SOURCES

WORKERS = 1000
"""The size of the fleet for which a scheme is asked for its roles: as many as any scheme takes."""
NOBODY_HAS_IT = "no worker has that task: it was served, failed or cancelled"


class ByHand:
    """Records a scheme's actions instead of carrying them out, and asserts the protocol's rules meanwhile."""

    def __init__(self, scheme: Scheme) -> None:
        """Start at time 0 (seconds), without any request."""
        self.scheme = scheme
        self.roles = _roles_of(scheme)
        """The roles for which the scheme asks for workers."""
        self.now = 0.0
        self.requests: list[Request] = []
        self.sent: dict[int, Task] = {}
        """Tasks that are with workers now, by id; a cancelled task is removed at once."""
        self._sent_before: set[int] = set()
        """Ids of all tasks that were ever sent."""
        self.avoided: dict[int, tuple[Task, ...]] = {}
        self.wakes: list[tuple[float, Hashable]] = []
        self.ever_sent: list[Task] = []
        self.numbers: set[tuple[int, str, int, int]] = set()
        """Id of the first request, role, attempt and share of every task."""
        self.actions: list[Action] = []
        """All actions of the scheme so far."""
        self.replied: set[int] = set()
        """Ids of the tasks that have been served."""
        self.kept: dict[int, list[Request]] = {}
        """The requests for which each reply is kept, by the task's id: its own, and those it may help to decode."""
        self.kept_for_later: set[int] = set()
        """Ids of the tasks whose replies are kept for later requests."""
        self._replying: Task | None = None
        self.answers: dict[int, tuple[str | Task, ...]] = {}
        """The source of each answer and the tasks that it came from, by the request's id."""
        self.failures: dict[int, str] = {}
        self.cancelled: list[Task] = []
        self.idle: Callable[[str], bool] = lambda role: False
        self.margin: Callable[[Request], float] = lambda request: math.inf
        """The margin of an answer that the scheme asks about with a Judge."""

    def open(self, request: Request) -> bool:
        """Return whether a request still waits for its answer."""
        return request.id not in self.answers and request.id not in self.failures

    def arrive(self, now: float | None = None) -> Request:
        """Let a request arrive, and return it; `now`, here and below, is the time, or None for the last one."""
        self.now = self.now if now is None else now
        request = Request(len(self.requests), 0, self.now)
        self.requests.append(request)
        self._do(self.scheme.arrived(request, self.now))
        return request

    def reply(self, task: Task, now: float | None = None, missing: tuple[int, ...] = ()) -> None:
        """Let a task be served; `missing` are the ids of the requests for which its reply has no answer."""
        self.now = self.now if now is None else now
        self._take(task)
        self.replied.add(task.id)
        self.kept[task.id] = [*task.requests]
        self._replying = task
        self._do(self.scheme.replied(task, self.now, missing))
        self._replying = None

    def fail(self, task: Task, reason: str = "lost", now: float | None = None) -> None:
        """Let a task fail; `reason` is one of those in `protocol`."""
        self.now = self.now if now is None else now
        self._take(task)
        if reason == "refused":
            self.numbers.discard(_numbers(task))
        self._do(self.scheme.failed(task, reason, self.now))

    def begin(self, task: Task, now: float | None = None) -> None:
        """Let the service of a task begin."""
        self.now = self.now if now is None else now
        assert task.id in self.sent, NOBODY_HAS_IT
        if self.scheme.wants_begun:
            self._do(self.scheme.begun(task, self.now))

    def wake(self) -> None:
        """Let the time of the earliest Wake come."""
        assert self.wakes, "no wake is asked for"
        self.wakes.sort(key=lambda wake: wake[0])
        at, token = self.wakes.pop(0)
        self.now = max(self.now, at)
        self._do(self.scheme.woke(token, self.now))

    def finish(self) -> None:
        """Tell the scheme that no more requests will arrive."""
        self._do(self.scheme.finished(self.now))

    def tasks(self, role: str = "single") -> list[Task]:
        """Return the tasks of a role that are with workers now."""
        return [task for task in self.sent.values() if task.role == role]

    def _take(self, task: Task) -> None:
        """Take a task from its worker."""
        assert self.sent.pop(task.id, None), NOBODY_HAS_IT

    def _do(self, actions: list[Action]) -> None:
        assert isinstance(actions, list), "an event is answered with a list of actions"
        todo = list(actions)
        while todo or self._offer_idle(todo):
            action = todo.pop(0)
            self.actions.append(action)
            if isinstance(action, Send):
                task = action.task
                assert task.id not in self._sent_before, "a task is sent once"
                assert all(map(self._came, task.requests)), "a task is for requests as they arrived"
                assert task.role in self.roles, f"no worker is asked for in allot for a {task.role!r} task"
                most = self.scheme.batch(task.role) if task.role in BATCHED else len(task.requests)
                assert len(task.requests) <= most, f"a task has at most as many requests as its batch() says, {most}"
                self._sent_before.add(task.id)
                assert any(self.open(request) for request in action.task.requests), "no task without an open request"
                numbers = _numbers(task)
                assert numbers not in self.numbers, "each further task of a request has a number of its own"
                self.numbers.add(numbers)
                self.sent[action.task.id] = action.task
                self.ever_sent.append(action.task)
                self.avoided[action.task.id] = action.avoid
            elif isinstance(action, Cancel):
                assert action.task.id in self._sent_before, "only a task that was sent is cancelled"
                if self.sent.pop(action.task.id, None) is not None:
                    self.cancelled.append(action.task)
                left = {request for task in self.sent.values() for request in task.requests}
                assert not any(self.open(request) and request not in left for request in action.task.requests), (
                    "cancelled though needed"
                )
            elif isinstance(action, Answer):
                assert self._came(action.request), "the request that arrived is answered, and no other"
                assert self.open(action.request), "a request is answered once"
                assert action.source in SOURCES, f"the source of an answer is one of {', '.join(SOURCES)}"
                assert bool(action.tasks) == (action.source != "default"), "only a default answer comes from no task"
                assert all(task.id in self.replied for task in action.tasks), "an answer comes from replies"
                first = all(not task.attempt and not task.share for task in action.tasks)
                assert first or action.source != "own", "a further task's answer is not the request's own"
                for task in action.tasks:
                    held = task is self._replying or any(self.open(request) for request in self.kept[task.id])
                    held = held or task.id in self.kept_for_later
                    assert held, "an answer comes from replies that were kept"
                self.answers[action.request.id] = (action.source, *action.tasks)
            elif isinstance(action, Judge):
                assert self.open(action.request), "no answer of a settled request is asked about"
                assert all(task.id in self.replied and task.role == self.scheme.judges for task in action.tasks), (
                    "what is judged are replies of the role that the scheme judges"
                )
                todo = self.scheme.judged(action.request, self.margin(action.request), self.now) + todo
            elif isinstance(action, Keep):
                later = action.task.id in self.kept_for_later
                assert later or action.task is self._replying, "only a reply that has just come can be kept"
                if action.requests is None:
                    self.kept_for_later.add(action.task.id)
                    continue
                self.kept_for_later.discard(action.task.id)
                assert action.requests or later, "a reply is kept for some request"
                assert all(self.open(request) for request in action.requests), "kept for a settled request"
                self.kept[action.task.id] += action.requests
            elif isinstance(action, Fail):
                assert self._came(action.request), "the request that arrived fails, and no other"
                assert self.open(action.request), "a request fails once, and never after its answer"
                self.failures[action.request.id] = action.reason
            elif isinstance(action, Wake):
                is_number = isinstance(action.at, (int, float)) and not math.isnan(action.at)
                assert is_number, f"the time of a wake is a number, not {action.at!r}"
                if action.at < math.inf:
                    self.wakes.append((action.at, action.token))
            else:
                raise AssertionError(f"{action!r} is not an action")
        for task in self.sent.values():
            assert any(self.open(request) for request in task.requests), "a task outlives its requests"

    def _came(self, request: Request) -> bool:
        """Return whether a request is equal to one that has arrived."""
        return request in self.requests

    def _offer_idle(self, todo: list[Action]) -> bool:
        role = self.scheme.idle_role
        if role is not None and self.idle(role):
            todo.extend(self.scheme.idle(role, self.now))
        return bool(todo)


def _numbers(task: Task) -> tuple[int, str, int, int]:
    return task.requests[0].id, task.role, task.attempt, task.share


def _roles_of(scheme: Scheme) -> set[str]:
    """Return the roles for which a scheme asks for workers; the scheme itself is not asked, as it may note how many."""
    found = copy.deepcopy(scheme).allot(WORKERS)
    roles = {role for role, count in found.items() if count} if isinstance(found, Mapping) else set()
    counts = roles and all(type(count) is int and count >= 0 for count in found.values())
    assert counts, f"allot says how many workers serve each role, not {found!r}"
    return roles

"""Enforces the rules of `schemes.protocol` on one scheme during one cell.

The figures of a scheme that answers a request twice, or sends tasks without end, would mean nothing. So the conductor
checks every action here before it carries it out. A breach is an error of one sentence, with the method of the scheme
that returned the action. The usual form of an action takes a fast path; only unusual ones are checked in detail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from collagebench.engine.router import Job
from collagebench.errors import CollagebenchError
from collagebench.results.checks import MOST
from collagebench.schemes.faults import breach, brief, failure, named, value_of
from collagebench.schemes.protocol import Action, Answer, Fail, Judge, Request, Scheme, Send, Task
from collagebench.terms import SOURCES

FURTHER = 1000
"""Further tasks that are allowed per arrived request, besides two for each worker; more are sent without end."""
SHARES = 1 << 16
"""Separates the keys of coded shares from those of further attempts, for draws and routing ties."""

Hook = Callable[..., list[Action]]
Numbers = tuple[int, str, int, int]
"""Id of the first request, role, attempt and share of a task, on which its slowness depends."""


class Rules:
    """What one scheme has done during one cell, as far as the rules need it."""

    def __init__(self, scheme: Scheme, workers: int) -> None:
        """`workers` is the size of the fleet."""
        self.open: dict[int, Request] = {}
        """Requests that have arrived and are neither answered nor failed, by id."""
        self._scheme = scheme
        self._called: list[tuple[Hook, list[Action]]] = []
        """The methods of the scheme whose actions are being carried out, with these actions."""
        self._arrived = 0
        """How many requests have arrived; their ids count from 0."""
        self._further = 0
        """How many tasks were refused, or sent for requests that already had one."""
        self._further_each = FURTHER + 2 * workers
        self._unsent = 0
        """The lowest task id that was not sent yet."""
        self._sent_above: set[int] = set()
        """Higher task ids that were sent."""
        self._numbers: dict[int, Task | set[Numbers]] = {}
        """The task that was sent for an open request, or the numbers of all its tasks if it has several, by its id."""

    def arrived(self, request: Request) -> None:
        """Open a request that has arrived."""
        self.open[request.id] = request
        self._arrived += 1

    def told(self, event: Hook, *what: Any) -> list[Action]:
        """Call the scheme's method for an event; return its actions, the last one first."""
        try:
            actions = event(*what)
        except (Exception, SystemExit) as error:
            raise failure(named(self._scheme), f"when it was told {event.__name__}", error) from error
        if not isinstance(actions, list):
            raise breach(
                self._scheme, f"answered an event with {brief(actions)}: it must return a list of actions", event
            )
        if actions:
            self._called.append((event, actions))
        return actions[::-1]

    def carried_out(self) -> None:
        """Note that all actions have been carried out."""
        self._called.clear()

    def fault(self, what: str, action: Action | None = None) -> CollagebenchError:
        """Return the error for a breach, with the method that returned the action, or else the last method called.

        Actions are compared by identity, because two methods may return equal ones.
        """
        mine = [hook for hook, actions in self._called if any(one is action for one in actions)]
        return breach(self._scheme, what, mine[0] if mine else self._called[-1][0] if self._called else None)

    def enter(self, send: Send) -> int:
        """Check that a task was not sent before and is for open requests; return the id of the first of these."""
        task = send.task
        number, _, requests, attempt, share = task
        if (attempt or share) and (not 0 <= attempt < SHARES or not 0 <= share < MOST):
            raise self.fault(f"sent a task with the attempt {brief(attempt)} and the share {brief(share)}", send)
        as_made = number == self._unsent and not self._sent_above and len(requests) == 1
        if as_made and self.open.get(requests[0].id) is requests[0]:  # as for nearly all tasks
            self._unsent += 1
            return requests[0].id
        return self._enter_unlike(send)

    def _enter_unlike(self, send: Send) -> int:
        task = send.task
        number, requests = task.id, task.requests
        if not requests:
            raise self.fault("sent a task that is for no request", send)
        as_made = number == self._unsent and type(requests) is tuple
        if not as_made and ((what := malformed(send)) or number >= MOST):
            raise self.fault(what or f"sent a task with the number {brief(number)}", send)
        carried = -1
        for request in requests:
            known = self.open.get(request.id)
            if known is request or known == request:
                carried = request.id if carried < 0 else carried
            elif known is not None or not self._has_come(request):
                self._not_open(request, known, "sent a task for", send)
        if carried < 0:
            self._not_open(requests[0], None, "sent a task for", send)
        if self.was_sent(task):
            raise self.fault(f"sent a second task with the number {number}", send)
        self._sent_above.add(number)
        while self._unsent in self._sent_above:
            self._sent_above.remove(self._unsent)
            self._unsent += 1
        return carried

    def sent(self, send: Send, carried: int) -> None:
        """Check that the numbers of an entered task differ from those of its request's other tasks."""
        before = self._numbers.get(carried)
        if before is None:
            self._numbers[carried] = send.task
            return
        task = send.task
        numbers = _numbers(task)
        if isinstance(before, Task):
            self._numbers[carried] = before = {_numbers(before)}
        if numbers in before:
            raise self.fault(
                f"sent two {task.role} tasks for request {numbers[0]} with attempt {task.attempt} and share "
                f"{task.share}, which would get the same slowdown",
                send,
            )
        before.add(numbers)
        self.refused(send)

    def turned_down(self, task: Task) -> None:
        """Forget the numbers of a task that its worker refused, so that they may be used again."""
        for request in task.requests:
            sent = self._numbers.get(request.id)
            if isinstance(sent, set):
                sent.discard(_numbers(task))
            elif sent == task:
                del self._numbers[request.id]

    def refused(self, send: Send) -> None:
        """Count an entered task that no worker gets, or that is a further one, and check that these are not endless."""
        self._further += 1
        if self._further > self._further_each * self._arrived:
            raise self.fault(
                f"sends tasks without end: {self._further:,} further ones for {self._arrived:,} requests", send
            )

    def was_sent(self, task: Task) -> bool:
        """Return whether a task with this id was sent."""
        return task.id < self._unsent or task.id in self._sent_above

    def close(self, request: Request, did: str, action: Action) -> None:
        """Check that a request is open, and close it; `did` is the verb of the error message."""
        self.see_open(request, did, action)
        del self.open[request.id]
        self._numbers.pop(request.id, None)

    def see_open(self, request: Request, did: str, action: Action) -> None:
        """Check that a request is open; `did` is the verb of the error message."""
        known = self.open.get(request.id)
        if known is not request and known != request:
            self._not_open(request, known, did, action)

    def see_source(self, answer: Answer, jobs: Sequence[Job]) -> None:
        """Check that an answer can come from its source and tasks; `jobs` are those of the tasks."""
        number, source = answer.request.id, answer.source
        if source not in SOURCES:
            raise self.fault(
                f"answered from {source!r}, which is not a source; sources are {', '.join(SOURCES)}", answer
            )
        if source == "default" and jobs:
            raise self.fault(f"called an answer to request {number} default, although a task gave it", answer)
        if not jobs and source != "default":
            raise self.fault(f"answered request {number} from no task, but did not call the answer default", answer)
        for job in jobs:
            if source == "own" and (job.task.attempt or job.task.share):
                raise self.fault(f"called an answer to request {number} own, although a further task gave it", answer)
            if job.replied is None:
                raise self.fault(f"answered request {number} from a task that has not been served", answer)

    def see_reason(self, fail: Fail) -> None:
        """Check that the reason for giving a request up can be recorded."""
        if not isinstance(fail.reason, str) or not fail.reason:
            raise self.fault(
                f"gave up request {fail.request.id} for the reason {brief(fail.reason)}: it must be a non-empty string",
                fail,
            )

    def see_question(self, judge: Judge, jobs: Sequence[Job]) -> None:
        """Check that a Judge names replies that can be judged; `jobs` are those of its tasks."""
        judges = value_of(self._scheme, "judges")
        if not jobs or any(job.replied is None or job.task.role != judges for job in jobs):
            asked = f"asked how certain an answer to request {judge.request.id} is, but"
            unset = f"{asked} does not set `judges`, the role of the replies that it asks about"
            other = f"{asked} not about replies of its role judges, {judges!r}"
            raise self.fault(unset if judges is None else other, judge)

    def _not_open(self, request: Request, known: Request | None, did: str, action: Action) -> NoReturn:
        """Raise the error for an action on a request that is not open, or is not equal to `known`, the open one."""
        if known is not None:
            raise self.fault(f"{did} request {request.id} with another image or arrival than it came with", action)
        if not self._has_come(request):
            raise self.fault(f"{did} request {brief(request.id)}, which has not arrived", action)
        raise self.fault(f"{did} request {request.id}, which has already been answered or given up", action)

    def _has_come(self, request: Request) -> bool:
        return isinstance(request.id, int) and 0 <= request.id < self._arrived


def malformed(action: Action) -> str | None:
    """Return a message about the first part of an action with a wrong type or value; None if all are right."""
    for name, value in action._asdict().items():
        wanted, fits = _PARTS.get(name, ("", None))
        if fits is not None and not fits(value):
            return f"answered an event with {brief(action)}, whose {name} must be {wanted}"
    return None


def _numbers(task: Task) -> Numbers:
    return task.requests[0].id, task.role, task.attempt, task.share


def _is_request(value: Any) -> bool:
    return isinstance(value, Request)


def _are_requests(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_request, value)) and not _is_request(value)


def _is_task(value: Any) -> bool:
    whole = isinstance(value, Task) and all(isinstance(n, int) for n in (value.id, value.attempt, value.share))
    return whole and min(value.id, value.attempt, value.share) >= 0 and _are_requests(value.requests)


def _are_tasks(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_task, value))


_PARTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "request": ("a Request", _is_request),
    "requests": ("a tuple of Requests, or None", lambda value: value is None or _are_requests(value)),
    "task": ("a Task of a tuple of Requests, with whole numbers from 0 up", _is_task),
    "tasks": ("a tuple of Tasks", _are_tasks),
    "avoid": ("a tuple of Tasks", _are_tasks),
    "at": ("a number of seconds", lambda value: isinstance(value, (int, float))),
}

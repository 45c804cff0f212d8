"""The conductor carries out what a scheme decides: the part of a cell that real and simulated fleets share.

It tells the scheme its events, picks workers through the router, makes the keyed draws, keeps every task's job from
being sent to its end, and reports each answer, failure and ended task to a listener. How a task travels, how long it
really takes and what time it is belong to the engine behind `Transport`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from collagebench.engine.router import Job, Router
from collagebench.errors import CollagebenchError
from collagebench.results.checks import MOST, SOURCES
from collagebench.schemes.faults import breach, brief, failure, named
from collagebench.schemes.protocol import Action, Answer, Cancel, Fail, Judge, Keep, Request, Scheme, Send, Task, Wake

ROUNDS = 1000
"""How often a scheme is told of an idle worker, or may ask about the answer to an open request, at one time, without
doing anything else."""
FURTHER = 1000
"""So many further tasks a request, and two for each worker, are more than any cure: they are sent without end."""
SHARES = 1 << 16
"""Sets the draws and routing ties of coded shares apart from those of further attempts."""


Numbers = tuple[int, str, int, int]
"""First request, role, attempt and share of a task: how slow it is depends on them."""


class Transport(Protocol):
    """What an engine does for a conductor."""

    def send(self, job: Job, ends: float) -> None:
        """Hand the job to its worker, behind what that has in hand; its service should end at the time `ends`."""

    def begin(self, job: Job) -> None:
        """The job is now the first in its worker's hand."""

    def has_begun(self, job: Job) -> bool:
        """Whether a job that is not the first in its worker's hand may nevertheless be in service already."""

    def take_back(self, job: Job) -> None:
        """Take back a job that is not in service; the worker must not serve it."""

    def wake(self, token: Hashable, at: float) -> None:
        """Call the conductor's `woke(token)` at time `at`."""


class Listener(Protocol):
    """Who hears what became of requests and tasks."""

    def sent(self, job: Job) -> None:
        """A job is on its way to its worker."""

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """A request has its answer, from these jobs, all of them served; from none if it is the default answer."""

    def failed(self, request: Request, reason: str) -> None:
        """A request will have no answer."""

    def ended(self, job: Job, now: float) -> None:
        """Nothing more will become of this job; its outcome is decided."""


class Conductor:
    """One scheme on one fleet during one cell; times in seconds since the cell began."""

    def __init__(
        self,
        scheme: Scheme,
        router: Router,
        draw: Callable[[int, int, int, float], float],
        tie: Callable[[int, int], float],
        expected: Callable[[Task, float], float],
        transport: Transport,
        listener: Listener,
        drops: Callable[[int, int, int, float], bool] | None = None,
        judge: Callable[[Request, Sequence[Job]], float] = lambda request, jobs: math.inf,
        silent: Collection[str] = (),
    ) -> None:
        """Pure functions say what will be: `draw(worker, request, attempt, at)` what slowness a task meets if its
        service begins at time `at`, `tie(request, attempt)` which of equal workers gets it, `expected(task, draw)` how
        long its service should take, and `drops`, with the arguments of `draw`, whether its reply is lost; None: none.
        `judge(request, jobs)` says how sure an answer is, as `judged` is told; by default that it is beyond doubt.
        Where a task is of a role that may be `silent`, it is asked as well whether there is an answer.
        """
        self.scheme = scheme
        self.router = router
        self.open: dict[int, Request] = {}
        """Requests that have arrived and are neither answered nor failed, by id."""
        self._draw = draw
        self._drops = drops
        self._judge = judge
        self._silent = silent
        self._tie = tie
        self._expected = expected
        self._transport = transport
        self._listener = listener
        self._jobs: dict[int, Job] = {}
        """Jobs by task id, from being sent until nothing more can become of them."""
        self._kept: dict[int, list[Job]] = {}
        """Served jobs whose reply this open request may still need (it is held back, or helps to decode), by its id."""
        self.dropped_jobs = 0
        """Jobs whose reply was lost, and whose deadline is still waited for."""
        self._begun: deque[Job] = deque()
        """Jobs whose service has begun, which the scheme has not been told of yet."""
        self.quiet_since = 0.0
        """When the last job ended, or the last request had come."""
        # What a scheme is held to its rules with.
        self._hook: tuple[Callable[..., list[Action]], list[Action]] | None = None
        """The scheme's method that was called last, and what it returned."""
        self._hooks: list[tuple[Callable[..., list[Action]], list[Action]] | None] = []
        """Those that were called before it and whose actions are still being carried out."""
        self._arrived = 0
        """How many requests have come; their ids count from 0."""
        self._further = 0
        """How many tasks were sent for requests that had one already, or were refused."""
        self._further_each = FURTHER + 2 * router.workers
        self._unsent = 0
        """Tasks with lower ids have all been sent."""
        self._sent_above: set[int] = set()
        """Ids from there on of tasks that have been sent, out of order."""
        self._numbers: dict[int, Task | set[Numbers]] = {}
        """The one task that was sent for an open request, or the numbers of all of them, by its id."""

    def arrived(self, request: Request, now: float) -> None:
        """A request has come in."""
        self.open[request.id] = request
        self._arrived += 1
        self._perform(self._told(self.scheme.arrived, request, now), now)

    def finished(self, now: float) -> None:
        """No more requests will come."""
        self.quiet_since = now
        self._perform(self._told(self.scheme.finished, now), now)

    def woke(self, token: Hashable, now: float) -> None:
        """The time of a Wake has come."""
        self._perform(self._told(self.scheme.woke, token, now), now)

    def served(self, job: Job, now: float) -> None:
        """A worker has served the job and its reply is here (one from a worker that was lost meanwhile is ignored)."""
        task = job.task
        if task.id not in self._jobs:
            return
        self._release(job, now)
        if job.given_up:
            self._end(job, job.outcome or "wasted", now)
            self._perform([], now)
            return
        job.replied = now
        job.kept += 1  # until the scheme has said what it makes of it
        self._perform(self._told(self.scheme.replied, task, now, self._unanswered(job)), now)
        self._keep(job, task.requests)
        job.kept -= 1
        self._end_if_settled(job, now)

    def _unanswered(self, job: Job) -> tuple[int, ...]:
        """Return the ids of a served job's open requests that its model gave no answer for."""
        if job.task.role not in self._silent:
            return _missing(job)
        asked = [request for request in job.task.requests if request.id in self.open]
        return tuple(request.id for request in asked if self._judge(request, [job]) == -math.inf)

    def dropped(self, job: Job, now: float) -> None:
        """A worker has served the job and is free, but its reply is lost: nobody knows."""
        if job.task.id not in self._jobs:
            return
        job.dropped = True
        self.dropped_jobs += 1
        self._begin_next(self.router.served_unheard(job), now)
        if job.given_up:
            self._end(job, "dropped", now)
        self._perform([], now)

    def failed(self, job: Job, reason: str, now: float) -> None:
        """The job's worker was lost, its deadline has passed, or it was refused.

        A job past its deadline that is in service runs on, and `served` is called when it ends; one that still queues
        is taken back.
        """
        if job.task.id not in self._jobs:
            return
        if job.given_up:
            if reason != "deadline":  # nothing more will be heard of it
                self._release(job, now)
                self._end(job, job.outcome or "wasted", now)
                self._perform([], now)
            return
        job.given_up = True
        job.outcome = reason
        runs_on = reason == "deadline" and self._is_in_service(job)
        if not runs_on:
            self._release(job, now)
            self.router.give_up(job)
            if reason == "deadline":
                self._transport.take_back(job)
        self._perform(self._told(self.scheme.failed, job.task, reason, now), now)
        if not runs_on:
            self._end(job, reason, now)

    def lost(self, worker: int, now: float, reason: str = "lost") -> None:
        """A worker is gone, with everything it had in hand."""
        for job in self.router.lose(worker):
            job.service = job.injected = None  # whatever they would have been
            self.failed(job, reason, now)

    def back(self, worker: int, now: float) -> None:
        """A worker that was gone serves again."""
        self.router.restore(worker)
        self._perform([], now)

    def overdue(self) -> float:
        """Return from when on a scheme, if no request is to come, has kept those still open for longer than it may.

        That is for as long as the deadline of a task with no worker having anything in hand; infinite while a reply
        that was lost is waited for. A scheme that only wakes itself would do so for ever.
        """
        return math.inf if self.dropped_jobs else self.quiet_since + self.scheme.deadline

    def close(self) -> None:
        """End the cell: nothing is in hand and nothing will happen any more, so what is still open has failed.

        What the scheme has kept for an idle worker of a role that has none left would have been refused.
        """
        role = self.scheme.idle_role
        reason = "unanswered" if role is None or self.router.serves(role) else "refused"
        for request in self.open.values():
            self._listener.failed(request, reason)
        self.open.clear()
        for job in list(self._jobs.values()):  # served, but held back by the scheme to no avail
            self._end(job, job.outcome or "wasted", job.sent)

    def _perform(self, actions: list[Action], now: float) -> None:
        """Carry out actions, the last of a list first, and those that follow from them, until there are none.

        The scheme hears of services that have begun before anything else, and of idle workers when all else is done.
        """
        todo, begun, asked, judged = actions, self._begun, 0, 0
        action: Action | None = None
        try:
            while True:
                while begun:
                    job = begun.popleft()
                    if not job.given_up:
                        todo += self._told_meanwhile(self.scheme.begun, job.task, now)
                if not todo:
                    role = self.scheme.idle_role
                    if role is None or not self.router.idle(role):
                        break
                    asked += 1
                    if asked > ROUNDS:
                        raise self._fault(
                            f"was told {ROUNDS:,} times of an idle {role} worker and did not send it anything"
                        )
                    action = None
                    todo += self._told_meanwhile(self.scheme.idle, role, now)
                    if not todo:
                        break
                action = todo.pop()
                if isinstance(action, Send):
                    asked = 0
                    if not self._send(action, now):
                        todo[:0] = self._told_meanwhile(self.scheme.failed, action.task, "refused", now)
                elif isinstance(action, Answer):
                    judged = 0
                    self._answer(action, now)
                elif isinstance(action, Wake):
                    if action.at < math.inf:
                        self._transport.wake(action.token, action.at)
                    elif math.isnan(action.at):
                        raise self._fault("asked to be woken at a time that is no number", action)
                elif isinstance(action, Cancel):
                    self._cancel(action, now)
                elif isinstance(action, Keep):
                    self._keep_on(action, now)
                elif isinstance(action, Judge):
                    judged += 1
                    if judged > ROUNDS * (1 + len(self.open)):
                        raise self._fault(f"asked {judged:,} times how sure answers are and used none", action)
                    margin = self._judge(action.request, self._judged_by(action))
                    todo += self._told_meanwhile(self.scheme.judged, action.request, margin, now)
                elif isinstance(action, Fail):
                    judged = 0
                    self._fail(action, now)
                else:
                    raise self._fault(f"answered an event with {brief(action)}, which is no action", action)
        except (AttributeError, TypeError, ValueError) as error:
            if action is not None and (what := _malformed(action)):
                raise self._fault(what, action) from error
            raise
        if self._hooks:
            self._hooks.clear()

    def _told(self, event: Callable[..., list[Action]], *what: Any) -> list[Action]:
        """Tell the scheme an event; return its actions, the last one first."""
        try:
            actions = event(*what)
        except CollagebenchError:
            raise
        except (Exception, SystemExit) as error:
            raise failure(named(self.scheme), f"when it was told {event.__name__}", error) from error
        if not isinstance(actions, list):
            raise breach(
                self.scheme, f"answered an event with {brief(actions)}: it must return a list of actions", event
            )
        self._hook = (event, actions)
        return actions[::-1]

    def _told_meanwhile(self, event: Callable[..., list[Action]], *what: Any) -> list[Action]:
        """Do the same while actions of an earlier event are still to be carried out."""
        self._hooks.append(self._hook)
        return self._told(event, *what)

    def _job(self, task: Task, action: Action) -> Job:
        """Return the job of a task that a scheme names."""
        if task.id not in self._jobs:
            raise self._fault("named a task that it never sent, or whose reply it did not keep", action)
        return self._jobs[task.id]

    def _fault(self, what: str, action: Action | None = None) -> CollagebenchError:
        """Return the error of a breach, at the method that returned the action; the last one called if there is none.

        It is the very object that is looked for: another may be its equal.
        """
        called = [hook for hook in (self._hook, *self._hooks) if hook is not None]
        mine = [hook for hook, actions in called if any(one is action for one in actions)]
        return breach(self.scheme, what, mine[0] if mine else called[0][0] if called else None)

    def _not_open(self, request: Request, known: Request | None, did: str, action: Action) -> NoReturn:
        """Raise the fault of a scheme that did something to a request that is not open, or not the one `known`."""
        if known is not None:
            raise self._fault(f"{did} request {request.id} with another image or arrival than it came with", action)
        if not self._has_come(request):
            raise self._fault(f"{did} request {brief(request.id)}, which has not come", action)
        raise self._fault(f"{did} request {request.id}, which was answered or given up already", action)

    def _has_come(self, request: Request) -> bool:
        return isinstance(request.id, int) and 0 <= request.id < self._arrived

    def _was_sent(self, task: Task) -> bool:
        return task.id < self._unsent or task.id in self._sent_above

    def _enter(self, send: Send) -> int:
        """See that a task may be sent, once and for open requests; return the id of the first of these."""
        task = send.task
        number, requests = task.id, task.requests
        if not requests:
            raise self._fault("sent a task that is for no request", send)
        as_made = number == self._unsent and type(requests) is tuple
        if not as_made and ((what := _malformed(send)) or number >= MOST):
            raise self._fault(what or f"sent a task with the number {number}", send)
        carried = -1
        for request in requests:
            known = self.open.get(request.id)
            if known is request or known == request:
                carried = request.id if carried < 0 else carried
            elif known is not None or not self._has_come(request):
                self._not_open(request, known, "sent a task for", send)
        if carried < 0:
            self._not_open(requests[0], None, "sent a task for", send)
        if self._was_sent(task):
            raise self._fault(f"sent a second task with the number {number}", send)
        self._sent_above.add(number)
        while self._unsent in self._sent_above:
            self._sent_above.remove(self._unsent)
            self._unsent += 1
        return carried

    def _tell_apart(self, send: Send, before: Task | set[Numbers], carried: int) -> None:
        """See that no two tasks for an open request are slow alike, nor that there is no end to them."""
        task = send.task
        numbers = _numbers(task)
        if isinstance(before, Task):
            self._numbers[carried] = before = {_numbers(before)}
        if numbers in before:
            raise self._fault(
                f"sent two {task.role} tasks for request {numbers[0]} with attempt {task.attempt} and share "
                f"{task.share}, which would be slow alike",
                send,
            )
        before.add(numbers)
        self._see_an_end(send)

    def _see_an_end(self, send: Send) -> None:
        """See that a scheme does not send further tasks without end."""
        self._further += 1
        if self._further > self._further_each * self._arrived:
            raise self._fault(
                f"sends tasks without end: {self._further:,} further ones for {self._arrived:,} requests", send
            )

    def _send(self, send: Send, now: float) -> bool:
        """Put a task on a worker; False if there is none for it."""
        task, avoid = send
        number, role, requests, attempt, share = task
        as_made = number == self._unsent and not self._sent_above and len(requests) == 1
        if as_made and self.open.get(requests[0].id) is requests[0]:  # as nearly all are
            self._unsent += 1
            carried = requests[0].id
        else:
            carried = self._enter(send)
        shunned = {self._jobs[other.id].worker for other in avoid if other.id in self._jobs} if avoid else ()
        # A group's draws and routing are keyed by its first member, those of coded shares apart from further attempts'.
        key = requests[0].id
        if attempt or share:
            if not 0 <= attempt < SHARES or share < 0:
                raise self._fault(f"sent a task with the attempt {attempt} and the share {share}", send)
            attempt += SHARES * share
        try:
            worker = self.router.pick(role, shunned, self._tie(key, attempt))
        except KeyError:
            raise self._fault(f"sent a task to a {role!r} worker, and asked for none in allot", send) from None
        if worker is None:
            self._see_an_end(send)
            return False
        before = self._numbers.get(carried)
        if before is None:
            self._numbers[carried] = task
        else:
            self._tell_apart(send, before, carried)
        at = self.router.free_at(worker, now)
        draw = self._draw(worker, key, attempt, at)
        job = Job(task, worker, draw, now, self._expected(task, draw))
        if self._drops is not None:
            job.drops = self._drops(worker, key, attempt, at)
        self._jobs[task.id] = job
        self._listener.sent(job)
        first = self.router.put(job)
        self._transport.send(job, at + job.expected)
        if first:
            self._begin(job, now)
        return True

    def _answer(self, answer: Answer, now: float) -> None:
        request, source, tasks = answer
        known = self.open.pop(request.id, None)
        if known is not request and known != request:
            self._not_open(request, known, "answered", answer)
        self._numbers.pop(request.id, None)
        jobs = [self._job(task, answer) for task in tasks]
        if source not in SOURCES:
            raise self._fault(f"answered from {source!r}, which cannot be; sources are {', '.join(SOURCES)}", answer)
        if source == "own" and any(job.task.attempt or job.task.share for job in jobs):
            raise self._fault(f"called an answer to request {request.id} own that a further task gave", answer)
        if source == "default" and jobs:
            raise self._fault(f"called an answer to request {request.id} default that a task gave", answer)
        if not jobs and source != "default":
            raise self._fault(f"answered request {request.id} from no task, and did not call that default", answer)
        for job in jobs:
            if job.replied is None:
                raise self._fault(f"answered request {request.id} from a task that has not been served", answer)
            job.outcome = "used"
        self._listener.answered(request, source, jobs, now)
        self._unkeep(request, now)

    def _fail(self, fail: Fail, now: float) -> None:
        request, reason = fail
        known = self.open.pop(request.id, None)
        if known is not request and known != request:
            self._not_open(request, known, "gave up", fail)
        self._numbers.pop(request.id, None)
        if not isinstance(reason, str) or not reason:
            raise self._fault(
                f"gave up request {request.id} for the reason {brief(reason)}, which must be a text", fail
            )
        self._listener.failed(request, reason)
        self._unkeep(request, now)

    def _judged_by(self, judge: Judge) -> list[Job]:
        """Return the jobs whose replies a scheme asks about."""
        request, tasks = judge
        known = self.open.get(request.id)
        if known != request:
            self._not_open(request, known, "asked about the answer to", judge)
        jobs = [self._job(task, judge) for task in tasks]
        if not jobs or any(job.replied is None or job.task.role != self.scheme.judges for job in jobs):
            raise self._fault(
                f"asked how sure an answer to request {request.id} is, but not of replies of its role judges, "
                f"{self.scheme.judges!r}",
                judge,
            )
        return jobs

    def _cancel(self, cancel: Cancel, now: float) -> None:
        task = cancel.task
        job = self._jobs.get(task.id)
        if job is None and not self._was_sent(task):
            raise self._fault("cancelled a task that it never sent", cancel)
        if job is None or job.given_up or job.replied is not None:
            return
        job.given_up = True
        if job.dropped:
            self._end(job, "dropped", now)
        elif self._is_in_service(job):
            job.outcome = "cancelled in service"
        else:
            self._release(job, now)
            self._end(job, "cancelled", now)
            self._transport.take_back(job)

    def _is_in_service(self, job: Job) -> bool:
        return self.router.in_service(job) or self._transport.has_begun(job)

    def _begin(self, job: Job, now: float) -> None:
        job.begun = now
        self._transport.begin(job)
        if self.scheme.wants_begun:
            self._begun.append(job)

    def _release(self, job: Job, now: float) -> None:
        """Take the job out of its worker's hand; the next one there begins."""
        self._begin_next(self.router.take(job), now)

    def _begin_next(self, job: Job | None, now: float) -> None:
        if job is not None:
            self._begin(job, now)

    def _keep(self, job: Job, requests: Sequence[Request]) -> None:
        for request in requests:
            if request.id in self.open:
                self._kept.setdefault(request.id, []).append(job)
                job.kept += 1

    def _keep_on(self, keep: Keep, now: float) -> None:
        """Do what a Keep says: None until a further one."""
        job, requests = self._job(keep.task, keep), keep.requests
        if job.replied is None:
            raise self._fault("kept the reply of a task that has not been served", keep)
        self._keep(job, requests or ())
        if job.kept_for_later is not (requests is None):
            job.kept_for_later = not job.kept_for_later
            job.kept += 1 if job.kept_for_later else -1
            self._end_if_settled(job, now)

    def _unkeep(self, request: Request, now: float) -> None:
        for job in self._kept.pop(request.id, ()):
            job.kept -= 1
            self._end_if_settled(job, now)

    def _end_if_settled(self, job: Job, now: float) -> None:
        if not job.kept and job.task.id in self._jobs:
            self._end(job, job.outcome or "wasted", now)

    def _end(self, job: Job, outcome: str, now: float) -> None:
        job.outcome = "dropped" if job.dropped else outcome
        if job.dropped:
            self.dropped_jobs -= 1
            self.router.give_up(job)
        del self._jobs[job.task.id]
        self.quiet_since = now
        # A reply that was kept for others was nevertheless there when it came.
        self._listener.ended(job, now if job.replied is None else job.replied)


def _malformed(action: Action) -> str | None:
    """Say which part of an action is not what it must be; None if it is the engine's fault that it did not do."""
    for name, value in action._asdict().items():
        wanted, fits = _PARTS.get(name, ("", None))
        if fits is not None and not fits(value):
            return f"answered an event with {brief(action)}, whose {name} must be {wanted}"
    return None


def _is_request(value: Any) -> bool:
    return isinstance(value, Request)


def _are_requests(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_request, value)) and not _is_request(value)


def _is_task(value: Any) -> bool:
    whole = isinstance(value, Task) and all(isinstance(n, int) for n in (value.id, value.attempt, value.share))
    return whole and min(value.id, value.attempt, value.share) >= 0 and _are_requests(value.requests)


_PARTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "request": ("a Request", _is_request),
    "requests": ("a tuple of Requests, or None", lambda value: value is None or _are_requests(value)),
    "task": ("a Task of a tuple of Requests, with whole numbers from 0 up", _is_task),
    "tasks": ("a tuple of Tasks", lambda value: isinstance(value, tuple) and all(map(_is_task, value))),
    "avoid": ("a tuple of Tasks", lambda value: isinstance(value, tuple) and all(map(_is_task, value))),
    "at": ("a number of seconds", lambda value: isinstance(value, (int, float))),
}


def _numbers(task: Task) -> Numbers:
    return (task.requests[0].id, task.role, task.attempt, task.share)


def _missing(job: Job) -> tuple[int, ...]:
    """Return the ids of a served job's requests that its model gave no answer for: a row of NaN."""
    if job.outputs is None or not np.isnan(job.outputs).any():
        return ()
    silent = np.flatnonzero(np.isnan(job.outputs).any(axis=1)).tolist()
    return tuple(job.task.requests[row].id for row in silent if row < len(job.task.requests))

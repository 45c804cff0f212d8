"""The conductor carries out the actions of a scheme, on real and on simulated fleets.

It calls the scheme's methods for events, picks workers through the router, makes the keyed draws, keeps a job for every
task from its sending to its end, and reports each answer, failure and ended job to a listener. The engine behind
`Transport` moves and serves the tasks, and keeps the time.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol

import numpy as np

from collagebench.engine.router import Job, Router
from collagebench.engine.rules import SHARES, Rules, malformed
from collagebench.schemes.faults import brief, value_of, waits_of
from collagebench.schemes.protocol import Action, Answer, Cancel, Fail, Judge, Keep, Request, Scheme, Send, Task, Wake

ROUNDS = 1000
"""The number of `idle` calls without a Send, and of Judges for each open request without an Answer or Fail, that a
scheme may have at one time; more are an endless loop."""
LATEST = sys.float_info.max
"""The latest time of a Wake that may come, in seconds; later ones never do: infinity, and integers beyond floats."""


class Transport(Protocol):
    """The part of an engine that a conductor calls."""

    def send(self, job: Job, ends: float) -> None:
        """Send the job to its worker, behind the jobs queued there; its service should end at the time `ends`."""

    def begin(self, job: Job) -> None:
        """The job is now the first in its worker's queue."""

    def has_begun(self, job: Job) -> bool:
        """Return whether a job that is not the first in its worker's queue may already be in service."""

    def take_back(self, job: Job) -> None:
        """Take back a job that is not in service; the worker must not serve it."""

    def wake(self, token: Hashable, at: float) -> None:
        """Call the conductor's `woke(token)` at time `at`."""


class Listener(Protocol):
    """Receives the outcomes of requests and jobs."""

    def sent(self, job: Job) -> None:
        """A job is on its way to its worker."""

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """A request has its answer, from these jobs, which were all served; from none if it is the default answer."""

    def failed(self, request: Request, reason: str) -> None:
        """A request will have no answer."""

    def ended(self, job: Job, now: float) -> None:
        """A job has ended, and its outcome is final."""


class Conductor:
    """One scheme on one fleet during one cell; times are in seconds since the cell began."""

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
        """Prepare a cell; all functions but `judge` must be pure.

        Args:
            scheme: a new scheme.
            router: the workers, without any tasks.
            draw: `draw(worker, request, attempt, at)` is the straggler model's draw for a task whose service begins at
                time `at`.
            tie: `tie(request, attempt)` in [0, 1) chooses among equally loaded workers.
            expected: `expected(task, draw)` is the service time that a task should have.
            transport: the engine.
            listener: receives the outcomes.
            drops: whether the reply to a task is lost, with the arguments of `draw`; None if no reply is.
            judge: `judge(request, jobs)` is the margin of an answer; by default infinite.
            silent: roles whose model may have no answer for a request; `judge` then tells whether it has one.
        """
        self.scheme = scheme
        self.router = router
        self._rules = Rules(scheme, router.workers)
        self.open = self._rules.open
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
        """Jobs by task id, from their sending until they have ended."""
        self._kept: dict[int, list[Job]] = {}
        """Served jobs whose replies an open request may still need (held, or needed to decode), by the request's id."""
        self._failed_at: dict[int, dict[int, int]] = {}
        """The workers of the failed tasks of each open request, by its id and the task's."""
        self.dropped_jobs = 0
        """Number of jobs whose reply was lost and whose deadline has not passed."""
        self._begun: deque[Job] = deque()
        """Jobs whose service has begun, but about which `begun` was not called yet."""
        self.quiet_since = 0.0
        """The time at which the last job ended or the last request arrived."""

    def arrived(self, request: Request, now: float) -> None:
        """A request has arrived."""
        self._rules.arrived(request)
        self._perform(self._rules.told(self.scheme.arrived, request, now), now)

    def finished(self, now: float) -> None:
        """No more requests will arrive."""
        self.quiet_since = now
        self._perform(self._rules.told(self.scheme.finished, now), now)

    def woke(self, token: Hashable, now: float) -> None:
        """The time of a Wake has come."""
        self._perform(self._rules.told(self.scheme.woke, token, now), now)

    def served(self, job: Job, now: float) -> None:
        """A worker has served the job, and its reply is here; ignored if the job ended before, with its lost worker."""
        task = job.task
        if task.id not in self._jobs:
            return
        self._release(job, now)
        if job.given_up:
            self._end(job, job.outcome or "wasted", now)
            self._perform([], now)
            return
        job.replied = now
        job.kept += 1  # until the scheme's actions are carried out
        self._perform(self._rules.told(self.scheme.replied, task, now, self._unanswered(job)), now)
        self._keep(job, task.requests)
        job.kept -= 1
        self._end_if_settled(job, now)

    def _unanswered(self, job: Job) -> tuple[int, ...]:
        """Return the ids of a served job's requests for which its model gave no answer."""
        if job.task.role not in self._silent:
            return _missing(job)
        asked = [request for request in job.task.requests if request.id in self.open]
        return tuple(request.id for request in asked if self._judge(request, [job]) == -math.inf)

    def dropped(self, job: Job, now: float) -> None:
        """A worker has served the job and is free, but its reply is lost, so the scheme must not know it."""
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

        A job past its deadline that is in service runs on, and `served` is called when it ends; one that is still
        queued is taken back.
        """
        if job.task.id not in self._jobs:
            return
        if job.given_up:
            if reason != "deadline":  # no other event will end it
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
        if reason == "refused":
            self._rules.turned_down(job.task)
        for request in job.task.requests:
            if request.id in self.open:
                self._failed_at.setdefault(request.id, {})[job.task.id] = job.worker
        self._perform(self._rules.told(self.scheme.failed, job.task, reason, now), now)
        if not runs_on:
            self._end(job, reason, now)

    def unheard(self, job: Job, now: float) -> None:
        """The job's deadline passed long ago, and its worker is free; whether it was served is not known."""
        self.failed(job, "deadline", now)
        self.failed(job, "lost", now)  # it ends, if it was in service

    def lost(self, worker: int, now: float, reason: str = "lost") -> None:
        """A worker was lost, with all its jobs."""
        for job in self.router.lose(worker):
            job.service = job.injected = None  # the service did not end
            self.failed(job, reason, now)

    def back(self, worker: int, now: float) -> None:
        """A worker that was lost serves again."""
        self.router.restore(worker)
        self._perform([], now)

    def overdue(self) -> float:
        """Return the time after which the engine may end the cell although requests are open.

        It applies when no more requests will arrive and no worker has a job: a scheme may then keep requests for the
        deadline of a task, or for its `waits`. The limit is needed because a scheme could wake itself forever. It is
        infinite while the deadline of a job with a lost reply has not passed.
        """
        return math.inf if self.dropped_jobs else self.quiet_since + max(self.scheme.deadline, waits_of(self.scheme))

    def close(self) -> None:
        """End the cell, when no worker has a job and no event will come; all open requests fail.

        They fail as refused if the scheme kept them for an idle worker of a role of which no worker is left.
        """
        role = value_of(self.scheme, "idle_role")
        reason = "unanswered" if role is None or self.router.serves(role) else "refused"
        for request in self.open.values():
            self._listener.failed(request, reason)
        self.open.clear()
        for job in list(self._jobs.values()):  # served, but the scheme kept the reply and did not use it
            self._end(job, job.outcome or "wasted", job.sent)

    def _perform(self, actions: list[Action], now: float) -> None:
        """Carry out actions, the last of the list first, and those that follow from them, until there are none.

        The scheme is told of services that have begun before the next action, and of idle workers after the last.
        """
        todo, begun, asked, judged = actions, self._begun, 0, 0
        action: Action | None = None
        try:
            while True:
                while begun:
                    job = begun.popleft()
                    if not job.given_up:
                        todo += self._rules.told(self.scheme.begun, job.task, now)
                if not todo:
                    role = value_of(self.scheme, "idle_role")
                    if role is None or not self._is_idle(role):
                        break
                    asked += 1
                    if asked > ROUNDS:
                        raise self._rules.fault(
                            f"was told {ROUNDS:,} times of an idle {role} worker and did not send it anything"
                        )
                    action = None
                    todo += self._rules.told(self.scheme.idle, role, now)
                    if not todo:
                        break
                action = todo.pop()
                if isinstance(action, Send):
                    asked = 0
                    if not self._send(action, now):
                        todo[:0] = self._rules.told(self.scheme.failed, action.task, "refused", now)
                elif isinstance(action, Answer):
                    judged = 0
                    self._answer(action, now)
                elif isinstance(action, Wake):
                    if action.at <= LATEST:
                        self._transport.wake(action.token, max(action.at, 0.0))
                    elif not action.at > LATEST:
                        raise self._rules.fault("asked to be woken at a time that is not a number", action)
                elif isinstance(action, Cancel):
                    self._cancel(action, now)
                elif isinstance(action, Keep):
                    self._keep_on(action, now)
                elif isinstance(action, Judge):
                    judged += 1
                    if judged > ROUNDS * (1 + len(self.open)):
                        raise self._rules.fault(f"asked {judged:,} times how certain answers are and used none", action)
                    margin = self._judge(action.request, self._judged_by(action))
                    todo += self._rules.told(self.scheme.judged, action.request, margin, now)
                elif isinstance(action, Fail):
                    judged = 0
                    self._fail(action, now)
                else:
                    raise self._rules.fault(f"answered an event with {brief(action)}, which is not an action", action)
        except (AttributeError, TypeError, ValueError) as error:
            if action is not None and (what := malformed(action)):
                raise self._rules.fault(what, action) from error
            raise
        self._rules.carried_out()

    def _is_idle(self, role: str) -> bool:
        """Return whether a worker of the scheme's `idle_role` has no jobs."""
        try:
            return self.router.idle(role)
        except (KeyError, TypeError):  # the scheme has changed it since it was checked
            what = f"has {brief(role)} for its idle_role, but asked for no such worker in allot"
            raise self._rules.fault(what) from None

    def _job(self, task: Task, action: Action) -> Job:
        """Return the job of a task that a scheme names in an action."""
        if task.id not in self._jobs:
            raise self._rules.fault("named a task that it never sent, or whose reply it did not keep", action)
        return self._jobs[task.id]

    def _send(self, send: Send, now: float) -> bool:
        """Put a task on a worker; return False if there is no worker for it."""
        task, avoid = send
        carried = self._rules.enter(send)
        shunned = {worker for other in avoid for worker in self._workers_of(other)} if avoid else ()
        # The draws and ties of a group are keyed by its first request; those of shares and of attempts are kept apart.
        key, attempt = task.requests[0].id, task.attempt + SHARES * task.share
        try:
            worker = self.router.pick(task.role, shunned, self._tie(key, attempt))
        except KeyError:
            raise self._rules.fault(
                f"sent a task to a {task.role!r} worker, but asked for none in allot", send
            ) from None
        if worker is None:
            self._rules.refused(send)
            return False
        self._rules.sent(send, carried)
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

    def _workers_of(self, task: Task) -> Collection[int]:
        """Return the worker that has a task, or that failed it while one of its requests is open, if there is one."""
        if task.id in self._jobs:
            return (self._jobs[task.id].worker,)
        return {at[task.id] for request in task.requests if task.id in (at := self._failed_at.get(request.id, {}))}

    def _answer(self, answer: Answer, now: float) -> None:
        request, source, tasks = answer
        self._rules.close(request, "answered", answer)
        jobs = [self._job(task, answer) for task in tasks]
        self._rules.see_source(answer, jobs)
        for job in jobs:
            job.outcome = "used"
        self._listener.answered(request, source, jobs, now)
        self._unkeep(request, now)

    def _fail(self, fail: Fail, now: float) -> None:
        self._rules.close(fail.request, "gave up", fail)
        self._rules.see_reason(fail)
        self._listener.failed(fail.request, fail.reason)
        self._unkeep(fail.request, now)

    def _judged_by(self, judge: Judge) -> list[Job]:
        """Return the jobs that a Judge names."""
        self._rules.see_open(judge.request, "asked about the answer to", judge)
        jobs = [self._job(task, judge) for task in judge.tasks]
        self._rules.see_question(judge, jobs)
        return jobs

    def _cancel(self, cancel: Cancel, now: float) -> None:
        task = cancel.task
        job = self._jobs.get(task.id)
        if job is None and not self._rules.was_sent(task):
            raise self._rules.fault("cancelled a task that it never sent", cancel)
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
        if value_of(self.scheme, "wants_begun"):
            self._begun.append(job)

    def _release(self, job: Job, now: float) -> None:
        """Take the job out of its worker's queue, and begin the next one there."""
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
        """Carry out a Keep; if its requests are None, the reply is kept until a further one."""
        job, requests = self._job(keep.task, keep), keep.requests
        if job.replied is None:
            raise self._rules.fault("kept the reply of a task that has not been served", keep)
        self._keep(job, requests or ())
        if job.kept_for_later is not (requests is None):
            job.kept_for_later = not job.kept_for_later
            job.kept += 1 if job.kept_for_later else -1
            self._end_if_settled(job, now)

    def _unkeep(self, request: Request, now: float) -> None:
        self._failed_at.pop(request.id, None)
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
        # A served job ended when its reply came, even if the reply was kept for other requests.
        self._listener.ended(job, now if job.replied is None else job.replied)


def _missing(job: Job) -> tuple[int, ...]:
    """Return the ids of a served job's requests whose row of the outputs has a NaN: the model gave no answer."""
    if job.outputs is None or not np.isnan(job.outputs).any():
        return ()
    silent = np.flatnonzero(np.isnan(job.outputs).any(axis=1)).tolist()
    return tuple(job.task.requests[row].id for row in silent if row < len(job.task.requests))

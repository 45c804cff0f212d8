"""The live engine: one cell in real time, on real workers.

It is one asyncio process. The schedule of arrivals is computed beforehand, and a pacer keeps to it. A task is encoded,
sent to its worker and decoded here, and each step is timed. Queues form at the workers. The client's router mirrors
them (a worker serves in the order of sending), so that a cancel or a deadline affects only queued tasks, as in
simulation.

The mirror lags by the time of a reply: a worker begins its next task before the client receives the reply to the last
one. So the next task counts as begun from the time at which the last one should be done.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial

from collagebench.engine.conductor import Conductor
from collagebench.engine.evaluation import Images, encode, rows
from collagebench.engine.pacer import Pacer
from collagebench.engine.recorder import Recorder
from collagebench.engine.router import Job
from collagebench.engine.simulated import Crash
from collagebench.fleet.connection import Connection, TaskError
from collagebench.schemes.protocol import Request, Scheme, Task
from collagebench.stragglers.service import Mode
from collagebench.zoo import Model

LEAD = 0.05
"""Seconds between the start of a cell and the zero of its schedule."""
EARLY = 0.001
"""Seconds by which a timer of the loop may be early: uvloop counts in whole milliseconds."""
ADVANCE = 10
"""Arrivals from one report of progress to the next."""
SILENCE = 5.0
"""Seconds after a task's deadline, plus twice its service time, at which its worker counts as lost. A task that began
before its deadline has ended long before; only a worker that is stopped or cut off has not answered by then."""
BEAT = 1.0
"""Seconds between two looks at the clock, from which the cell knows whether this process was stopped meanwhile."""


class LiveCell:
    """Runs one cell, and is its transport."""

    def __init__(
        self,
        pacer: Pacer,
        connections: Mapping[int, Connection],
        codec: Scheme,
        models: Mapping[str, Model],
        images: Images,
        mode: Mode,
        deadline: float,
        emulated: Callable[[Task], float] | None,
        ahead: Callable[[Job], None],
        on_lost: Callable[[int, str], None],
        crashes: Iterable[Crash] = (),
        crash: Callable[[int, float], object] = lambda worker, restart_after: None,
    ) -> None:
        """Prepare a cell.

        Args:
            pacer: calls functions at their times.
            connections: to the workers, by number.
            codec: another object of the scheme's class, which encodes tasks.
            models: the model of each role.
            images: the images of the run.
            mode: the meaning of the straggler model's draws.
            deadline: seconds after which a task is given up.
            emulated: the compute time of a task, in seconds, if workers do not compute; None if they do.
            ahead: called with each job that is sent to its worker.
            on_lost: called with a worker that does not answer any more, and the reason; it must call `lost`.
            crashes: when workers crash and are back, in order of time.
            crash: called with a worker to kill and the seconds until its restart; `crashed` and `back` must be called
                when these happen.
        """
        self.conductor: Conductor
        self._pacer = pacer
        self._connections = connections
        self._codec = codec
        self._models = models
        self._images = images
        self._mode: Mode = mode
        self._deadline = deadline
        self._emulated = emulated
        self._ahead = ahead
        self._on_lost = on_lost
        self._away: set[int] = set()
        """Workers that have crashed and will be back."""
        self._gone: set[int] = set()
        """Workers that are lost and will not be back."""
        self._crashes = iter(crashes)
        self._crash = crash
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._deadlines: deque[tuple[float, Job]] = deque()
        """Every job's deadline, earliest first."""
        self._next_deadline: asyncio.TimerHandle | None = None
        self._failing_late = False
        """Whether jobs past their deadline are being failed; the deadlines of jobs sent meanwhile are checked after."""
        self._served_last: dict[int, Job] = {}
        """The last job that each worker has served."""
        self._wakes = 0
        """The number of pending wakes."""
        self._looks_again = False
        """Whether the pacer will check whether the scheme keeps requests for too long."""
        self._more_to_come = True
        self._done = asyncio.Event()
        self._zero = time.perf_counter() + LEAD
        self._beaten = math.inf
        """When the cell last looked at the clock."""
        self._stood_still = -math.inf
        """When this process last went on after it had stood still for SILENCE or longer."""
        self._next_beat: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self.refusals: Counter[str] = Counter()
        """The number of refused tasks, by the reason that the worker gave."""

    def now(self) -> float:
        """Return the seconds since the zero of the schedule."""
        return time.perf_counter() - self._zero

    async def run(
        self,
        conduct: Callable[[LiveCell], Conductor],
        requests: Iterable[Request],
        recorder: Recorder,
        advance: Callable[[int], None] = lambda requests: None,
    ) -> None:
        """Let all requests arrive on time; return when they are answered or failed and no worker has a task."""
        conductor = self.conductor = conduct(self)
        schedule = list(requests)
        gc.collect()
        gc.disable()  # a garbage collection during the cell would delay tasks like a straggler
        self._zero = time.perf_counter() + LEAD

        def arrive(place: int) -> None:
            if place + 1 < len(schedule):
                # If no worker is left, the remaining requests arrive at once.
                following = schedule[place + 1].arrival if len(self._gone) < len(self._connections) else 0.0
                self._at(following, lambda: arrive(place + 1), exact=True)
            request = schedule[place]
            now = max(self.now(), request.arrival)
            recorder.lag[request.id] = now - request.arrival
            conductor.arrived(request, now)
            if place + 1 == len(schedule):
                self._more_to_come = False
                conductor.finished(now)
            if place % ADVANCE == ADVANCE - 1:
                advance(ADVANCE)

        self._beat()
        try:
            self._at(schedule[0].arrival, lambda: arrive(0), exact=True)
            self._next_crash()
            await self._done.wait()
            if self._failure is not None:
                raise self._failure
            conductor.close()
        finally:
            self._done.set()  # calls of the pacer that are already scheduled must not send anything
            gc.enable()
            self._pacer.clear()
            for timer in (self._next_deadline, self._next_beat):
                if timer is not None:
                    timer.cancel()
            for call in self._calls.values():
                call.cancel()
            await asyncio.gather(*self._calls.values(), return_exceptions=True)

    def lost(self, worker: int) -> None:
        """A worker was lost and will not be back."""
        self._away.discard(worker)
        self._gone.add(worker)
        self._guarded(lambda: self.conductor.lost(worker, self.now()))

    def crashed(self, worker: int) -> None:
        """A worker has crashed as planned, and will be back."""
        self._away.add(worker)
        self._guarded(lambda: self.conductor.lost(worker, self.now(), "crashed"))

    def back(self, worker: int) -> None:
        """A worker that had crashed serves again."""
        self._away.discard(worker)
        self._guarded(lambda: self.conductor.back(worker, self.now()))

    # The methods of a Transport.

    def send(self, job: Job, ends: float) -> None:
        """Start the call that serves the job."""
        call = asyncio.get_running_loop().create_task(self._serve(job))
        self._calls[job.task.id] = call
        call.add_done_callback(lambda _: self._calls.pop(job.task.id, None))
        self._deadlines.append((self.now() + self._deadline, job))
        if self._next_deadline is None and not self._failing_late:
            self._check_deadlines()

    def begin(self, job: Job) -> None:
        """Estimate when the service began: when the worker's last one ended, before the client had its reply."""
        last = self._served_last.get(job.worker)
        if last is not None and last.begun is not None and last.service is not None:
            job.begun = max(job.sent, last.begun + last.service)

    def has_begun(self, job: Job) -> bool:
        """Return whether the job is next in the queue, behind one that should be done by now."""
        if self._connections[job.worker].waits_here:
            return False
        router = self.conductor.router
        first = router.next(job.worker)
        if first is None or first.begun is None or router.second(job.worker) is not job:
            return False
        return self.now() >= first.begun + first.expected

    def take_back(self, job: Job) -> None:
        """Cancel the call; the worker then never serves it."""
        if (call := self._calls.get(job.task.id)) is not None:
            call.cancel()

    def wake(self, token: Hashable, at: float) -> None:
        """Call the conductor's `woke` at its time."""
        self._wakes += 1

        def woke() -> None:
            self._wakes -= 1
            self.conductor.woke(token, max(self.now(), at))

        self._at(at, woke)

    async def _serve(self, job: Job) -> None:
        task = job.task
        model = self._models[task.role]
        connection = self._connections[job.worker]
        try:
            start = time.perf_counter()
            pixels = encode(self._codec, task, model, self._images)
            job.encode = time.perf_counter() - start
            job.bytes_sent = pixels.nbytes
            mode, amount = (self._mode, job.amount) if self._emulated is None else ("floor", job.expected)
            timeout = self._deadline + 2 * job.expected + SILENCE
            self._ahead(job)
            reply = await connection.infer(task.id, model.name, pixels, mode, amount, timeout)
            job.queue, job.compute = reply.queue, reply.compute
            job.injected, job.service = reply.injected, reply.service
            if self._emulated is not None and reply.service is not None:
                job.compute = self._emulated(task)
                job.injected = reply.service - job.compute
            start = time.perf_counter()
            if reply.outputs is not None:
                job.outputs = rows(reply.outputs, model)
            job.decode = time.perf_counter() - start
        except TaskError as error:
            if error.reason == "refused":
                self.refusals[error.detail.removeprefix(f"worker {job.worker} ")] += 1
                self._guarded(lambda: self.conductor.failed(job, "refused", self.now()))
            elif error.reason == "deadline" and self._stood_still_since(start):
                self._guarded(lambda: self.conductor.unheard(job, self.now()))
            elif error.reason != "crashed":  # the fleet reports crashes
                self._on_lost(job.worker, error.detail.removeprefix(f"worker {job.worker} "))
        except Exception as error:
            self._fail(error)
        else:
            self._served_last[job.worker] = job
            heard = self.conductor.dropped if job.drops else self.conductor.served
            self._guarded(lambda: heard(job, self.now()))

    def _beat(self) -> None:
        """Look at the clock, now and every BEAT seconds."""
        now = time.perf_counter()
        if now - self._beaten > SILENCE:
            self._stood_still = now
        self._beaten = now
        self._next_beat = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _stood_still_since(self, then: float) -> bool:
        """Return whether this process stood still after `then`, so that a reply may have come that it did not read."""
        return self._stood_still > then or time.perf_counter() - self._beaten > SILENCE

    def _next_crash(self) -> None:
        """Schedule the next crash."""
        coming = next(self._crashes, None)
        if coming is None:
            return
        dies, is_back, worker = coming

        def crash() -> None:
            self._crash(worker, is_back - dies)
            self._next_crash()

        self._at(dies, crash)

    def _check_deadlines(self) -> None:
        """Fail the jobs whose deadline has passed, and set a timer for the next one."""
        self._next_deadline = None
        self._failing_late = True
        while self._deadlines:
            due, job = self._deadlines[0]
            settled = job.given_up or job.replied is not None
            if not settled and due > self.now():
                after = due - self.now() + EARLY
                self._next_deadline = asyncio.get_running_loop().call_later(after, self._check_deadlines)
                break
            self._deadlines.popleft()
            if not settled:
                self._guarded(partial(self.conductor.failed, job, "deadline", due))
        self._failing_late = False

    def _at(self, at: float, call: Callable[[], None], exact: bool = False) -> None:
        self._pacer.at(self._zero + at, lambda: self._guarded(call), exact)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Run a step of the cell; end the cell if it was the last step, or if it raised an error."""
        if self._done.is_set():
            return
        try:
            call()
            self._end_if_over()
        except Exception as error:
            self._fail(error)

    def _end_if_over(self) -> None:
        """End the cell if nothing more can happen; look again later if only the scheme may still do something."""
        if self._more_to_come or self.conductor.router.in_hand:
            return
        overdue = self.conductor.overdue()
        if not self.conductor.open or not (self._wakes or self.conductor.dropped_jobs or self._away):
            self._done.set()
        elif not self._away and self.now() > overdue:
            self._done.set()  # the scheme could wake itself forever
        elif not self._away and not self._looks_again and overdue < math.inf:
            self._looks_again = True
            self._at(overdue + EARLY, self._look_again)

    def _look_again(self) -> None:
        self._looks_again = False

    def _fail(self, error: Exception) -> None:
        """End the cell with an error that is not caused by a worker."""
        if not self._done.is_set():
            self._failure = error
            self._done.set()

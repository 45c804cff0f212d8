"""The live engine: one cell in real time, on workers that are really there.

One asyncio process. The schedule of arrivals was computed before; a pacer meets it. A task is encoded, sent to its
worker and decoded here, and each of these is timed. Queues form at the workers; the client's router mirrors them (a
worker serves in the order of sending), so that a cancel reaches only what still queues, as in simulation.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Hashable, Mapping

from collagebench.engine.conductor import Conductor
from collagebench.engine.evaluation import Images, decode, encode
from collagebench.engine.pacer import Pacer
from collagebench.engine.recorder import Recorder
from collagebench.engine.router import Job
from collagebench.fleet.connection import Connection, TaskError
from collagebench.schemes.protocol import Request
from collagebench.stragglers.service import Mode, service_time
from collagebench.zoo import Model

LEAD = 0.05
"""Seconds between the start of a cell and the zero of its schedule."""
ADVANCE = 10
"""Arrivals from one report of progress to the next."""


class LiveCell:
    """The transport of one cell, and its course."""

    def __init__(
        self,
        pacer: Pacer,
        connections: Mapping[int, Connection],
        models: Mapping[str, Model],
        images: Images,
        mode: Mode,
        deadline: float,
        emulated: Mapping[str, float] | None,
    ) -> None:
        """`emulated` gives each role's compute time in seconds where workers do not compute; None where they do."""
        self.conductor: Conductor
        self._pacer = pacer
        self._connections = connections
        self._models = models
        self._images = images
        self._mode: Mode = mode
        self._deadline = deadline
        self._emulated = emulated
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._wakes = 0
        self._more_to_come = True
        self._done = asyncio.Event()
        self._zero = time.perf_counter() + LEAD
        self._failure: BaseException | None = None

    def now(self) -> float:
        """Seconds since the zero of the schedule."""
        return time.perf_counter() - self._zero

    async def run(
        self,
        conduct: Callable[[LiveCell], Conductor],
        requests: list[Request],
        recorder: Recorder,
        advance: Callable[[int], None] = lambda requests: None,
    ) -> None:
        """Let all requests arrive on time and wait until they are answered or failed and every worker is idle."""
        conductor = self.conductor = conduct(self)
        gc.collect()
        gc.disable()  # a collection in mid-cell would be a straggler of our own making
        self._zero = time.perf_counter() + LEAD

        def arrive(place: int) -> None:
            if place + 1 < len(requests):
                self._at(requests[place + 1].arrival, lambda: arrive(place + 1), exact=True)
            request = requests[place]
            now = self.now()
            recorder.lag[request.id] = now - request.arrival
            conductor.arrived(request, now)
            if place + 1 == len(requests):
                self._more_to_come = False
                conductor.finished(now)
            if place % ADVANCE == ADVANCE - 1:
                advance(ADVANCE)

        try:
            self._at(requests[0].arrival, lambda: arrive(0), exact=True)
            await self._done.wait()
            if self._failure is not None:
                raise self._failure
            conductor.close(self.now())
        finally:
            gc.enable()
            self._pacer.clear()
            for call in self._calls.values():
                call.cancel()
            await asyncio.gather(*self._calls.values(), return_exceptions=True)

    def lost(self, worker: int) -> None:
        """A worker is gone."""
        self._guarded(lambda: self.conductor.lost(worker, self.now()))

    # What a conductor asks for.

    def send(self, job: Job) -> None:
        """Start the call that serves the job."""
        call = asyncio.get_running_loop().create_task(self._serve(job))
        self._calls[job.task.id] = call
        call.add_done_callback(lambda _: self._calls.pop(job.task.id, None))

    def begin(self, job: Job) -> None:
        """The worker begins by itself."""

    def take_back(self, job: Job) -> None:
        """Cancel the call; the worker then never serves it."""
        if (call := self._calls.get(job.task.id)) is not None:
            call.cancel()

    def wake(self, token: Hashable, at: float) -> None:
        """Call the conductor back."""
        self._wakes += 1

        def woke() -> None:
            self._wakes -= 1
            self.conductor.woke(token, max(self.now(), at))

        self._at(at, woke)

    async def _serve(self, job: Job) -> None:
        task = job.task
        model = self._models[task.role]
        connection = self._connections[job.worker]
        start = time.perf_counter()
        pixels = encode(task, model, self._images)
        job.encode = time.perf_counter() - start
        job.bytes_sent = pixels.nbytes
        mode, amount = self._mode, job.amount
        if self._emulated is not None:
            mode, amount = "floor", service_time(mode, self._emulated[task.role], amount)
        try:
            reply = await connection.infer(task.id, model.name, pixels, mode, amount, self._deadline)
        except TaskError as error:
            reason = error.reason
            self._guarded(lambda: self._failed(job, reason))
            return
        job.queue, job.compute, job.injected, job.service = reply.queue, reply.compute, reply.injected, reply.service
        if self._emulated is not None and reply.service is not None:
            job.compute = self._emulated[task.role]
            job.injected = reply.service - job.compute
        start = time.perf_counter()
        if reply.outputs is not None:
            job.predicted = decode(task, model, reply.outputs)
        job.decode = time.perf_counter() - start
        self._guarded(lambda: self.conductor.served(job, self.now()))

    def _failed(self, job: Job, reason: str) -> None:
        if reason == "lost":
            self.conductor.lost(job.worker, self.now())
        self.conductor.failed(job, reason, self.now())
        self.conductor.abandon(job, self.now())

    def _at(self, at: float, call: Callable[[], None], exact: bool = False) -> None:
        self._pacer.at(self._zero + at, lambda: self._guarded(call), exact)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Run a step of the cell; see whether it was the last, and let no error of it go unheard."""
        if self._done.is_set():
            return
        try:
            call()
        except Exception as error:
            self._failure = error
            self._done.set()
            return
        if self._more_to_come or self.conductor.router.in_hand:
            return
        if not self.conductor.open or not self._wakes:
            self._done.set()

"""Watching a fleet: every worker gets requests on its own schedule, and its service times are kept.

There is no scheme and no router. The schedules are computed beforehand and are open loop: a slow answer does not delay
later requests. A worker serves its requests one at a time, and the others queue there, as usual. The service time of a
request is that by the worker's clock, plus its transport time beyond the worker's median transport time. The second
part is included because a worker that shares its core is also late to notice a request. The queue and the median
transport are not included; queue and round trip are kept separately.

The first inferences of a new worker are slow, so each worker first serves a few that are not kept.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.engine.event_loop import ahead_of_others
from collagebench.engine.pacer import Pacer
from collagebench.errors import FleetError
from collagebench.fleet import LOCAL, Disturbance, ModelFile, Where, WorkerSpec
from collagebench.fleet.connection import Connection, TaskError
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.opening import open_fleet
from collagebench.zoo import Model

WARM_UP = 10
"""Inferences of each worker before the watch begins."""
LEAD = 0.05
"""Seconds from the end of the warm-up to the zero of the schedules."""
DEADLINE = 10.0
"""Seconds after which a request without an answer is given up."""
ADVANCE = 25
"""Answers from one report of progress to the next."""


@dataclass(slots=True)
class Seen:
    """One service, in seconds; `sent` counts from the beginning of the watch."""

    sent: float
    queue: float
    service: float
    round_trip: float


@dataclass(slots=True)
class Machine:
    """What was seen of one worker."""

    seen: list[Seen] = field(default_factory=list)
    failed: int = 0
    """Requests without an answer."""
    lost: str | None = None
    """Why the worker was lost; None while it serves."""

    def in_order(self) -> NDArray[np.float64]:
        """Return sent, queue, service with transport delays, and round trip, in seconds, in order of sending: [4, n].

        If a worker stands still, all its waiting requests are late, but only the first of them is charged with the
        delay: a delay is at most the time since the previous answer. So a worker's delays add up to no more than the
        time for which it was watched.
        """
        rows = sorted((each.sent, each.queue, each.service, each.round_trip) for each in self.seen)
        columns: NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(-1, 4).T
        sent, queue, service, trip = columns
        if len(sent):
            way = trip - queue - service
            late = np.maximum(way - np.median(way), 0.0)
            answered = sent + trip
            before = np.concatenate(([-np.inf], np.maximum.accumulate(answered)[:-1]))
            alone = answered - np.maximum(sent, before)
            service += np.minimum(late, np.maximum(alone - service, 0.0))
        return columns


@dataclass(slots=True)
class Watch:
    """Everything that was seen; it is filled during the watch, so that it survives an interruption."""

    machines: list[Machine]
    lags: list[float] = field(default_factory=list)
    """Seconds by which requests were sent later than planned."""
    began: float | None = None
    """When the schedules began (perf_counter)."""
    ended: float | None = None
    """When the watch ended (perf_counter)."""
    disturbed: list[dict[str, Any]] = field(default_factory=list)
    """What was actually done to disturb the workers, and its effect."""
    whole: bool = False
    """Whether all requests were sent, and answered or given up; a Ctrl-C after that changes nothing."""

    @property
    def seconds(self) -> float:
        """The duration of the watch; 0 if it has not begun or ended."""
        return self.ended - self.began if self.began is not None and self.ended is not None else 0.0


async def watch(
    found: Watch,
    model: Model,
    pixels: NDArray[np.uint8],
    schedules: Sequence[NDArray[np.float64]],
    logs: Path,
    disturbance: Disturbance | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, line: None,
    show: Callable[[str], None] = lambda text: None,
    where: Where = LOCAL,
) -> None:
    """Start one worker per schedule, send each its requests, and add what is seen to `found`.

    Args:
        found: has one machine per worker; complete when this returns, partial if it is cancelled.
        model: the model that the workers serve.
        pixels: uint8 [n, height, width, 3], the images that requests carry in turn.
        schedules: the sending times of each worker, in seconds from 0, ascending.
        logs: directory for the workers' logs.
        disturbance: slows some of the workers down meanwhile; None for no disturbance.
        report: called with the number of requests that are done, their total, and a line of text.
        show: called with texts that the user should keep seeing.
        where: the workers' fleet.

    Raises:
        ModelError: the model is missing or damaged.
        FleetError: the workers could not be started or disturbed.
        OutputError: the logs cannot be written.
    """

    def on_lost(worker: int, reason: str) -> None:
        found.machines[worker].lost = reason  # which says more than a request that failed before it

    file = ModelFile(model.name, str(model.path.resolve()), model.sha256, model.input, model.dtype)
    specs = [WorkerSpec(worker, (file,)) for worker in range(len(schedules))]
    total = sum(len(times) for times in schedules)

    def stage(text: str) -> None:
        report(0, total, text)

    stage(f"starting {len(specs)} workers")
    async with open_fleet(where, specs, "real", logs, on_lost, stage=stage, show=show) as fleet:
        await _warm_up(fleet, model, pixels)
        if disturbance is not None:
            found.disturbed = await fleet.disturb(disturbance)
        pacer = Pacer(asyncio.get_running_loop())
        gc.collect()
        gc.disable()  # a garbage collection would delay requests like a straggler
        try:
            with ahead_of_others():
                await _Watcher(found, pacer, fleet.connections, model, pixels, schedules, report).run(total)
        finally:
            gc.enable()
            pacer.close()
        await fleet.explained(worker for worker, machine in enumerate(found.machines) if machine.lost is not None)
        if disturbance is not None and any(machine.lost is None for machine in found.machines):
            came_of_it = {facts["worker"]: facts for facts in await fleet.calm()}
            found.disturbed = [{**what, **came_of_it.get(what["worker"], {})} for what in found.disturbed]
        found.whole = True


async def _warm_up(fleet: Fleet, model: Model, pixels: NDArray[np.uint8]) -> None:
    async def warm(connection: Connection) -> None:
        for number in range(WARM_UP):
            await connection.infer(number, model.name, pixels[number % len(pixels)][None], None, 0.0, DEADLINE)

    try:
        await asyncio.gather(*map(warm, fleet.connections))
    except TaskError as error:
        raise FleetError(f"a worker failed before the recording began: {error.detail}") from None


class _Watcher:
    """Runs one watch on a started fleet."""

    def __init__(
        self,
        found: Watch,
        pacer: Pacer,
        fleet: Sequence[Connection],
        model: Model,
        pixels: NDArray[np.uint8],
        schedules: Sequence[NDArray[np.float64]],
        report: Callable[[int, int, str], None],
    ) -> None:
        self._found = found
        self._pacer = pacer
        self._fleet = fleet
        self._model = model
        self._pixels = pixels
        self._schedules = [times.tolist() for times in schedules]
        self._report = report
        self._calls: set[asyncio.Task[None]] = set()
        self._left = 0
        self._done = asyncio.Event()
        self._zero = 0.0
        self._total = 0
        self._failure: Exception | None = None

    async def run(self, total: int) -> None:
        """Send all requests on schedule; return when every request is answered or given up."""
        self._total = self._left = total
        self._zero = time.perf_counter() + LEAD
        self._found.began = self._zero
        try:
            for worker, times in enumerate(self._schedules):
                if times:
                    self._plan(worker, 0)
            await self._done.wait()
            if self._failure is not None:
                raise self._failure
        finally:
            self._found.ended = time.perf_counter()
            self._done.set()
            self._pacer.clear()
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

    def _plan(self, worker: int, place: int) -> None:
        due = self._zero + self._schedules[worker][place]
        self._pacer.at(due, lambda: self._send(worker, place))

    def _send(self, worker: int, place: int) -> None:
        if self._done.is_set():
            return
        times = self._schedules[worker]
        if self._found.machines[worker].lost is not None:
            self._finish(len(times) - place)
            return
        if place + 1 < len(times):
            self._plan(worker, place + 1)
        call = asyncio.get_running_loop().create_task(self._serve(worker, place))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _serve(self, worker: int, place: int) -> None:
        image = self._pixels[(worker + place) % len(self._pixels)][None]
        machine = self._found.machines[worker]
        sent = time.perf_counter()
        self._found.lags.append(sent - self._zero - self._schedules[worker][place])
        try:
            reply = await self._fleet[worker].infer(place, self._model.name, image, None, 0.0, DEADLINE)
        except TaskError as error:
            machine.failed += 1
            if error.reason == "lost":
                machine.lost = machine.lost or error.detail
        except Exception as error:  # not a worker's error, so the watch must fail with it
            self._failure = error
            self._done.set()
        else:
            if reply.service is not None and reply.queue is not None:
                trip = time.perf_counter() - sent
                machine.seen.append(Seen(sent - self._zero, reply.queue, reply.service, trip))
        self._finish(1)

    def _finish(self, requests: int) -> None:
        self._left -= requests
        done = self._total - self._left
        if done % ADVANCE == 0 or self._left <= 0:
            self._report(done, self._total, f"watching {len(self._fleet)} workers")
        if self._left <= 0:
            self._done.set()

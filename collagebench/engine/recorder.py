"""The recorder writes records of what a conductor reports, and evaluates answers that have no prediction yet.

If workers compute, each reply has outputs, and records are written at once. Otherwise (in simulation, or with emulated
compute) the models run later, in batches, on the used replies whose outputs are not known yet; records are then written
in chunks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from collagebench.engine.evaluation import decode
from collagebench.engine.judgement import Evaluate
from collagebench.engine.router import Job
from collagebench.results.records import RequestRecord, TaskRecord
from collagebench.schemes.protocol import Request, Scheme
from collagebench.stragglers.service import Mode, service_time

Time = float | None
Phases = tuple[Time, Time, Time, Time, Time, Time, Time, Time]
"""Seconds of group, encode, queue, service, injected, transport, decode, hold."""
NO_PHASES: Phases = (None,) * 8
"""The phases of a default answer, which has none."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of one run: the same for every scheme."""

    arrivals: NDArray[np.float64]
    """[n] seconds since the run began, ascending."""
    images: NDArray[np.int64]
    """[n] index in the dataset of each request's image."""
    labels: NDArray[np.int64]
    """[n] true class of each request's image."""
    warmup: int
    """The number of requests at the beginning that statistics leave out."""
    prior: int = 0
    """The most frequent class of the dataset, which is the default answer."""
    classified: NDArray[np.bool_] | None = None
    """[n] whether the answer to each request is evaluated if no worker computes; None if all are."""


class Records(Protocol):
    """What records are given to."""

    def request(self, record: RequestRecord) -> None:
        """Add one request."""

    def task(self, record: TaskRecord) -> None:
        """Add one task."""


class Recorder:
    """The listener of one cell; writes a record for each of its requests and tasks."""

    def __init__(
        self,
        records: Records,
        scheme: str,
        run: int,
        mode: Mode,
        workload: Workload,
        codec: Scheme,
        slow_above: float | None,
        evaluate: Evaluate | None,
        chunk: int | None = None,
    ) -> None:
        """Prepare to record a cell.

        Args:
            records: gets the records.
            scheme: the name of the variant.
            run: the number of the run.
            mode: the meaning of the straggler model's draws.
            workload: the requests of the run.
            codec: another object of the scheme's class, which decodes answers.
            slow_above: a task straggles if its service should take more seconds; None if that is unknown.
            evaluate: sets the outputs of jobs; None if workers compute them.
            chunk: evaluate after this many answers; None to do so at the end.
        """
        self.scheme = scheme
        self.run = run
        self.duration = 0.0
        """Seconds from the first intended arrival until the last task had ended."""
        self.tasks = 0
        """The number of tasks with a record."""
        self.lag: dict[int, float] = {}
        """Seconds by which the client was late for each arrival, by the request's id; empty in simulation."""
        self._records = records
        self._mode: Mode = mode
        self._first = float(workload.arrivals[0])
        self._labels: list[int] = workload.labels.tolist()
        self._warmup = workload.warmup
        self._prior = workload.prior
        self._codec = codec
        self._slow_above = slow_above
        self._straggled: dict[int, bool] = {}
        """Whether each request without a record straggled (its first task, or any coded image of its group), by id."""
        self._evaluate = evaluate
        self._chunk = chunk
        self._classified = None if workload.classified is None else workload.classified.data
        self._decoding = (-math.inf, 0.0)
        """The time of the last event that answered a request, and the seconds spent on decoding its answers: one reply
        may settle several requests, whose answers are decoded one after the other."""
        self._later: list[tuple[Request, str, Sequence[Job], float]] = []

    def sent(self, job: Job) -> None:
        """Note whether the job's requests straggle.

        A request that is coded with others straggles if any of the group's first coded images does. No single one could
        stand for all, because the accuracy of the decoding depends on which one is slow.
        """
        if self._slow_above is None or job.task.role == "parity":  # a parity may hold requests that have a record
            return
        slow = job.drops or job.expected > self._slow_above
        for request in job.task.requests:
            before = self._straggled.setdefault(request.id, slow)
            if job.task.share and not job.task.attempt:
                self._straggled[request.id] = before or slow

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """Decode the answer and write its record, now or after the jobs are evaluated."""
        if self._evaluate is None:
            start = time.perf_counter()
            (predicted,) = decode(self._codec, [(request, jobs)], self._prior)
            before = self._decoding[1] if self._decoding[0] == now else 0.0
            self._decoding = (now, before + time.perf_counter() - start)
            self._write(request, source, jobs, now, predicted, self._decoding[1])
            return
        if self._classified is not None and not self._classified[request.id]:
            self._write(request, source, jobs, now, None, None)
            return
        self._later.append((request, source, jobs, now))
        if self._chunk is not None and len(self._later) >= self._chunk:
            self.flush()

    def failed(self, request: Request, reason: str) -> None:
        """Write the record of a request without an answer."""
        nothing = (None,) * 5  # no time, latency, source, task or class
        self._records.request(RequestRecord(*self._facts(request), *nothing, *NO_PHASES, reason))

    def ended(self, job: Job, now: float) -> None:
        """Write the record of a task."""
        task = job.task
        self.tasks += 1
        self.duration = max(self.duration, now - self._first)
        if self._evaluate is not None:
            wanted: Time = job.expected
        else:  # if workers compute, the wanted service depends on the compute time that they report
            wanted = None if job.compute is None else service_time(self._mode, job.compute, job.amount)
        requests = " ".join([str(request.id) for request in task.requests])
        # Positional arguments, in three parts, because keywords would take four times as long for a million tasks.
        made = (self.scheme, self.run, task.id, task.role, job.worker, task.attempt, task.share, requests)
        ended = (job.sent, now, job.outcome or "wasted")
        service = (job.amount, wanted, job.queue, job.compute, job.injected, job.service)
        self._records.task(TaskRecord(*made, *ended, *service, job.bytes_sent))

    def flush(self) -> None:
        """Evaluate the answers that wait for it, and write their records."""
        if self._evaluate is not None and self._later:
            needed = {job.task.id: job for _, _, jobs, _ in self._later for job in jobs if job.outputs is None}
            self._evaluate(list(needed.values()))
            known = decode(self._codec, [(request, jobs) for request, _, jobs, _ in self._later], self._prior)
            for answer, predicted in zip(self._later, known, strict=True):
                self._write(*answer, predicted, None)
            self._later.clear()

    def _write(
        self,
        request: Request,
        source: str,
        jobs: Sequence[Job],
        decided: float,
        predicted: int | None,
        decoding: float | None,
    ) -> None:
        """Write the record of an answer.

        Its phases are those of the last served job that contained the request. If the answer also needed other jobs,
        the wait for them is in `hold`.
        """
        now = decided + (decoding or 0.0)
        latency = now - request.arrival
        task, phases = None, NO_PHASES
        if jobs:
            job = jobs[0]
            if len(jobs) > 1:
                carried = [job for job in jobs if request in job.task.requests]
                job = max(carried, key=lambda job: job.replied or 0.0)
            task = job.task.id
            group = job.sent - request.arrival
            hold = decided - (decided if job.replied is None else job.replied)
            decoded = None if job.decode is None else job.decode + (decoding or 0.0)
            transport = None
            if job.encode is not None and job.service is not None:  # else the remainder would include the service
                known = (group, job.encode, job.queue, job.service, decoded, hold)
                transport = latency - sum(phase for phase in known if phase is not None)
            phases = (group, job.encode, job.queue, job.service, job.injected, transport, decoded, hold)
        self._records.request(
            RequestRecord(*self._facts(request), now, latency, source, task, predicted, *phases, reason=None)
        )

    def _facts(self, request: Request) -> tuple[str, int, int, int, int, bool, bool | None, float, Time]:
        """Return the first fields of a `RequestRecord`, which do not depend on the request's outcome."""
        number = request.id
        return (
            self.scheme,
            self.run,
            number,
            request.image,
            self._labels[number],
            number < self._warmup,
            self._straggled.pop(number, None),
            request.arrival,
            self.lag.get(number),
        )

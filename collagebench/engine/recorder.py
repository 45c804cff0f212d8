"""The recorder turns what a conductor reports into records, and has answers evaluated that carry no prediction yet.

Where the workers really computed, each reply brought its predictions along and records are written at once. Where they
did not (simulation, emulated compute), the models run afterwards, in batches, on the replies that were used and that
no scheme has asked about before; records are then written in chunks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.engine.evaluation import decode
from collagebench.engine.judgement import Evaluate
from collagebench.engine.router import Job
from collagebench.results.records import RequestRecord, TaskRecord
from collagebench.results.writer import RunWriter
from collagebench.schemes.protocol import Request, Scheme
from collagebench.stragglers.service import Mode, service_time

Time = float | None
Phases = tuple[Time, Time, Time, Time, Time, Time, Time, Time]
"""Seconds of group, encode, queue, service, injected, transport, decode, hold."""
NO_PHASES: Phases = (None,) * 8
"""Those of a default answer, which nothing was done for."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of one run: the same for every scheme."""

    arrivals: NDArray[np.float64]
    """[n] seconds since the run began, ascending."""
    images: NDArray[np.int64]
    """[n] index in the dataset of each request's image."""
    labels: NDArray[np.int64]
    """[n] its true class."""
    warmup: int
    """How many requests at the beginning statistics leave out."""
    prior: int = 0
    """The most frequent class of the dataset, which a default answer gives."""
    classified: NDArray[np.bool_] | None = None
    """[n] whether the answer to each is classified where no worker computes; None: all are."""


class Recorder:
    """The listener of one cell; writes a record for each of its requests and tasks."""

    def __init__(
        self,
        writer: RunWriter,
        scheme: str,
        run: int,
        mode: Mode,
        workload: Workload,
        codec: Scheme,
        slow_above: float | None,
        evaluate: Evaluate | None,
        chunk: int | None = None,
    ) -> None:
        """Listen to a cell.

        `codec` is a scheme of the kind that runs, which decodes answers; a task whose service should take longer than
        `slow_above` seconds straggled (None: nobody knows what it should take). `evaluate` None: jobs know their
        outputs. `chunk`: evaluate after so many answers, not at the end.
        """
        self.scheme = scheme
        self.run = run
        self.duration = 0.0
        """Seconds from the first intended arrival until the last task had ended."""
        self.tasks = 0
        """How many have a record."""
        self.lag: dict[int, float] = {}
        """How late the client handled each arrival, in seconds; empty in simulation."""
        self._writer = writer
        self._mode: Mode = mode
        self._first = float(workload.arrivals[0])
        self._labels: list[int] = workload.labels.tolist()
        self._warmup = workload.warmup
        self._prior = workload.prior
        self._codec = codec
        self._slow_above = slow_above
        self._straggled: dict[int, bool] = {}
        """Whether the first task of a request, or any of those that its group was coded into, straggled, by its id; of
        those that have no record yet."""
        self._evaluate = evaluate
        self._chunk = chunk
        self._classified = None if workload.classified is None else workload.classified.data
        self._later: list[tuple[Request, str, Sequence[Job], float]] = []

    def sent(self, job: Job) -> None:
        """See whether the job straggles.

        A request that is coded with others straggles when any of their first coded images does: which one it is
        decides how well the others decode, so that one alone would not do for all.
        """
        if self._slow_above is None or job.task.role == "parity":  # which holds requests that have their record already
            return
        slow = job.drops or job.expected > self._slow_above
        for request in job.task.requests:
            before = self._straggled.setdefault(request.id, slow)
            if job.task.share and not job.task.attempt:
                self._straggled[request.id] = before or slow

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """Decode the answer and write the record now, or once the jobs are evaluated."""
        if self._evaluate is None:
            start = time.perf_counter()
            (predicted,) = decode(self._codec, [(request, jobs)], self._prior)
            self._write(request, source, jobs, now, predicted, time.perf_counter() - start)
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
        self._writer.request(RequestRecord(*self._facts(request), *nothing, *NO_PHASES, reason))

    def ended(self, job: Job, now: float) -> None:
        """Write the record of a task."""
        task = job.task
        self.tasks += 1
        self.duration = max(self.duration, now - self._first)
        if self._evaluate is not None:
            wanted: Time = job.expected
        else:  # where workers compute, what was wanted depends on the compute time that they report
            wanted = None if job.compute is None else service_time(self._mode, job.compute, job.amount)
        requests = " ".join([str(request.id) for request in task.requests])
        # By position, in three parts: keywords for all would take four times as long, a million times over.
        made = (self.scheme, self.run, task.id, task.role, job.worker, task.attempt, task.share, requests)
        ended = (job.sent, now, job.outcome or "wasted")
        service = (job.amount, wanted, job.queue, job.compute, job.injected, job.service)
        self._writer.task(TaskRecord(*made, *ended, *service, job.bytes_sent))

    def flush(self) -> None:
        """Evaluate and write what was put off."""
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

        Its phases are those of the job that replied last of those that carried the request; where it took other jobs
        as well to work the answer out, the wait for them is in `hold`.
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
            if job.encode is not None and job.service is not None:  # else the service would be in it
                known = (group, job.encode, job.queue, job.service, decoded, hold)
                transport = latency - sum(phase for phase in known if phase is not None)
            phases = (group, job.encode, job.queue, job.service, job.injected, transport, decoded, hold)
        self._writer.request(
            RequestRecord(*self._facts(request), now, latency, source, task, predicted, *phases, reason=None)
        )

    def _facts(self, request: Request) -> tuple[str, int, int, int, int, bool, bool | None, float, Time]:
        """Return what is known of a request whatever became of it, as `RequestRecord` begins."""
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

"""The recorder turns what a conductor reports into records, and has answers evaluated that carry no prediction yet.

Where the workers really computed, each reply brought its predictions along and records are written at once. Where they
did not (simulation, emulated compute), the models run afterwards, in batches, on the replies that were used and on
no others; records are then written in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.engine.router import Job
from collagebench.results.records import RequestRecord, TaskRecord
from collagebench.results.writer import RunWriter
from collagebench.schemes.protocol import Request
from collagebench.stragglers.service import Mode, service_time

Evaluate = Callable[[Sequence[Job]], None]
"""Sets `predicted` of jobs, from the images of their requests."""


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


class Recorder:
    """The listener of one cell; writes a record for each of its requests and tasks."""

    def __init__(
        self,
        writer: RunWriter,
        scheme: str,
        run: int,
        mode: Mode,
        workload: Workload,
        evaluate: Evaluate | None,
        chunk: int | None = None,
    ) -> None:
        """`evaluate` None: jobs know their predictions. `chunk`: evaluate after so many answers, not at the end."""
        self.scheme = scheme
        self.run = run
        self.duration = 0.0
        """Seconds from the first intended arrival until the last task had ended."""
        self.lag: dict[int, float] = {}
        """How late the client handled each arrival, in seconds; empty in simulation."""
        self._writer = writer
        self._mode: Mode = mode
        self._first = float(workload.arrivals[0])
        self._labels: list[int] = workload.labels.tolist()
        self._warmup = workload.warmup
        self._evaluate = evaluate
        self._chunk = chunk
        self._later: list[tuple[Request, str, Job, float]] = []

    def answered(self, request: Request, source: str, job: Job, now: float) -> None:
        """Write the record now, or once the answer is evaluated."""
        if self._evaluate is None:
            self._write(request, source, job, now)
            return
        self._later.append((request, source, job, now))
        if self._chunk is not None and len(self._later) >= self._chunk:
            self.flush()

    def failed(self, request: Request, reason: str) -> None:
        """Write the record of a request without an answer."""
        blank = dict.fromkeys(("answered", "latency", "source", "task", "predicted", *PHASES))
        self._writer.request(RequestRecord(**self._facts(request), **blank, reason=reason))  # type: ignore[arg-type]

    def ended(self, job: Job, now: float) -> None:
        """Write the record of a task."""
        task = job.task
        self.duration = max(self.duration, now - self._first)
        # Where workers compute, what was wanted depends on the compute time that they report.
        wanted = None if job.compute is None else service_time(self._mode, job.compute, job.amount)
        if self._evaluate is not None:
            wanted = job.expected
        self._writer.task(
            TaskRecord(
                scheme=self.scheme,
                run=self.run,
                task=task.id,
                role=task.role,
                worker=job.worker,
                attempt=task.attempt,
                requests=" ".join([str(request.id) for request in task.requests]),
                sent=job.sent,
                ended=now,
                outcome=job.outcome or "wasted",
                asked=job.amount,
                wanted_s=wanted,
                queue=job.queue,
                compute=job.compute,
                injected=job.injected,
                service=job.service,
                bytes_sent=job.bytes_sent,
            )
        )

    def flush(self) -> None:
        """Evaluate and write what was put off."""
        if self._evaluate is not None and self._later:
            jobs = {job.task.id: job for _, _, job, _ in self._later if job.predicted is None}
            self._evaluate(list(jobs.values()))
            for answer in self._later:
                self._write(*answer)
            self._later.clear()

    def _write(self, request: Request, source: str, job: Job, now: float) -> None:
        predicted = None
        if job.predicted is not None:
            predicted = int(job.predicted[job.task.requests.index(request)])
        latency = now - request.arrival
        replied = now if job.replied is None else job.replied
        group = job.sent - request.arrival
        known = (group, job.encode, job.queue, job.service, job.decode, now - replied)
        transport = None if job.encode is None else latency - sum(phase for phase in known if phase is not None)
        self._writer.request(
            RequestRecord(
                **self._facts(request),  # type: ignore[arg-type]
                answered=now,
                latency=latency,
                source=source,
                task=job.task.id,
                predicted=predicted,
                group=group,
                encode=job.encode,
                queue=job.queue,
                service=job.service,
                injected=job.injected,
                transport=transport,
                decode=job.decode,
                hold=now - replied,
                reason=None,
            )
        )

    def _facts(self, request: Request) -> dict[str, object]:
        return {
            "scheme": self.scheme,
            "run": self.run,
            "request": request.id,
            "image": request.image,
            "label": self._labels[request.id],
            "warmup": request.id < self._warmup,
            "arrival": request.arrival,
            "lag": self.lag.get(request.id),
        }


PHASES = ("group", "encode", "queue", "service", "injected", "transport", "decode", "hold")

"""The records of requests, tasks and cells, from which reports are made.

A *request* is what a user sends and waits for; a *task* is what a worker is given (one image, or one collage of many
requests); a *cell* is one scheme in one run. Times are seconds since the cell began, all from one clock (the client's).
A time that never came, or is unknown, is None (an empty field on disk), never 0.

Records are not frozen, because frozen ones take three times as long to create, and a simulation creates millions. They
are never changed.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_CLASS = -2
"""The class of an answer if the model had none; -1 is what an empty field is read as."""


@dataclass(slots=True)
class RequestRecord:
    """One request, from its intended arrival to its one answer."""

    scheme: str
    """The variant's name, unique in the run directory, for example `collage` or `collage-wait`."""
    run: int
    request: int
    image: int
    """Index of the image in the dataset."""
    label: int
    warmup: bool
    """Whether it is among the run's first requests, which statistics leave out."""
    straggled: bool | None
    """Whether its first task, or any of its group's first coded images, was meant to take more than twice the median
    service time of a single image."""
    arrival: float
    """The intended time of its arrival, from the schedule."""
    lag: float | None
    """How much later the client handled it (None in simulation)."""
    answered: float | None
    latency: float | None
    """Answer minus intended arrival; None if the request failed."""
    source: str | None
    """Where the answer came from: own, replica, hedge, resent, collage, parity, coded, backup or default; None if the
    request failed."""
    task: int | None
    """The task whose reply was the answer, or completed it; None for a default answer."""
    predicted: int | None
    """The class of the answer; None if unknown, NO_CLASS if the model had none for this image."""
    group: float | None
    """This and the next ones are phases of the winning task. `group`: from arrival until the task was made (time for a
    group to fill, or a hedge delay)."""
    encode: float | None
    queue: float | None
    """Waiting at the worker until service begins."""
    service: float | None
    """In service: inference and injected delay."""
    injected: float | None
    """The part of `service` that was injected."""
    transport: float | None
    """Client, kernel and network, both ways: everything that is not in another phase."""
    decode: float | None
    hold: float | None
    """From the reply to the answer: the scheme held it back, or waited for other replies that it needed."""
    reason: str | None
    """Why it failed; None if it was answered."""


@dataclass(slots=True)
class TaskRecord:
    """One task, from being sent to a worker to its end."""

    scheme: str
    run: int
    task: int
    role: str
    worker: int
    attempt: int
    share: int
    """Which of its group's coded inputs it carried; 0 if there is only one."""
    requests: str
    """Ids of its requests, separated by spaces, in the order of the cells."""
    sent: float
    ended: float | None
    """When the client learnt of its end."""
    outcome: str
    """`used` (at least one request was answered from it), `wasted` (served, but nothing was answered from it),
    `cancelled` (before service), `cancelled in service` (no longer needed while it was being served; it ran to its
    end), `dropped` (served, but the straggler model dropped its reply), `crashed` (the straggler model killed its
    worker), `lost`, `deadline` or `refused`."""
    asked: float | None
    """The straggler model's draw: seconds for `floor` and `add`, a factor for `scale`."""
    wanted_s: float | None
    """The service time that follows from the draw: with the reported compute time if workers compute, else with the
    assumed one."""
    queue: float | None
    compute: float | None
    injected: float | None
    service: float | None
    """compute + injected, as measured by the worker; None if it was not reported."""
    bytes_sent: int | None
    """Bytes of its images; None if nothing is sent."""


@dataclass(slots=True)
class CellRecord:
    """One scheme in one run: written once, when every request was answered or failed and the workers are idle."""

    scheme: str
    run: int
    order: int
    """Its place in the order in which the cells were first executed; a run that is measured again keeps it."""
    requests: int
    """The number of its requests, warm-up included; each has a record."""
    tasks: int | None
    """The number of its tasks; each has a record. None if it is unknown."""
    duration: float
    """Seconds from its first intended arrival to the end of its last task."""
    client_cpu: float | None
    """CPU seconds of the client (None in simulation)."""
    lost_workers: str
    """Indices of lost workers, with reasons; empty if there are none."""

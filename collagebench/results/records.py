"""The record of one request, of one task and of one cell: what a run leaves behind, and everything a report is made of.

A *request* is what a user sends and waits for; a *task* is what a worker is given (one image, or one collage of many
requests); a *cell* is one scheme in one run. Times are seconds since the cell began, read from one clock (the
client's); a time that never came, or is not known, is None (an empty field on disk), never 0.

Records are not frozen, because that would make them three times as slow to make, which a simulation does millions of
times; nobody changes one.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_CLASS = -2
"""Stands where the class of an answer would, of a model that had none; -1 is what an empty field is read as."""


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
    """Belongs to the first share of the run, which statistics leave out."""
    straggled: bool | None
    """Whether its first task, or any of its group's first coded images, was meant to take more than twice the median
    service time of a single image."""
    arrival: float
    """When the schedule wanted it to arrive."""
    lag: float | None
    """How much later than that the client really handled it (None in simulation)."""
    answered: float | None
    latency: float | None
    """Answer minus intended arrival; None when the request failed."""
    source: str | None
    """Where the answer came from: own, replica, hedge, resent, collage, parity, coded, backup or default; None when the
    request failed."""
    task: int | None
    """The task whose reply was the answer, or completed it; None for a default answer."""
    predicted: int | None
    """The class that was answered; None when it is not known, NO_CLASS when the model had none for this image."""
    group: float | None
    """Phases of the winning task. `group`: from arrival until its task was made (a group to fill, a hedge delay)."""
    encode: float | None
    queue: float | None
    """Waiting at the worker until service began."""
    service: float | None
    """In service: inference and injected slowness."""
    injected: float | None
    """The part of `service` that was injected."""
    transport: float | None
    """Client, kernel and wire, both ways: whatever is not in another phase."""
    decode: float | None
    hold: float | None
    """From the reply to the answer: the scheme held it back, or waited for others that the answer is made of."""
    reason: str | None
    """Why it failed; None when it was answered."""


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
    """Which of its group's coded inputs it carried; 0 where there is only one."""
    requests: str
    """Ids of its requests, separated by spaces, in the order of the cells."""
    sent: float
    ended: float | None
    """When the client learnt of its end."""
    outcome: str
    """`used` (at least one request was answered from it), `wasted` (served, but nothing was answered from it),
    `cancelled` (taken back before service), `cancelled in service` (not needed any more while it was being served; it
    ran to its end), `dropped` (served, but its reply was lost, as the straggler model wanted it), `crashed` (its worker
    was killed, as the straggler model wanted it), `lost`, `deadline` or `refused`."""
    asked: float | None
    """The straggler model's draw: seconds for `floor` and `add`, a factor for `scale`."""
    wanted_s: float | None
    """The service time that draw should have given: with the compute time that the worker reported where workers
    compute, with the assumed one where they do not."""
    queue: float | None
    compute: float | None
    injected: float | None
    service: float | None
    """compute + injected, as the worker measured it; None when it was not reported."""
    bytes_sent: int | None
    """Of its images; None where nothing is sent."""


@dataclass(slots=True)
class CellRecord:
    """One scheme in one run: written once, when all its requests are answered or failed and its workers are idle."""

    scheme: str
    run: int
    order: int
    """Its place in the order in which the cells were executed, at first; a run that is measured again keeps it."""
    requests: int
    """All of them, warm-up included: as many as have a record."""
    tasks: int | None
    """As many as have a record; None in records of an older version."""
    duration: float
    """Seconds from its first intended arrival until its last task had ended."""
    client_cpu: float | None
    """CPU seconds the client spent (None in simulation)."""
    lost_workers: str
    """Indices and reasons of workers that were lost in it, empty when none."""

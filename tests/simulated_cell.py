"""A cell in virtual time with given draws, and a listener that checks the engine's rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from collagebench.engine.conductor import Conductor
from collagebench.engine.router import Job, Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.schemes import make
from collagebench.schemes.protocol import Request, Task


class Ledger:
    """A listener that records everything, and fails if a request or a task ends twice."""

    def __init__(self) -> None:
        self.latency: dict[int, float] = {}
        self.source: dict[int, str] = {}
        self.failures: dict[int, str] = {}
        self.jobs: dict[int, Job] = {}
        self.answers: dict[int, list[Job]] = {}
        """The jobs that each request was answered from."""
        self.answered_at: dict[int, float] = {}
        self.in_hand: dict[int, Job] = {}

    def sent(self, job: Job) -> None:
        assert job.task.id not in self.jobs
        ids = [request.id for request in job.task.requests]
        assert any(id not in self.latency and id not in self.failures for id in ids), "sent for nobody"
        self.in_hand[job.task.id] = job

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        assert all(job.replied is not None and job.task.id not in self.jobs for job in jobs)
        assert request.id not in self.latency
        assert request.id not in self.failures
        self.latency[request.id] = now - request.arrival
        self.source[request.id] = source
        self.answers[request.id] = list(jobs)
        self.answered_at[request.id] = now

    def failed(self, request: Request, reason: str) -> None:
        assert request.id not in self.latency
        assert request.id not in self.failures
        self.failures[request.id] = reason

    def ended(self, job: Job, now: float) -> None:
        assert job.task.id not in self.jobs
        assert job.outcome is not None
        self.jobs[job.task.id] = job
        del self.in_hand[job.task.id]


def simulate(
    name: str,
    options: dict[str, object],
    workers: int,
    arrivals: list[float],
    draw: Callable[[int, int, int, float], float],
    deadline: float = math.inf,
    losses: dict[float, int] | None = None,
    crashes: Sequence[tuple[float, float, int]] = (),
    advance: Callable[[int], None] = lambda requests: None,
    refuses: Callable[[Job], bool] = lambda job: False,
) -> Ledger:
    """Run one cell; `losses` gives the workers that are lost, by time, and `crashes` those that crash and come back.

    `refuses` says whether a worker refuses a job after its service, as a server may. A task whose draw is infinite
    takes a second, and its reply is lost.
    """
    scheme = make(name, options)
    scheme.deadline = deadline
    roles: dict[str, range] = {}
    first = 0
    for role, count in scheme.allot(workers).items():
        roles[role] = range(first, first + count)
        first += count
    ledger = Ledger()

    def conduct(transport: SimulatedTransport) -> Conductor:
        def tie(request: int, attempt: int) -> float:
            return (request * 0.618 + attempt * 0.5) % 1

        def expected(task: Task, drawn: float) -> float:
            return 1.0 if drawn == math.inf else drawn

        def drops(worker: int, request: int, attempt: int, at: float) -> bool:
            return draw(worker, request, attempt, at) == math.inf

        conductor = Conductor(scheme, Router(roles), draw, tie, expected, transport, ledger, drops)
        woke = conductor.woke

        def woke_or_lost(token: object, now: float) -> None:
            if isinstance(token, tuple) and token[0] == "lost":
                conductor.lost(token[1], now)
            else:
                woke(token, now)

        conductor.woke = woke_or_lost  # type: ignore[method-assign]
        served = conductor.served

        def served_or_refused(job: Job, now: float) -> None:
            if refuses(job):
                conductor.failed(job, "refused", now)
            else:
                served(job, now)

        conductor.served = served_or_refused  # type: ignore[method-assign]
        for at, worker in (losses or {}).items():
            transport.wake(("lost", worker), at)
        return conductor

    requests = [Request(i, i, at) for i, at in enumerate(arrivals)]
    simulate_cell(conduct, requests, lambda task: 0.0, deadline, advance, crashes)
    assert sorted([*ledger.latency, *ledger.failures]) == list(range(len(arrivals)))
    assert not ledger.in_hand, "every task comes to its end"
    return ledger

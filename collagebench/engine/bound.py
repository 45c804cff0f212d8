"""The bound: the latencies of the same fleet and arrivals without stragglers and without redundancy.

It is always simulated, even for real workers, and labelled so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.config import SchemeConfig
from collagebench.engine.cells import conductor_of
from collagebench.engine.plan import Plan
from collagebench.engine.router import Job, Router
from collagebench.engine.simulated import ADVANCE, SURELY, simulate_cell
from collagebench.engine.variants import Variant
from collagebench.schemes.plain import Equal
from collagebench.schemes.protocol import Request, Task
from collagebench.stragglers.service import service_time


def bound(plan: Plan, advance: Callable[[int], None]) -> dict[str, Any] | None:
    """Return statistics of the latencies, in seconds, without stragglers; None if the fleet has no stragglers."""
    calm = plan.stragglers.without()
    if calm is None:
        return None
    calm_plan = replace(plan, stragglers=calm)
    workers, models = {"single": tuple(range(plan.config.workers))}, {"single": plan.single}
    variant = Variant(SchemeConfig("equal", "bound"), workers, models, Equal())
    latencies: list[float] = []
    for run in range(plan.config.runs):
        of_run = without_deadlines(calm_plan, variant, run, advance)
        if of_run is None:
            of_run = with_deadlines(calm_plan, variant, run, advance)
        latencies += of_run[plan.workloads[run].warmup :].tolist()
    quantiles = {
        name: float(np.quantile(latencies, q, method="inverted_cdf"))
        for name, q in {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}.items()
    }
    shares = sorted({*np.linspace(0.02, 0.98, 49), *(1 - np.geomspace(0.01, 1 / len(latencies), 25))})
    times = np.quantile(latencies, shares, method="inverted_cdf")
    curve = [[float(share), float(seconds)] for share, seconds in zip(shares, times, strict=True)]
    mean = float(np.mean(latencies))
    spread = {"mean": mean, "std": float(np.std(latencies)) if np.isfinite(mean) else mean}  # infinite: some failed
    facts = {**spread, "requests": len(latencies), "source": "simulated"}
    return {**quantiles, **facts, "curve": curve}


def with_deadlines(plan: Plan, variant: Variant, run: int, advance: Callable[[int], None]) -> NDArray[np.float64]:
    """Return the latency of each request of one run in seconds; infinite for those that miss their deadline."""
    listener = Latencies(plan.config.requests)
    conduct, compute = conductor_of(plan, variant, run, listener), plan.compute_of(variant)
    simulate_cell(conduct, plan.requests(run), compute, plan.config.deadline, advance)
    return listener.values


def without_deadlines(
    plan: Plan, variant: Variant, run: int, advance: Callable[[int], None]
) -> NDArray[np.float64] | None:
    """Return the same as `with_deadlines` in less than half the time, or None if a task might miss its deadline.

    If no deadline is near, the only decision is which worker gets a request, so no scheme has to be asked. This matters
    because every simulation has a bound, which in the general engine takes as long as a scheme.
    """
    router, tie, compute = Router(variant.workers), plan.ties(run), plan.compute_of(variant)
    draw, mode = plan.stragglers.draw, plan.stragglers.mode
    latencies = [0.0] * plan.config.requests
    ends: list[tuple[float, int, Job]] = []
    """The jobs in service, as a heap: the end of each service, the order in which they began, and the job."""
    order = count()

    def begin(job: Job, now: float) -> None:
        job.begun = now
        heappush(ends, (now + job.expected, next(order), job))

    def serve(until: float) -> None:
        while ends and ends[0][0] <= until:
            now, _, job = heappop(ends)
            request = job.task.requests[0]
            latencies[request.id] = now - request.arrival
            following = router.take(job)
            if following is not None:
                begin(following, now)

    for request in plan.requests(run):
        number, _, now = request
        serve(now)
        worker = router.pick("single", (), tie(number, 0))
        assert worker is not None
        at = router.free_at(worker, now)
        task, drawn = Task(number, "single", (request,), 0), draw(run, worker, number, 0, at)
        job = Job(task, worker, drawn, now, service_time(mode, compute(task), drawn))
        if at + job.expected > now + SURELY * plan.config.deadline:
            return None
        if router.put(job):
            begin(job, now)
        if (number + 1) % ADVANCE == 0:
            advance(ADVANCE)
    serve(np.inf)
    return np.array(latencies)


class Latencies:
    """A listener that keeps each request's latency in seconds, by its id; infinite if the request failed."""

    def __init__(self, requests: int) -> None:
        self.values = np.full(requests, np.inf)

    def sent(self, job: Job) -> None:
        """Do nothing."""

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """Keep the latency."""
        self.values[request.id] = now - request.arrival

    def failed(self, request: Request, reason: str) -> None:
        """Do nothing: the latency stays infinite."""

    def ended(self, job: Job, now: float) -> None:
        """Do nothing."""

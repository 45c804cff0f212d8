"""The bound: how fast the same fleet would answer the same arrivals if it had no stragglers and no redundancy.

It is simulated, for real workers as well, and labelled so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from collagebench.engine.conductor import Conductor
from collagebench.engine.plan import Plan
from collagebench.engine.router import Job, Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.schemes.plain import Equal
from collagebench.schemes.protocol import Request
from collagebench.stragglers.model import Stragglers


def bound(plan: Plan) -> dict[str, Any] | None:
    """Return the latencies, in seconds, on a fleet without stragglers; None when there is no straggler to take away."""
    calm = plan.stragglers.without()
    if calm is None:
        return None
    single = next(variant.models["single"] for variant in plan.variants)
    latencies: list[float] = []
    for run in range(plan.config.runs):
        listener = _Latencies(plan.workloads[run].warmup)
        simulate_cell(
            partial(_calm_fleet, plan, calm, run, listener),
            plan.requests(run),
            calm.mode,
            {"single": plan.compute[single.name]},
            plan.config.deadline,
        )
        latencies += listener.latencies
    facts: dict[str, Any] = {
        f"p{q}": float(np.quantile(latencies, q / 100, method="inverted_cdf")) for q in (50, 90, 95, 99)
    }
    return {**facts, "mean": float(np.mean(latencies)), "requests": len(latencies), "source": "simulated"}


def _calm_fleet(
    plan: Plan, calm: Stragglers, run: int, listener: _Latencies, transport: SimulatedTransport
) -> Conductor:
    router = Router({"single": range(plan.config.workers)})
    return Conductor(Equal(), router, partial(calm.draw, run), partial(plan.tie, run), transport, listener)


class _Latencies:
    """A listener that keeps the latencies of the requests after the warm-up."""

    def __init__(self, warmup: int) -> None:
        self.latencies: list[float] = []
        self._warmup = warmup

    def answered(self, request: Request, source: str, job: Job, now: float) -> None:
        if request.id >= self._warmup:
            self.latencies.append(now - request.arrival)

    def failed(self, request: Request, reason: str) -> None:
        if request.id >= self._warmup:
            self.latencies.append(float("inf"))

    def ended(self, job: Job, now: float) -> None:
        pass

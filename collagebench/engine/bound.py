"""The bound: how fast the same fleet would answer the same arrivals if it had no stragglers and no redundancy.

It is simulated, for real workers as well, and labelled so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from collagebench.config import SchemeConfig
from collagebench.engine.cells import conductor_of
from collagebench.engine.plan import Plan, Variant
from collagebench.engine.router import Job
from collagebench.engine.simulated import simulate_cell
from collagebench.schemes.plain import Equal
from collagebench.schemes.protocol import Request


def bound(plan: Plan, advance: Callable[[int], None]) -> dict[str, Any] | None:
    """Return the latencies, in seconds, on a fleet without stragglers; None when there is no straggler to take away."""
    calm = plan.stragglers.without()
    if calm is None:
        return None
    calm_plan = replace(plan, stragglers=calm)
    workers, models = {"single": tuple(range(plan.config.workers))}, {"single": plan.single}
    variant = Variant(SchemeConfig("equal", "bound"), workers, models, Equal())
    latencies: list[float] = []
    for run in range(plan.config.runs):
        listener = Latencies(plan.config.requests)
        simulate_cell(
            conductor_of(calm_plan, variant, run, listener),
            plan.requests(run),
            plan.compute_of(variant),
            plan.config.deadline,
            advance,
        )
        latencies += listener.values[plan.workloads[run].warmup :].tolist()
    quantiles = {
        name: float(np.quantile(latencies, q, method="inverted_cdf"))
        for name, q in {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}.items()
    }
    shares = sorted({*np.linspace(0.02, 0.98, 49), *(1 - np.geomspace(0.01, 1 / len(latencies), 25))})
    times = np.quantile(latencies, shares, method="inverted_cdf")
    curve = [[float(share), float(seconds)] for share, seconds in zip(shares, times, strict=True)]
    mean = float(np.mean(latencies))
    spread = {"mean": mean, "std": float(np.std(latencies)) if np.isfinite(mean) else mean}  # as some have failed
    facts = {**spread, "requests": len(latencies), "source": "simulated"}
    return {**quantiles, **facts, "curve": curve}


class Latencies:
    """A listener that keeps each request's latency in seconds, by its id; infinite where it failed."""

    def __init__(self, requests: int) -> None:
        self.values = np.full(requests, np.inf)

    def sent(self, job: Job) -> None:
        """Nothing is kept of it."""

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """Keep the latency."""
        self.values[request.id] = now - request.arrival

    def failed(self, request: Request, reason: str) -> None:
        """It stays infinite."""

    def ended(self, job: Job, now: float) -> None:
        """Nothing is kept of it."""

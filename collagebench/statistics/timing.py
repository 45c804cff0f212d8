"""Where the time of an answer went, and how late the client itself was."""

from __future__ import annotations

import numpy as np

from collagebench.results.table import Table
from collagebench.statistics.quantiles import quantile

PHASES = ("group", "encode", "queue", "service", "injected", "transport", "decode", "hold")


def phase_means(requests: Table) -> dict[str, float | None]:
    """Return the mean of each phase over the answered requests that know it, in seconds; None when none does."""
    counted = requests.where(~requests["warmup"] & ~np.isnan(requests["latency"]))
    means: dict[str, float | None] = {}
    for phase in PHASES:
        known = counted[phase][~np.isnan(counted[phase])]
        means[phase] = float(known.mean()) if len(known) else None
    return means


def dispatch_lag(requests: Table) -> dict[str, float | None]:
    """Return p50 and p99 of how late the client handled arrivals, in seconds; None where it has no lag (simulation)."""
    lag = requests["lag"][~requests["warmup"]]
    ordered = np.sort(lag[~np.isnan(lag)])
    return {name: quantile(ordered, q) if len(ordered) else None for name, q in (("p50", 0.5), ("p99", 0.99))}

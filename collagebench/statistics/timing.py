"""The phases of an answer's latency, and the client's dispatch lag."""

from __future__ import annotations

import numpy as np

from collagebench.results.table import Table
from collagebench.statistics.quantiles import quantile

PHASES = ("group", "encode", "queue", "service", "injected", "transport", "decode", "hold")


def phase_means(requests: Table) -> dict[str, float | None]:
    """Return the mean of each phase, in seconds, over the answered requests that have it; None if none has."""
    counted = requests.where(~requests["warmup"] & ~np.isnan(requests["latency"]))
    means: dict[str, float | None] = {}
    for phase in PHASES:
        known = counted[phase][~np.isnan(counted[phase])]
        means[phase] = float(known.mean()) if len(known) else None
    return means


def dispatch_lag(requests: Table) -> dict[str, float | None]:
    """Return p50 and p99 of the dispatch lag, in seconds; None if there is no lag (simulation)."""
    lag = requests["lag"][~requests["warmup"]]
    ordered = np.sort(lag[~np.isnan(lag)])
    return {name: quantile(ordered, q) if len(ordered) else None for name, q in (("p50", 0.5), ("p99", 0.99))}

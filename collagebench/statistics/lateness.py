"""Where the client was late: what it measures then is in part its own doing.

The dispatch lag is how much later than the schedule wanted the client handled an arrival. It is part of the latency,
which counts from the schedule, so that it cannot hide; but it is no worker's.
"""

from __future__ import annotations

import numpy as np

from collagebench.results.reader import Run, Table
from collagebench.statistics.latency import infinite_if_failed
from collagebench.statistics.quantiles import quantile
from collagebench.statistics.timing import dispatch_lag

SHARE = 0.05
"""Dispatch lag p99 may be this share of the median latency."""


def late_schemes(run: Run) -> dict[str, tuple[float, float]]:
    """Return dispatch lag p99 and median latency, in seconds, of each scheme that the client was too late for."""
    found = {variant: _lateness(run.of(variant).requests) for variant in run.variants}
    return {variant: late for variant, late in found.items() if late is not None}


def late_cells(run: Run) -> dict[tuple[str, int], float]:
    """Return the dispatch lag p99, in seconds, of each scheme and run to which it is due that a scheme is late."""
    found = {}
    for variant in late_schemes(run):
        mine = run.of(variant)
        for number in np.unique(mine.cells["run"]).tolist():
            late = _lateness(mine.requests.where(mine.requests["run"] == number))
            if late is not None:
                found[variant, number] = late[0]
    return found


def _lateness(requests: Table) -> tuple[float, float] | None:
    """Return dispatch lag p99 and median latency in seconds where the first is too large beside the second."""
    lag = dispatch_lag(requests)["p99"]
    if lag is None:
        return None
    median = quantile(np.sort(infinite_if_failed(requests.where(~requests["warmup"]))), 0.5)
    return (lag, median) if lag > SHARE * median else None

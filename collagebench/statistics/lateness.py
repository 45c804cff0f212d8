"""Where the client was late: what it measures then is in part its own doing.

The dispatch lag is how much later than the schedule wanted the client handled an arrival. It is part of the latency,
which counts from the schedule, so that it cannot hide; but it is no worker's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collagebench.results.reader import Run, Table
from collagebench.statistics.latency import infinite_if_failed
from collagebench.statistics.quantiles import quantile
from collagebench.statistics.timing import dispatch_lag

SHARE = 0.05
"""Dispatch lag p99 may be this share of the median latency."""


@dataclass(frozen=True, slots=True)
class Times:
    """What shows whether the client was late, in seconds."""

    lag: float
    """p99 of the dispatch lag."""
    p50: float
    p99: float
    """Of the latency; infinite where failures reach it."""

    @property
    def is_late(self) -> bool:
        """Whether the lag is too large beside the median latency."""
        return self.lag > SHARE * self.p50


def late_schemes(run: Run) -> dict[str, tuple[float, float]]:
    """Return dispatch lag p99 and median latency, in seconds, of each scheme that the client was too late for."""
    found = {variant: _times(run.of(variant).requests) for variant in run.variants}
    return {variant: (times.lag, times.p50) for variant, times in found.items() if times is not None and times.is_late}


def late_cells(run: Run) -> dict[tuple[str, int], Times]:
    """Return the times of each scheme and run that the client was too late for.

    A scheme may be in time on the whole and late in one of its runs, whose p99 then is the client's.
    """
    found = {}
    for variant in run.variants:
        mine = run.of(variant)
        for number in np.unique(mine.cells["run"]).tolist():
            times = _times(mine.requests.where(mine.requests["run"] == number))
            if times is not None and times.is_late:
                found[variant, number] = times
    return found


def _times(requests: Table) -> Times | None:
    """Return the times of some requests, warm-up left out; None where no lag is known (simulation)."""
    lag = dispatch_lag(requests)["p99"]
    if lag is None:
        return None
    latency = np.sort(infinite_if_failed(requests.where(~requests["warmup"])))
    return Times(lag, quantile(latency, 0.5), quantile(latency, 0.99))

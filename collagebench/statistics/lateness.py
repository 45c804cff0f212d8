"""Where the client was late: what it measures then is in part its own doing.

The dispatch lag is how much later than the schedule wanted the client handled an arrival. It is part of the latency,
which counts from the schedule, so that it cannot hide; but it is no worker's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.latency import infinite_if_failed
from collagebench.statistics.quantiles import quantile
from collagebench.statistics.timing import dispatch_lag

SHARE = 0.05
"""Dispatch lag p99 may be this share of the median latency."""


@dataclass(frozen=True, slots=True)
class Times:
    """What shows whether the client was late for a scheme, in seconds."""

    lag: float
    """p99 of the dispatch lag."""
    p50: float
    p99: float
    """Of the latency; infinite where failures reach it."""


def late_schemes(run: Run) -> dict[str, Times]:
    """Return the times of each scheme that the client was too late for, over all runs."""
    found = {variant: _times(run.of(variant).requests) for variant in run.variants}
    return {variant: times for variant, times in found.items() if times is not None and times.lag > SHARE * times.p50}


def late_runs(run: Run) -> dict[int, dict[str, Times]]:
    """Return the times of all schemes in each run in which the client was too late for one of them.

    A scheme may be in time on the whole and late in one run, whose p99 then is the client's. All schemes of a run are
    measured by the same median latency, the least of theirs: a faster scheme would else be called late sooner.
    """
    found: dict[int, dict[str, Times]] = {}
    for variant in run.variants:
        mine = run.of(variant)
        for number in np.unique(mine.cells["run"]).tolist():
            times = _times(mine.requests.where(mine.requests["run"] == number))
            if times is not None:
                found.setdefault(number, {})[variant] = times
    return {
        number: schemes
        for number, schemes in sorted(found.items())
        if max(times.lag for times in schemes.values()) > SHARE * min(times.p50 for times in schemes.values())
    }


def _times(requests: Table) -> Times | None:
    """Return the times of some requests, warm-up left out; None where no lag is known (simulation)."""
    lag = dispatch_lag(requests)["p99"]
    if lag is None:
        return None
    latency = np.sort(infinite_if_failed(requests.where(~requests["warmup"])))
    return Times(lag, quantile(latency, 0.5), quantile(latency, 0.99))

"""Where the client was late, so that the latencies include a delay of its own.

The dispatch lag is the delay from the intended arrival to when the client handled it. It is part of the latency, which
counts from the schedule, so it cannot hide; but no worker caused it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.latency import infinite_if_failed
from collagebench.statistics.quantiles import quantile
from collagebench.statistics.timing import dispatch_lag

SHARE = 0.05
"""The p99 of the dispatch lag may be up to this share of the median latency."""
LONG = 10.0
"""A median in seconds that counts for any longer one, which may be infinite because most requests failed."""


@dataclass(frozen=True, slots=True)
class Times:
    """The times that show whether the client was late for a scheme, in seconds."""

    lag: float
    """p99 of the dispatch lag."""
    p50: float
    p99: float
    """Quantiles of the latency; infinite if too many requests failed."""


def late_schemes(run: Run) -> dict[str, Times]:
    """Return the times, over all runs, of each scheme for which the client was too late."""
    found = {variant: _times(run.of(variant).requests) for variant in run.variants}
    return {variant: times for variant, times in found.items() if times is not None and times.lag > _limit([times])}


def late_runs(run: Run) -> dict[int, dict[str, Times]]:
    """Return the times of all schemes in each run in which the client was too late for one of them.

    The client may be in time overall but late in one run, whose p99 is then its doing. All schemes of a run are judged
    by the same median latency, the lowest of theirs; otherwise a faster scheme would count as late sooner.
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
        if max(times.lag for times in schemes.values()) > _limit(schemes.values())
    }


def _limit(schemes: Iterable[Times]) -> float:
    """Return the largest p99 of the dispatch lag that is not too late for any of the schemes, in seconds."""
    return SHARE * min(LONG, *(times.p50 for times in schemes))


def _times(requests: Table) -> Times | None:
    """Return the times of some requests, without the warm-up; None if no lag is known (simulation)."""
    lag = dispatch_lag(requests)["p99"]
    if lag is None:
        return None
    latency = np.sort(infinite_if_failed(requests.where(~requests["warmup"])))
    return Times(lag, quantile(latency, 0.5), quantile(latency, 0.99))

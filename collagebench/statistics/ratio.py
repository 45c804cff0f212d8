"""The ratio of a quantile of latency between two schemes, with its 95 % interval.

The reports of a run, a sweep, a crossover, a recommendation and a comparison of runs all use it, so that they do not
contradict each other. What it needs of a scheme, a `Tail`, is small enough to be kept in a report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collagebench.statistics.intervals import Interval, of_ratio
from collagebench.statistics.latency import Latency
from collagebench.statistics.quantiles import quantile

STEP = 2 ** (1 / 16)
SHARES = tuple(float(f"{STEP**-place:.6g}") for place in range(1, 24 * 16))
"""Shares of all requests at which tails are kept, from nearly all to one in ten million, in a geometric sequence."""


@dataclass(frozen=True, slots=True)
class Tail:
    """One quantile of a scheme, and what the interval of its ratio to another's needs; latencies in seconds."""

    observed: float
    share_ci95: Interval
    """95 % interval of the share of requests above the true quantile."""
    ends: Interval
    """The quantiles at the ends of `share_ci95`, the lower first; infinite if too many requests failed."""
    above: Sequence[float]
    """Share of each run's requests above `observed`."""
    along: Sequence[float]
    """The quantiles at SHARES, as far as there are enough requests; see the function `along`."""


def along(time: Latency) -> list[float]:
    """Return the latencies with SHARES of all requests above them, down to the share of half a request."""
    count = time.requests
    return [quantile(time.ordered, 1 - share) for share in SHARES if share * count >= 0.5]


def tail(time: Latency, figure: str, runs: Sequence[int]) -> Tail | None:
    """Return the tail of one quantile, with the share of each of `runs`; None if the scheme has fewer than two runs."""
    one = time.quantiles[figure]
    if not one.share_ci95:
        return None
    least, most = one.share_ci95
    ends = quantile(time.ordered, 1 - most), quantile(time.ordered, 1 - least)
    return Tail(one.observed, one.share_ci95, ends, [one.above[run] for run in runs], along(time))


def ratio_ci95(own: Tail, other: Tail, paired: bool = True) -> Interval | None:
    """Return the 95 % interval of own's quantile / other's; an end may be 0 or infinite.

    `paired` says that run r of both had the same arrivals and slowdowns. None if a quantile is 0 or infinite.
    """
    if not (0 < own.observed < math.inf and 0 < other.observed < math.inf):
        return None
    shares = *own.share_ci95, *other.share_ci95
    least, most = min(shares) / STEP, max(shares) * STEP
    sides = [
        (value, base)
        for share, value, base in zip(SHARES, own.along, other.along, strict=False)  # as far as both go
        if least <= share <= most and min(value, base) > 0 and max(value, base) < math.inf
    ]
    ratios = [value / base for value, base in [(own.observed, other.observed), *sides]]
    alike = _alike(own.above, other.above) if paired else 0.0
    return of_ratio((own.observed, own.ends), (other.observed, other.ends), alike, ratios)


def _alike(own: Sequence[float], other: Sequence[float]) -> float:
    """Return the correlation of two schemes' shares over the runs; 0 if one is constant."""
    both = np.array([own, other])
    return float(np.corrcoef(both)[0, 1]) if both.std(axis=1).all() else 0.0

"""The ratio of one quantile of latency of two schemes, with its 95 % interval, wherever the two are told of.

A run's report, a sweep, a crossover, a recommendation and a comparison of runs all ask by what factor two schemes
differ, and must not contradict each other: they all ask here. What has to be known of a scheme is little enough to be
kept in a report.
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
"""Shares of all requests at which tails are kept, from nearly all to one in ten million, by equal ratios."""


@dataclass(frozen=True, slots=True)
class Tail:
    """One quantile of a scheme, and what its ratio to another's is made of; latencies in seconds."""

    observed: float
    share_ci95: Interval
    """Between which shares of all requests may be above the true quantile."""
    ends: Interval
    """The quantiles at these shares, the lower first; infinite where so many failed."""
    above: Sequence[float]
    """Share of each run's requests that are above `observed`."""
    along: Sequence[float]
    """What SHARES of all requests are above, as far as there are so many requests; see `along`."""


def along(time: Latency) -> list[float]:
    """Return the latencies that SHARES of all requests are above, down to the share that half a request is."""
    count = time.requests
    return [quantile(time.ordered, 1 - share) for share in SHARES if share * count >= 0.5]


def tail(time: Latency, figure: str, runs: Sequence[int]) -> Tail | None:
    """Return the tail of one quantile, with the share of each of `runs`; None where a scheme has fewer than two."""
    one = time.quantiles[figure]
    if not one.share_ci95:
        return None
    least, most = one.share_ci95
    ends = quantile(time.ordered, 1 - most), quantile(time.ordered, 1 - least)
    return Tail(one.observed, one.share_ci95, ends, [one.above[run] for run in runs], along(time))


def ratio_ci95(own: Tail, other: Tail, paired: bool = True) -> Interval | None:
    """Return the 95 % interval of own's quantile / other's, an end of which may be 0 or infinite.

    `paired`: run r of the one met what run r of the other met. None where a quantile is 0 or infinite.
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
    """Return how much two schemes' shares go together from run to run: their correlation, 0 where one never changes."""
    both = np.array([own, other])
    return float(np.corrcoef(both)[0, 1]) if both.std(axis=1).all() else 0.0

"""Quantiles of latency, and their bounds from the size of the sample.

The q-quantile of n values is an observed value: the smallest that at least q n of them do not exceed (NumPy's
`inverted_cdf`), so it is never above the maximum. A request without an answer counts as infinitely slow.

A distribution-free 95 % interval of the true quantile has order statistics as its ends. Its upper end is the j-th
smallest value with P(Binomial(n, q) <= j - 1) >= 0.975. The largest value, j = n, gives 1 - q^n. So if q^n > 0.025, the
sample bounds the quantile only from below: with fewer than 368 requests for p99, or 3,688 for p99.9.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from functools import cache

import numpy as np
from numpy.typing import NDArray

from collagebench.statistics.distributions import binomial_at_least

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
TAIL = 0.025
"""Probability on each side of a 95 % interval."""


def quantile(ordered: NDArray[np.float64], q: float) -> float:
    """Return the q-quantile of `ordered`, [n >= 1] ascending; infinite if too many requests have no answer."""
    return float(ordered[rank(len(ordered), q) - 1])


def rank(count: int, q: float) -> int:
    """Return the place, from 1, of the q-quantile among `count` ordered values: the smallest k with k >= q * count."""
    # q * count may exceed a whole number by a rounding error, which must not raise the rank.
    return min(count, max(1, math.ceil(q * count * (1 - 1e-12))))


def requests_needed(q: float) -> int:
    """Return the smallest sample that bounds the q-quantile from above with 95 % confidence: q^n <= 0.025."""
    return math.ceil(math.log(TAIL) / math.log(q))


def lower_bound(ordered: NDArray[np.float64], q: float) -> float | None:
    """Return the lower bound of the true q-quantile with 97.5 % confidence: the lower end of the 95 % interval.

    It is the largest order statistic k with P(Binomial(n, q) >= k) >= 0.975; None if even the smallest value may be
    above the quantile.
    """
    place = _ends(len(ordered), q)[0]
    return float(ordered[place - 1]) if place else None


def upper_bound(ordered: NDArray[np.float64], q: float) -> float | None:
    """Return the upper bound of the true q-quantile with 97.5 % confidence: the upper end of the 95 % interval.

    It is the smallest order statistic k with P(Binomial(n, q) >= k) <= 0.025; None if the sample is smaller than
    `requests_needed`.
    """
    place = _ends(len(ordered), q)[1]
    return float(ordered[place - 1]) if place <= len(ordered) else None


@cache
def _ends(count: int, q: float) -> tuple[int, int]:
    """Return the ranks, from 1, of both ends of the interval among `count` values; 0 or count + 1 means no end."""

    def at_least(place: int) -> float:
        return -binomial_at_least(place, count, q)  # negative, because bisection needs it ascending

    places = range(count + 2)
    return bisect_right(places, TAIL - 1, key=at_least) - 1, bisect_left(places, -TAIL, key=at_least)

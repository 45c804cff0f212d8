"""95 % intervals: for a quantile of latency over several runs, for a ratio of two, and for a share.

Requests inside one run are not independent (queues, slow periods), so an interval made from single requests is far too
narrow. Runs are independent, and how unlike they are says what is known. A quantile has the interval that survey
statistics gives it (Woodruff, Journal of the American Statistical Association 47, 1952), with runs for a survey's
clusters: some share of all requests is slower than the quantile of all of them, each run has a share of its own, and
Student's t over these says between which two that share may be. The quantiles of all requests at these two shares are
the ends. So the tail that is there says how far each end may be, which is seldom equally far; the quantiles of single
runs, of which few requests decide, play no part. How often such intervals hold the truth is what
benchmarks/coverage.py prints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from collagebench.statistics.distributions import incomplete_beta, student_t_quantile
from collagebench.statistics.quantiles import TAIL

Interval = tuple[float, float]
Z95 = NormalDist().inv_cdf(0.975)


def half_width(by_run: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval for a mean over runs; None with fewer than 2 or an infinite one."""
    if len(by_run) < 2 or not all(math.isfinite(value) for value in by_run):
        return None
    spread = float(np.std(by_run, ddof=1))
    return student_t_quantile(0.975, len(by_run) - 1) * spread / math.sqrt(len(by_run))


def slower_share(q: float, above: Sequence[float], sizes: Sequence[int]) -> Interval | None:
    """Return the 95 % interval of the share of requests above the q-quantile of all, from how unlike the runs are.

    `above` is the share of each run's requests that are above it, `sizes` how many requests each run has. By how much
    the runs are unlike, with Student's t as there are few, the requests are worth so many independent ones; the ends
    are the exact limits for these (Korn and Graubard, Survey Methodology 24, 1998). None with fewer than 2 runs.
    """
    runs, n, share = len(sizes), sum(sizes), 1 - q
    if runs < 2:
        return None
    weights = np.array(sizes) / n
    apart = weights * (np.array(above) - weights @ np.array(above))
    half = student_t_quantile(0.975, runs - 1) * math.sqrt(runs / (runs - 1) * float(apart @ apart))
    worth = min(q * share * (Z95 / half) ** 2, n) if half else n
    return max(_least(share, worth), 0.5 / n), 1 - max(_least(q, worth), 0.5 / n)


def _least(share: float, worth: float) -> float:
    """Return what a share that was found in `worth` independent values is not below, with 97.5 % confidence.

    That is the limit of Clopper and Pearson (Biometrika 26, 1934); `worth` need not be whole.
    """
    found, low, high = share * worth, 0.0, share
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if incomplete_beta(found, worth - found + 1, middle) < TAIL else (low, middle)
    return low


def of_ratio(
    own: tuple[float, Interval], other: tuple[float, Interval], alike: float, along: Sequence[float]
) -> Interval:
    """Return the 95 % interval of the ratio of two values, each given with its own interval.

    For values that have nothing to do with each other it follows from both intervals, whose ends need not be equally
    far away (MOVER: Donner and Zou, Statistical Methods in Medical Research 21, 2012, here of logarithms). `alike`, the
    correlation of the two, is the share that they have in common: that moves both along their tails together, so the
    ratio is then one of those `along` the tails. Where an end of the values is 0 or infinite, so is one of the ratio.
    """
    (value, (low, high)), (base, (base_low, base_high)) = own, other
    ratio = math.log(value / base)
    fall = _reach((value, low), (base_high, base), alike, ratio - math.log(min(along)))
    rise = _reach((high, value), (base, base_low), alike, math.log(max(along)) - ratio)
    return math.exp(ratio - fall), math.exp(ratio + rise) if ratio + rise < 700 else math.inf


def _reach(own: Interval, other: Interval, alike: float, along: float) -> float:
    """Return how far a logarithm may be off whose two parts may be off by factors, each larger / smaller."""
    if any(larger == math.inf or smaller <= 0 for larger, smaller in (own, other)):
        return math.inf
    apart = sum(math.log(larger / smaller) ** 2 for larger, smaller in (own, other))
    alike = max(alike, 0.0)
    return math.sqrt((1 - alike) * apart + alike * max(along, 0.0) ** 2)


def around(centre: float | None, by_run: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of what all runs together give, `centre`, as wide as the runs' own scatter."""
    half = half_width(by_run)
    if half is None or centre is None or not math.isfinite(centre):
        return None
    return max(0.0, centre - half), centre + half


def around_ratio(centre: float, own: Sequence[float], other: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of a ratio of means: that of all runs, `centre`, as wide as the runs' own scatter.

    Own and other's values come in pairs, one for each run. A ratio is as easily halved as doubled, so the interval is
    that of its logarithm. None with fewer than 2 runs, or where a value is 0 or infinite.
    """
    if not (0 < centre < math.inf and all(0 < value < math.inf for value in (*own, *other))):
        return None
    half = half_width([math.log(one / two) for one, two in zip(own, other, strict=True)])
    # Two runs that differ much allow any ratio whatever; e^600 is one that still has a reciprocal.
    return None if half is None else (centre * math.exp(-min(half, 600.0)), centre * math.exp(min(half, 600.0)))


def wilson(successes: float, trials: float) -> Interval | None:
    """Return the 95 % interval of a share (Wilson 1927), None without trials."""
    if trials == 0:
        return None
    share = successes / trials
    scale = 1 + Z95**2 / trials
    centre = (share + Z95**2 / (2 * trials)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / trials + Z95**2 / (4 * trials**2))
    # Rounding must not push an end past the share itself, nor past 0 or 1.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))

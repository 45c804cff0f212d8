"""95 % intervals: for a quantile of latency over several runs, for a ratio of two quantiles, and for a share.

Requests inside one run are not independent (queues, slow periods), so an interval made from single requests is far too
narrow. Runs are independent, so the variation between runs gives the uncertainty. The interval of a quantile is that of
survey statistics (Woodruff, Journal of the American Statistical Association 47, 1952), with runs as clusters. Each run
has its own share of requests above the pooled quantile. Student's t over these shares gives an interval for the share
of all requests above the true quantile. The ends are the pooled quantiles at the two ends of that interval of shares.
So the shape of the observed tail decides how far each end is, and the two are seldom equally far. The quantiles of
single runs, which depend on few requests, are not used.

How much a small share varies between runs is itself poorly known from ten runs: often none of them has one of the
rare long queues that make the tail. The share above a lower quantile varies with the same queues, and depends on more
requests. So it has a say, too, but only to widen the interval (in the spirit of generalized variance functions: Wolter,
Introduction to Variance Estimation, 2nd edition, 2007, chapter 7). benchmarks/coverage.py prints how often intervals
contain the true value.
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
MORE = 5
"""How many times as many requests are above the lower quantile that an interval considers, too."""


def half_width(by_run: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval of a mean over runs; None with fewer than 2 or an infinite one."""
    if len(by_run) < 2 or not all(math.isfinite(value) for value in by_run):
        return None
    spread = float(np.std(by_run, ddof=1))
    return student_t_quantile(0.975, len(by_run) - 1) * spread / math.sqrt(len(by_run))


def lower_quantile(q: float) -> float:
    """Return the quantile with MORE times as many requests above it as above q: 0.95 for 0.99; the median at least."""
    return min(q, max(0.5, 1 - MORE * (1 - q)))


def slower_share(q: float, above: Sequence[float], lower: Sequence[float], sizes: Sequence[int]) -> Interval | None:
    """Return the 95 % interval of the share of requests above the true q-quantile, from the variation between runs.

    `above` is the share of each run's requests above the pooled quantile, `lower` that above the pooled quantile of
    `lower_quantile`, `sizes` the number of requests of each run. The variation of `above` between runs, with Student's
    t because there are few, gives an effective number of independent requests. If that of `lower` gives a smaller one,
    the geometric mean of the two counts. The ends are the exact limits for that number (Korn and Graubard, Survey
    Methodology 24, 1998). None with fewer than 2 runs.
    """
    n, share = sum(sizes), 1 - q
    if len(sizes) < 2:
        return None
    worth = _worth(share, above, sizes, n)
    worth = min(worth, math.sqrt(worth * _worth(1 - lower_quantile(q), lower, sizes, n)))
    return max(_least(share, worth), 0.5 / n), 1 - max(_least(q, worth), 0.5 / n)


def of_share(share: float, by_run: Sequence[float], sizes: Sequence[int], most: int) -> Interval | None:
    """Return the 95 % interval of a share of requests, like that of `slower_share`.

    `by_run` is the share of each run's requests, `sizes` the number of its requests, and `most` the number of requests
    that are known, to which the effective number of independent ones is limited. None with fewer than 2 runs.
    """
    if len(sizes) < 2:
        return None
    worth = _worth(share, by_run, sizes, most)
    return _least(share, worth), 1 - _least(1 - share, worth)


def _worth(share: float, by_run: Sequence[float], sizes: Sequence[int], most: int) -> float:
    """Return the effective number of independent requests, at most `most`, from the variation of a share over runs."""
    runs, weights = len(sizes), np.array(sizes) / sum(sizes)
    apart = weights * (np.array(by_run) - weights @ np.array(by_run))
    half = student_t_quantile(0.975, runs - 1) * math.sqrt(runs / (runs - 1) * float(apart @ apart))
    return min(share * (1 - share) * (Z95 / half) ** 2, most) if half and 0 < share < 1 else most


def _least(share: float, worth: float) -> float:
    """Return the lower 97.5 % confidence limit of a share that was observed in `worth` independent values.

    It is the limit of Clopper and Pearson (Biometrika 26, 1934); `worth` need not be a whole number.
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

    For independent values it follows from both intervals, whose ends need not be equally far away (MOVER: Donner and
    Zou, Statistical Methods in Medical Research 21, 2012, here for logarithms). `alike` is the correlation of the two,
    the share of the variation that they have in common. Common variation moves both values along their tails together,
    so it can only change the ratio to one of those `along` the tails. If an end of the values' intervals is 0 or
    infinite, so is an end of the ratio's.
    """
    (value, (low, high)), (base, (base_low, base_high)) = own, other
    ratio = math.log(value / base)
    fall = _reach((value, low), (base_high, base), alike, ratio - math.log(min(along)))
    rise = _reach((high, value), (base, base_low), alike, math.log(max(along)) - ratio)
    return math.exp(ratio - fall), math.exp(ratio + rise) if ratio + rise < 700 else math.inf


def _reach(own: Interval, other: Interval, alike: float, along: float) -> float:
    """Return the possible error of the logarithm of a ratio, whose two parts may be off by larger / smaller."""
    if any(larger == math.inf or smaller <= 0 for larger, smaller in (own, other)):
        return math.inf
    apart = sum(math.log(larger / smaller) ** 2 for larger, smaller in (own, other))
    alike = max(alike, 0.0)
    return math.sqrt((1 - alike) * apart + alike * max(along, 0.0) ** 2)


def around_ratio(centre: float, own: Sequence[float], other: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of a ratio of means, around that of all runs, `centre`, from the variation between runs.

    The values of `own` and `other` are paired, one pair for each run. The interval is that of the ratio's logarithm, as
    a ratio is as easily halved as doubled. None with fewer than 2 runs, or if a value is 0 or infinite.
    """
    if not (0 < centre < math.inf and all(0 < value < math.inf for value in (*own, *other))):
        return None
    half = half_width([math.log(one / two) for one, two in zip(own, other, strict=True)])
    # Two runs that differ much allow any ratio. e^600 is large, and its reciprocal does not underflow.
    return None if half is None else (centre * math.exp(-min(half, 600.0)), centre * math.exp(min(half, 600.0)))


def wilson(successes: float, trials: float) -> Interval | None:
    """Return the 95 % interval of a share (Wilson 1927); None without trials."""
    if trials == 0:
        return None
    share = successes / trials
    scale = 1 + Z95**2 / trials
    centre = (share + Z95**2 / (2 * trials)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / trials + Z95**2 / (4 * trials**2))
    # Rounding must not push an end past the share itself, nor past 0 or 1.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))

"""95 % intervals: for a quantile of latency over several runs, and for a share.

Requests inside one run are not independent (queues, slow periods), so an interval made from single requests is far too
narrow. Runs are independent: each gives its own quantile, and Student's t over these says how far they scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from collagebench.statistics.distributions import student_t_quantile

Interval = tuple[float, float]
Z95 = NormalDist().inv_cdf(0.975)


def half_width(by_run: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval for a mean over runs; None with fewer than 2 or an infinite one."""
    if len(by_run) < 2 or not all(math.isfinite(value) for value in by_run):
        return None
    spread = float(np.std(by_run, ddof=1))
    return student_t_quantile(0.975, len(by_run) - 1) * spread / math.sqrt(len(by_run))


def around(centre: float | None, by_run: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of a latency: the pooled quantile `centre`, as wide as the runs' own scatter."""
    half = half_width(by_run)
    if half is None or centre is None or not math.isfinite(centre):
        return None
    return max(0.0, centre - half), centre + half


def around_ratio(centre: float, own: Sequence[float], other: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of a ratio of latencies: the pooled one, `centre`, as wide as the runs' own scatter.

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

"""What recorded service times say about machines: slow periods, and machines that are slow throughout.

A service is slow if it takes more than twice the fleet's median. A slow period is a sequence of slow services of one
machine. It is assumed to begin halfway between the sending times of its first slow service and the ordinary one before,
and to end likewise. A period that was in progress when the watch began or ended is censored: it lasted at least as long
as seen. The mean length is the total time of all slow periods divided by the number that were seen to end (or by the
number of periods if none was). This is the maximum-likelihood estimate for exponential lengths with censoring. Nothing
is seen between two requests, so a length is known only to within the time between them, and a single slow service
counts as a period of about that time.

A machine is slow throughout if its median is surely above 1.5 times the median of the machines' medians, that is, if
the lower end of its 99 % interval is. The interval comes from order statistics (David and Nagaraja, "Order Statistics",
2003, section 7.1), with Bonferroni's correction for the number of machines. The factor is less than the 2 for a single
service, because a machine that shares its core with another load is about half as fast, and some of its services are
faster than that. If the machines are much alike, a factor of 1.25 is enough for a machine that stands out: the
logarithm of its median must be more than 4 standard deviations above the middle. The standard deviation is estimated
from the inner half of the machines (1.4826 times the median absolute deviation; Rousseeuw and Croux, "Alternatives to
the median absolute deviation", 1993).

Slow periods last if slow services follow each other clearly more often than by chance: by three standard deviations,
and in sequences of at least two services on average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.stragglers.fitting import SLOW, median_of
from collagebench.stragglers.quantiles import PROBABILITIES

Values = NDArray[np.float64]

THROUGHOUT = 1.5
"""A machine is slow throughout if its median is above this multiple of the median of the machines' medians."""
ALIKE, STANDS_OUT = 1.25, 4.0
"""The smaller multiple among machines that are alike, and the standard deviations by which one must stand out."""
SURE = 0.99
"""Confidence of these decisions, for all machines together."""


@dataclass(frozen=True, slots=True)
class SlowPeriods:
    """The slow periods of one machine or of several."""

    share: float
    """Share of services that were slow."""
    periods: int
    ended: int
    """Number of periods that were seen to end; the others are censored."""
    seconds: float
    """Total length of all periods."""
    lasts: bool

    @property
    def mean(self) -> float | None:
        """Mean length in seconds; None if there was no slow period."""
        return self.seconds / max(self.ended, 1) if self.periods else None


def slow_periods(sent: Values, slow: NDArray[np.bool_]) -> SlowPeriods:
    """Find the slow periods of one machine, from the sending times `sent` [n] in ascending seconds and `slow` [n]."""
    n = len(slow)
    edges = np.diff(np.concatenate([[False], slow, [False]]).astype(np.int8))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    begins = np.where(first > 0, (sent[first] + sent[np.maximum(first - 1, 0)]) / 2, sent[first])
    ends = np.where(last < n - 1, (sent[last] + sent[np.minimum(last + 1, n - 1)]) / 2, sent[last])
    share = float(slow.mean()) if n else 0.0
    followed = int(slow[:-1].sum())
    expected = followed * share
    chance = 3 * math.sqrt(expected * (1 - share))
    lasts = bool((slow[:-1] & slow[1:]).sum() > expected + chance) and int(slow.sum()) >= 2 * len(first)
    return SlowPeriods(share, len(first), int((last < n - 1).sum()), float((ends - begins).sum()), lasts)


def autocorrelation(values: Values) -> float | None:
    """Return the lag-1 autocorrelation of `values` [n]; None for fewer than 3 values, or if they are all equal."""
    if len(values) < 3:
        return None
    now, following = values[:-1] - values[:-1].mean(), values[1:] - values[1:].mean()
    scale = math.sqrt(float(np.dot(now, now)) * float(np.dot(following, following)))
    return float(np.dot(now, following)) / scale if scale > 0 else None


def median_surely_above(values: Values, error: float) -> float:
    """Return a lower confidence bound of the median of the distribution of `values` [n]; it fails with chance `error`.

    It is the k-th smallest value: k - 1 or fewer of n independent values are below the median with a chance of at most
    `error`, by the normal approximation. If there are too few values, it is -inf.
    """
    n = len(values)
    k = math.floor(n / 2 + NormalDist().inv_cdf(error) * math.sqrt(n) / 2)
    return float(np.partition(values, k - 1)[k - 1]) if k >= 1 else -math.inf


def describe(sent: Sequence[Values], service: Sequence[Values]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the figures of the fleet and of each machine, as plain JSON values.

    `sent` and `service` hold an array [n] of seconds for each machine, in the order of sending; at least one machine
    has a value. Unknown figures of a machine without services are None.
    """
    pooled = np.concatenate(list(service))
    limit = SLOW * median_of(pooled)
    medians = np.array([np.median(times) for times in service if len(times)])
    middle = median_of(medians)
    throughout = middle * min(THROUGHOUT, max(ALIKE, math.exp(STANDS_OUT * _spread(medians))))
    error = (1 - SURE) / len(service)
    found = [slow_periods(at, times > limit) for at, times in zip(sent, service, strict=True)]
    machines = [
        {
            "worker": worker,
            **_times(times),
            **_slow(periods),
            "times_the_middle": float(np.median(times)) / middle if len(times) else None,
            "slow_throughout": len(times) > 0 and median_surely_above(times, error) > throughout,
            "autocorrelation": autocorrelation(times),
        }
        for worker, (times, periods) in enumerate(zip(service, found, strict=True))
    ]
    together = SlowPeriods(
        float((pooled > limit).mean()),
        sum(periods.periods for periods in found),
        sum(periods.ended for periods in found),
        sum(periods.seconds for periods in found),
        any(periods.lasts for periods in found),
    )
    # The mean of the machines' autocorrelations, because differences between machines must not count.
    known = [machine["autocorrelation"] for machine in machines if machine["autocorrelation"] is not None]
    fleet = {
        **_times(pooled),
        "slow_above_s": limit,
        **_slow(together),
        "autocorrelation": float(np.mean(known)) if known else None,
    }
    return fleet, machines


def _spread(medians: Values) -> float:
    """Return the standard deviation of the medians' logarithms, estimated by the median absolute deviation."""
    logarithms = np.log(np.maximum(medians, np.finfo(np.float64).tiny))
    return 1.4826 * float(np.median(np.abs(logarithms - np.median(logarithms))))


def _times(times: Values) -> dict[str, Any]:
    known = len(times) > 0
    return {
        "count": len(times),
        "mean_s": float(times.mean()) if known else None,
        "p50_s": _observed(times, 0.5) if known else None,
        "p99_s": _observed(times, 0.99) if known else None,
        "quantiles_s": np.quantile(times, PROBABILITIES).tolist() if known else None,
    }


def _observed(times: Values, p: float) -> float:
    return float(np.quantile(times, p, method="inverted_cdf"))


def _slow(periods: SlowPeriods) -> dict[str, Any]:
    return {
        "slow_share": periods.share,
        "slow_periods": periods.periods,
        "slow_periods_ended": periods.ended,
        "slow_period_s": periods.mean,
        "slow_lasts": periods.lasts,
    }

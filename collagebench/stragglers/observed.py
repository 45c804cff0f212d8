"""What recorded service times say about the machines they come from.

A service is slow above twice the fleet's median. A slow period is a run of slow services of one machine, taken to begin
and to end halfway between the sending of the first or last slow one and that of its ordinary neighbour. One that was
running when the watch began or ended is censored: it lasted at least so long. The mean length is the total time of all
slow periods divided by how many of them were seen to end (by how many there were if none was): the maximum-likelihood
estimate for exponential lengths that are censored. Between two requests nothing is seen, so no length is known to
better than the time between them, and a slow service among ordinary ones counts as a period of about that time.

A machine is slow throughout if its median is surely above 1.5 times the median of the machines' medians: if the lower
end of its interval is, from order statistics (David and Nagaraja, "Order Statistics", 2003, section 7.1) at 99 %, with
Bonferroni's correction for the number of machines. That is less than what makes one service slow, because a machine
that shares its core with something else is about half as fast, and some of its services are not even that slow. In a
fleet of machines that are much alike 1.25 times is enough, if it stands out among them: if the logarithm of its median
is more than 4 standard deviations above the middle, as these are estimated from half of the machines (1.4826 times the
median absolute deviation; Rousseeuw and Croux, "Alternatives to the median absolute deviation", 1993).

Slow periods last if slow services follow on one another clearly more often than they would by chance: by three standard
deviations, and in runs of two or more on average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.stragglers.facts import PROBABILITIES
from collagebench.stragglers.fitting import SLOW, median_of

Values = NDArray[np.float64]

THROUGHOUT = 1.5
"""A machine is slow throughout if its median is above so many times that of the machine in the middle."""
ALIKE, STANDS_OUT = 1.25, 4.0
"""What is enough among machines that are alike, and how many standard deviations it must stand out by."""
SURE = 0.99
"""How sure that must be, of all machines together."""


@dataclass(frozen=True, slots=True)
class SlowPeriods:
    """The slow periods of one machine or of several."""

    share: float
    """Of all services, those that were slow."""
    periods: int
    ended: int
    """How many of them were seen to end; the others are censored."""
    seconds: float
    """How long they lasted together."""
    lasts: bool

    @property
    def mean(self) -> float | None:
        """Mean length in seconds; None where there was no slow period."""
        return self.seconds / max(self.ended, 1) if self.periods else None


def slow_periods(sent: Values, slow: NDArray[np.bool_]) -> SlowPeriods:
    """Find the slow periods of one machine: `sent` [n], rising, are seconds, `slow` [n] says which services were."""
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
    """Return the correlation of each value with the next, [n] in their order; None for fewer than 3, or equal ones."""
    if len(values) < 3:
        return None
    now, following = values[:-1] - values[:-1].mean(), values[1:] - values[1:].mean()
    scale = math.sqrt(float(np.dot(now, now)) * float(np.dot(following, following)))
    return float(np.dot(now, following)) / scale if scale > 0 else None


def median_surely_above(values: Values, error: float) -> float:
    """Return what the median of the distribution that `values` [n] come from is above, but for a chance of `error`.

    It is one of the values, the k-th smallest: k - 1 or fewer of n independent values are below the median with a
    chance of at most `error`, by the normal approximation. Where there are too few values it is -inf.
    """
    n = len(values)
    k = math.floor(n / 2 + NormalDist().inv_cdf(error) * math.sqrt(n) / 2)
    return float(np.partition(values, k - 1)[k - 1]) if k >= 1 else -math.inf


def describe(sent: Sequence[Values], service: Sequence[Values]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what is to be said of the fleet and of each machine, as plain JSON values.

    `sent` and `service` hold an array [n] of seconds for each machine, in the order of sending; together they hold one
    value at least. What cannot be known of a machine without a service is None.
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
    # Each machine's own mean taken out: how much of the last service the next one repeats, machines being as they are.
    known = [machine["autocorrelation"] for machine in machines if machine["autocorrelation"] is not None]
    fleet = {
        **_times(pooled),
        "slow_above_s": limit,
        **_slow(together),
        "autocorrelation": float(np.mean(known)) if known else None,
    }
    return fleet, machines


def _spread(medians: Values) -> float:
    """Return the standard deviation of the medians' logarithms, estimated from half of the machines."""
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

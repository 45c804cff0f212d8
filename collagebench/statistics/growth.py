"""Whether the queue was still growing at the end of a run: then latencies depend on the run's length.

For each run, take the mean number of open requests (arrived, not yet answered) in the last quarter of the arrival
period, and subtract that of the second quarter; the first quarter is the start-up. Below capacity the difference is
about 0. Above capacity it is about half the excess requests. Exactly at capacity, with Poisson arrivals and exponential
service, the number of open requests is a random walk whose variance grows by 2 with each arrival, and the difference of
the two quarter means has variance 2 n (1/4 + 1/12 + 1/12) = 5 n / 6 over n arrivals. The queue is called growing if the
mean difference over the runs exceeds 1.645 standard deviations of that walk: more than a fleet just at its capacity
shows by chance.

Arrivals in bursts make the walk longer. Of the 2 by which its variance grows, arrivals contribute 1, the index of
dispersion of a Poisson process. If the numbers of arrivals in the quarters of the runs differ more than those of a
Poisson process do (chi-squared test, 1 %), their own index I replaces it, and the variance is (I + 1) / 2 times as
large.

In simulation (10 workers, Poisson arrivals, service times exponential or from a fit of collage inference's latency
trace, 200 experiments each), 4 runs of 1,000 requests were called growing in 0 % of cases at load 0.7, 0.85 and 0.95, 6
to 12 % at 1.0, 52 to 60 % at 1.05, 94 to 98 % at 1.1 and always at 1.2; 2 runs of 150 in 0 % at 0.7, 49 to 52 % at 1.2
and 96 to 99 % at 1.5.

Bursts hide growth, and make some. With a log in periods of two seconds, one in five of which has 2.7 times its mean
rate, and 60 experiments each, 10 runs of 4,000 requests were called growing in 0 % of cases up to a mean load of 0.85,
5 to 10 % at 0.95 and 1.0, 80 % at 1.1 and always at 1.5; 10 runs of 1,000 in 0 % at 0.5, 2 % at 0.7, 12 % at 0.85, 25 %
at 1.0, 43 % at 1.1 and 88 % at 1.5. Runs shorter than a burst cannot show its index. If bursts exceed the capacity,
such runs end with a growing queue although the mean load is low: 10 runs of 250 in 3 % at 0.5 and 30 % at 0.7. Their
latencies do depend on their length, so that is no false alarm. Evenly spaced arrivals contribute 0 to the walk, but
count as 1: with them, 10 runs of 1,000 were called growing in 2 % of cases at 1.0 and always at 1.1.

Requests that only wait for the deadline of a lost reply are open, but in no queue. In a run shorter than the deadline
their number keeps growing at any load, so they are not counted during that wait (see `in_vain`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from collagebench.results.table import Table

Z = 1.645
Z_BURSTS = 2.326
QUARTERS = 4


def growing(requests: Table, in_vain: Mapping[int, NDArray[np.float64]] = {}) -> float | None:
    """Return the growth in open requests from the second to the last quarter, mean over runs, if it is significant.

    `requests` are those of one scheme, warm-up included. Failed requests have no end and are left out, and so are the
    times in `in_vain`, which `waits_in_vain` returns for each run.
    """
    differences, arrivals, counts = [], 0, []
    for run in np.unique(requests["run"]):
        mine = requests["run"] == run
        arrival, answered = requests["arrival"][mine], requests["answered"][mine]
        known = ~np.isnan(answered)
        counts.append(np.histogram(arrival, QUARTERS)[0])
        differences.append(growth(arrival[known], answered[known], in_vain.get(int(run))))
        arrivals += int(known.sum())
    if not differences:
        return None
    mean = float(np.mean(differences))
    variance = 5 / 6 * arrivals * (dispersion(counts) + 1) / 2
    return mean if mean > Z * math.sqrt(variance) / len(differences) else None


def dispersion(counts: Sequence[NDArray[np.int64]]) -> float:
    """Return the index of dispersion of arrivals, at least 1, and 1 unless it is significantly above that.

    `counts` holds the numbers of arrivals in equal parts of each run. Given their sum, those of a Poisson process are
    multinomial, and Pearson's statistic is chi-squared (its quantile: Wilson and Hilferty, PNAS 17, 1931).
    """
    squares = freedom = 0.0
    for some in counts:
        squares += float(((some - some.mean()) ** 2).sum() / some.mean())
        freedom += len(some) - 1
    least = freedom * (1 - 2 / (9 * freedom) + Z_BURSTS * math.sqrt(2 / (9 * freedom))) ** 3
    return squares / freedom if squares > least else 1.0


def growth(
    arrival: NDArray[np.float64], answered: NDArray[np.float64], in_vain: NDArray[np.float64] | None = None
) -> float:
    """Return the mean number of open requests in the last quarter of one run minus that in the second quarter.

    `in_vain` holds the beginnings and ends of the times in which some of them do not count.
    """
    if len(arrival) < 2:
        return 0.0
    quarter = float(np.ptp(arrival)) / 4
    start = float(arrival.min())
    second, last = (
        _mean_open(arrival, answered, begin, quarter)
        - (0.0 if in_vain is None else _mean_open(in_vain[0], in_vain[1], begin, quarter))
        for begin in (start + quarter, start + 3 * quarter)
    )
    return last - second


def _mean_open(arrival: NDArray[np.float64], answered: NDArray[np.float64], start: float, length: float) -> float:
    if length <= 0:
        return 0.0
    inside = np.minimum(answered, start + length) - np.maximum(arrival, start)
    return float(np.clip(inside, 0.0, None).sum()) / length

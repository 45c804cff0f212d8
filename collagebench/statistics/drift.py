"""Whether latency depends on when it was measured: in the course of a run, or on a cell's place in its run.

In the course of a run: the median of the first quarter of a run's requests (in order of arrival, warm-up left out)
against that of the rest, one pair for each run. On a cell's place: every run meets the schemes in a random order, so a
machine that warms up or tires makes late cells slower or faster, whatever their scheme. The logarithm of a cell's
median, less what its scheme and its run explain, is fitted by a line over the place. Both are reported if they are
significant at 1 % and larger than a tenth: there are two questions for each scheme, and none should be a false alarm.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.distributions import student_t_two_sided
from collagebench.statistics.latency import infinite_if_failed
from collagebench.statistics.paired import paired

LEVEL = 0.01
SIZE = 1.1
"""What is slower by less than this factor is not worth a warning."""
SHARE = 4
"""The first part of a run is one in so many requests."""
FEWEST_RUNS = 3
FEWEST_REQUESTS = 40
"""A run with fewer has no quarter to speak of."""


def within_runs(requests: Table) -> float | None:
    """Return the median latency of the first quarter of a scheme's runs / that of the rest; None where they agree."""
    counted = requests.where(~requests["warmup"])
    seconds = infinite_if_failed(counted)
    early, late = [], []
    for run in np.unique(counted["run"]):
        mine = np.flatnonzero(counted["run"] == run)
        if len(mine) < FEWEST_REQUESTS:
            return None
        mine = mine[np.argsort(counted["arrival"][mine], kind="stable")]
        early.append(float(np.median(seconds[mine[: len(mine) // SHARE]])))
        late.append(float(np.median(seconds[mine[len(mine) // SHARE :]])))
    found = paired(early, late) if len(early) >= FEWEST_RUNS else None
    if found is None or found.p > LEVEL or min(sum(early), sum(late)) <= 0:
        return None
    ratio = sum(early) / sum(late)
    return ratio if max(ratio, 1 / ratio) > SIZE else None


def over_places(run: Run) -> float | None:
    """Return how many times as slow the last cell of a run is as the first; None where the place does not matter."""
    schemes = [variant for variant in run.variants if len(run.of(variant).cells)]
    numbers = set.intersection(*(set(run.of(name).cells["run"].tolist()) for name in schemes)) if schemes else set()
    degrees = (len(schemes) - 1) * (len(numbers) - 1) - 1
    if len(numbers) < FEWEST_RUNS or degrees < 2:
        return None
    medians, orders = np.empty((2, len(schemes), len(numbers)))
    for row, name in enumerate(schemes):
        mine = run.of(name)
        seconds = infinite_if_failed(mine.requests)
        for column, number in enumerate(sorted(numbers)):
            counts = (mine.requests["run"] == number) & ~mine.requests["warmup"]
            medians[row, column] = np.median(seconds[counts]) if counts.any() else np.nan
            orders[row, column] = mine.cells["order"][mine.cells["run"] == number][0]
    if not np.isfinite(medians).all() or medians.min() <= 0:
        return None
    places = _alone(np.argsort(np.argsort(orders, axis=0), axis=0).astype(np.float64))
    latencies = _alone(np.log(medians))
    spread = float((places**2).sum())
    if spread <= 0:
        return None
    slope = float((places * latencies).sum()) / spread
    error = math.sqrt(max(0.0, float(((latencies - slope * places) ** 2).sum())) / degrees / spread)
    times = math.exp(slope * (len(schemes) - 1))
    if error == 0 or student_t_two_sided(slope / error, degrees) > LEVEL or max(times, 1 / times) <= SIZE:
        return None
    return times


def _alone(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [schemes, runs] less the mean of each scheme and of each run."""
    alone: NDArray[np.float64] = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return alone

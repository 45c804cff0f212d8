"""Drift: whether latency depends on the time within a run, or on a cell's place in its run.

Within a run, the median of the first quarter of the requests (in order of arrival, without the warm-up) is compared
with that of the rest, one pair for each run. As to the place: every run executes the schemes in a random order, so a
machine that warms up or slows down makes late cells faster or slower, whatever their scheme. A line over the place is
fitted to the logarithms of the cells' medians, after the effects of scheme and run are removed. Either is reported if
it is significant at 1 % and larger than a tenth; the level is low because many such tests are made, and false alarms
should be rare.
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
"""A smaller factor is not worth a warning."""
SHARE = 4
"""The first part of a run is one in this many requests."""
FEWEST_RUNS = 3
FEWEST_REQUESTS = 40
"""A quarter of a run with fewer requests is too small."""


def within_runs(requests: Table) -> float | None:
    """Return the median latency in the first quarter of a scheme's runs / that in the rest; None if they agree."""
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
    """Return the latency in the last place of a run / that in the first; None if the place does not matter."""
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
    """Remove the mean of each scheme and of each run from values [schemes, runs]."""
    alone: NDArray[np.float64] = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return alone

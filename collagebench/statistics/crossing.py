"""Crossings: where along an axis the better of two schemes changes, with a confidence interval.

At each value of the axis both schemes met the same runs, so every run gives a difference of their figures. A paired t
test over the runs gives a verdict: the first scheme is better, the second is, or neither is shown to be. If the
interval of the ratio of their figures contains 1, neither is, as in the report of an experiment.

Is there a crossing at all? One in twenty such tests is wrong, so among the initial values some verdicts may be due to
chance. Only a verdict there can be *firm*: if it holds after Bonferroni's correction over those values. There is a
crossing wherever a firm verdict is followed by the opposite one. Values that are looked at later, perhaps for the sake
of another pair, would be more tests than are corrected for. They only locate a crossing.

Where is it? Where the mean difference is zero, by linear interpolation. Its interval is from the last value up to which
all verdicts are the one, to the first from which on all are the other. At the true crossing the test is wrong in 5 % of
cases, so the interval contains the crossing in at least 95 %: this is inversion of a test (as in Fieller, "Some
problems in interval estimation", Journal of the Royal Statistical Society B 16, 1954, for a ratio). The difference may
have any shape, and may change its sign several times.

The values are chosen by bisection, until the ends of the intervals and the zeros of the mean difference are known to
within a tolerance. This module does not simulate: `wanted` returns the values to look at next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from collagebench.statistics.intervals import Interval
from collagebench.statistics.paired import LEVEL, paired

Between = Callable[[float, float], float | None]
"""Returns a value between two neighbours, or None if they are close enough."""


@dataclass(frozen=True, slots=True)
class Look:
    """Two schemes at one value of the axis."""

    difference: float
    """Mean over the runs of the first's figure minus the second's; infinite if only one of them has a figure."""
    low: float
    high: float
    """Ends of its 95 % interval."""
    p: float
    """Two-sided p value of the paired t test; NaN if nothing is known."""
    ratio: Interval | None = None
    """95 % interval of the first's figure / the second's, all runs together; None if unknown."""

    @property
    def known(self) -> bool:
        """Whether there is anything to compare."""
        return not math.isnan(self.p)

    @property
    def verdict(self) -> int:
        """-1 if the first is shown to be better (lower), 1 if the second is, 0 if neither."""
        below, above = (self.ratio[1] < 1, self.ratio[0] > 1) if self.ratio else (True, True)
        return -1 if self.high < 0 and below else 1 if self.low > 0 and above else 0

    def firm(self, tests: int) -> int:
        """Return the verdict if it holds after Bonferroni's correction for `tests` tests, else 0."""
        return self.verdict if self.p * tests <= LEVEL else 0


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the better of two schemes changes."""

    at: float
    low: float
    high: float
    before: int
    """The verdict before it: -1 if the first scheme is better there."""


def look(first: Sequence[float] | None, second: Sequence[float] | None, ratio: Interval | None = None) -> Look:
    """Compare two schemes by their figures of each run; None stands for a scheme that cannot sustain the load.

    `ratio` is the 95 % interval of the ratio of the figures of all runs together, if known.
    """
    if first is None or second is None:
        sign = (first is None) - (second is None)
        ends = (sign * math.inf, sign * math.inf, sign * math.inf) if sign else (0.0, -math.inf, math.inf)
        return Look(*ends, 0.0 if sign else math.nan)
    found = paired(first, second)
    if found is None:
        return Look(0.0, -math.inf, math.inf, math.nan)
    return Look(found.difference, *found.ci95, found.p, ratio)


def halfway(tolerance: float, log: bool = False, whole: bool = False) -> Between:
    """Return a function that halves intervals of an axis, down to `tolerance`; to whole numbers if `whole`.

    With `log` it takes the geometric mean, and the tolerance is a share of the lower neighbour.
    """

    def between(low: float, high: float) -> float | None:
        if high - low <= tolerance * (low if log else 1.0):
            return None
        middle = math.sqrt(low * high) if log else (low + high) / 2
        middle = float(round(middle)) if whole else middle
        return middle if low < middle < high else None

    return between


def crossings(looks: Mapping[float, Look], initial: Collection[float]) -> list[Crossing]:
    """Return the crossings, in ascending order; `initial` are the values that were looked at first."""
    found = []
    for low, high, before in _changes(looks, initial):
        zeros = _zeros(looks, low, high)
        at = zeros[len(zeros) // 2][0] if zeros else (low + high) / 2
        found.append(Crossing(at, low, high, before))
    return found


def wanted(looks: Mapping[float, Look], between: Between, initial: Collection[float]) -> list[float]:
    """Return the values to look at next, to locate each crossing and its interval more closely."""
    found: set[float | None] = set()
    values = sorted(looks)
    for low, high, _ in _changes(looks, initial):
        found.add(between(low, values[values.index(low) + 1]))
        found.add(between(values[values.index(high) - 1], high))
        found |= {between(left, right) for _, left, right in _zeros(looks, low, high)}
    return sorted(value for value in found if value is not None and value not in looks)


def firm(looks: Mapping[float, Look], initial: Collection[float]) -> list[tuple[float, int]]:
    """Return the initial values, ascending, at which one scheme is firmly better, and their firm verdicts."""
    verdicts = ((value, looks[value].firm(len(initial))) for value in sorted(initial))
    return [(value, verdict) for value, verdict in verdicts if verdict]


def _changes(looks: Mapping[float, Look], initial: Collection[float]) -> list[tuple[float, float, int]]:
    """Return for each crossing the ends of its interval and the verdict before it."""
    found = []
    for (low, before), (high, after) in pairwise(firm(looks, initial)):
        if before != after:
            values = [value for value in sorted(looks) if low <= value <= high]
            first = next(place for place, value in enumerate(values) if looks[value].verdict != before)
            last = next(place for place, value in enumerate(values[::-1]) if looks[value].verdict != after)
            found.append((values[first - 1], values[len(values) - last], before))
    return found


def _zeros(looks: Mapping[float, Look], low: float, high: float) -> list[tuple[float, float, float]]:
    """Return each zero of the mean difference between two values: its place and its two neighbours."""
    inside = [value for value in sorted(looks) if low <= value <= high]
    found = []
    for left, right in pairwise(inside):
        one, other = looks[left].difference, looks[right].difference
        if one == 0 or one * other < 0:
            share = one / (one - other) if one and math.isfinite(one) and math.isfinite(other) else 0.0
            place = left + share * (right - left) if math.isfinite(one) and math.isfinite(other) else (left + right) / 2
            found.append((place, left, right))
    return found

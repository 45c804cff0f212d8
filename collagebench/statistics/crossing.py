"""Where one scheme stops being better than another along an axis, and how sure that is.

At each value of the axis both schemes met the same runs, so that there is a difference of their figures for every run.
A paired t test (Student's, over the runs) says whether the one is better there, the other, or neither for sure. Read
along the axis, that is a row of verdicts; a crossing lies wherever one sure verdict is followed by the opposite one.
Its place is where the mean difference is zero, by linear interpolation; its interval reaches from the last value that
is surely before it to the first that is surely behind. As at the true crossing the test is wrong in 5 % of cases, the
interval holds it in 95 %: confidence by inversion of a test (as Fieller has it for a ratio: "Some problems in interval
estimation", Journal of the Royal Statistical Society B 16, 1954). What is gained by that: nothing is assumed of the
shape of the difference, and it may change its sign several times.

The values to look at are found by bisection: the ends of the intervals and the zero of the mean difference are brought
down to a tolerance. Nothing here simulates anything: `wanted` says which values are to be looked at next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from collagebench.statistics.paired import paired


@dataclass(frozen=True, slots=True)
class Look:
    """Two schemes at one value of the axis."""

    difference: float
    """Mean over the runs of the first's figure less the second's; infinite where only one of them has a figure."""
    low: float
    high: float
    """Ends of its 95 % interval."""

    @property
    def verdict(self) -> int:
        """-1: the first is surely better (lower), 1: the second, 0: neither."""
        return -1 if self.high < 0 else 1 if self.low > 0 else 0


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the better of two schemes changes."""

    at: float
    low: float
    high: float
    before: int
    """The verdict before it: -1 if the first scheme is better there."""


def look(first: Sequence[float] | None, second: Sequence[float] | None) -> Look:
    """Return the difference of two schemes' figures, run by run; None is a scheme that cannot bear the load."""
    if first is None or second is None:
        sign = (first is None) - (second is None)
        return Look(sign * math.inf, sign * math.inf, sign * math.inf) if sign else Look(0.0, -math.inf, math.inf)
    found = paired(first, second)
    if found is None:
        both = [one - other for one, other in zip(first, second, strict=True)]
        mean = sum(both) / len(both) if both else 0.0
        return Look(0.0 if math.isnan(mean) else mean, -math.inf, math.inf)
    return Look(found.difference, *found.ci95)


def crossings(looks: Mapping[float, Look]) -> list[Crossing]:
    """Return the crossings among the values that were looked at, in ascending order."""
    found = []
    for (low, before), (high, after) in pairwise(_sure(looks)):
        if before != after:
            zeros = _zeros(looks, low, high)
            at = zeros[len(zeros) // 2][0] if zeros else (low + high) / 2
            found.append(Crossing(at, low, high, before))
    return found


def wanted(looks: Mapping[float, Look], tolerance: float) -> list[float]:
    """Return the values to look at next so that each crossing and its interval are known to `tolerance`."""
    found: set[float] = set()
    values = sorted(looks)
    for (low, before), (high, after) in pairwise(_sure(looks)):
        if before == after:
            continue
        behind = values[values.index(low) + 1]
        ahead = values[values.index(high) - 1]
        brackets = [(low, behind), (ahead, high)]
        brackets += [(left, right) for _, left, right in _zeros(looks, low, high)]
        found |= {(left + right) / 2 for left, right in brackets if right - left > tolerance}
    return sorted(found - set(looks))


def throughout(looks: Mapping[float, Look]) -> int | None:
    """Return the one verdict that all sure values share, 0 if none is sure, None if they differ."""
    sure = {verdict for _, verdict in _sure(looks)}
    return None if len(sure) > 1 else sure.pop() if sure else 0


def _sure(looks: Mapping[float, Look]) -> list[tuple[float, int]]:
    return [(value, looks[value].verdict) for value in sorted(looks) if looks[value].verdict]


def _zeros(looks: Mapping[float, Look], low: float, high: float) -> list[tuple[float, float, float]]:
    """Return each zero of the mean difference between two values: where, and its neighbours that were looked at."""
    inside = [value for value in sorted(looks) if low <= value <= high]
    found = []
    for left, right in pairwise(inside):
        one, other = looks[left].difference, looks[right].difference
        if one == 0 or one * other < 0:
            share = one / (one - other) if one and math.isfinite(one) and math.isfinite(other) else 0.0
            place = left + share * (right - left) if math.isfinite(one) and math.isfinite(other) else (left + right) / 2
            found.append((place, left, right))
    return found

"""Two schemes that met the same runs: is one faster, or is the difference due to chance?

Every scheme meets the same arrivals, images and slowdowns in run r, so what they have in common cancels in the run's
difference d_r of one figure (p50, p99 or the mean). The runs are independent: Student's t over the d_r gives the
interval of the mean difference and the two-sided p value. Requests are never compared one by one, as they are not
independent inside a run. With several schemes against one baseline, some p values would be small by chance; Holm (1979)
corrects for that.

A significant difference may be too small to matter. So it is called real only if it is also larger than a minimum
effect that was stated beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collagebench.statistics.distributions import student_t_two_sided
from collagebench.statistics.intervals import Interval, half_width

LEVEL = 0.05
"""A p value up to this, after Holm's correction, is significant."""


@dataclass(frozen=True, slots=True)
class Paired:
    """The mean of paired differences."""

    difference: float
    ci95: Interval
    p: float
    """Two-sided; 1 if every difference is 0, and 0 if all are equal but not 0."""


def paired(own: Sequence[float], other: Sequence[float]) -> Paired | None:
    """Return the mean and t test of `own` minus `other`; None with fewer than 2 pairs or an infinite value."""
    if not all(math.isfinite(value) for value in (*own, *other)):
        return None
    differences = [one - two for one, two in zip(own, other, strict=True)]
    half = half_width(differences)
    if half is None:
        return None
    mean = math.fsum(differences) / len(differences)
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    t = mean / error if error else math.inf if mean else 0.0
    return Paired(mean, (mean - half, mean + half), student_t_two_sided(t, len(differences) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for multiple tests (Holm 1979), in the order given.

    The smallest of m is multiplied by m, the next by m - 1 and so on. None becomes smaller than the one before, or
    larger than 1.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected

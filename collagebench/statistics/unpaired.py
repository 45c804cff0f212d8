"""Two runs of one scheme, on other machines or another day: do their figures differ by more than chance?

Run r of the one need not have met the same arrivals and slowdowns as run r of the other, so the runs' figures are two
samples. The test is Welch's t test ("The generalization of Student's problem when several different population
variances are involved", Biometrika 34, 1947), with Satterthwaite's degrees of freedom, rounded down. If the runs did
match, it is conservative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from collagebench.statistics.distributions import student_t_two_sided


def unpaired(own: Sequence[float], other: Sequence[float]) -> float | None:
    """Return the two-sided p value of a difference of means; None with fewer than 2 runs each or an infinite value."""
    if min(len(own), len(other)) < 2 or not all(math.isfinite(value) for value in (*own, *other)):
        return None
    errors = [float(np.var(some, ddof=1)) / len(some) for some in (own, other)]
    apart = math.fsum(own) / len(own) - math.fsum(other) / len(other)
    if not sum(errors):
        return 0.0 if apart else 1.0
    shares = sum(error**2 / (len(some) - 1) for error, some in zip(errors, (own, other), strict=True))
    return student_t_two_sided(apart / math.sqrt(sum(errors)), max(1, int(sum(errors) ** 2 / shares)))

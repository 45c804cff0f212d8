"""How many runs it would take to show a difference that an experiment has measured, but not shown.

The answer supposes that the true difference is the measured one, and that an interval narrows with the square root of
the number of runs. The measured difference is itself uncertain, more so than the answer looks, so it is a plan for the
next experiment and says nothing about this one (Hoenig and Heisey, The American Statistician 55, 2001).
benchmarks/coverage.py prints how often the difference is shown after that many runs.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from collagebench.statistics.distributions import student_t_quantile
from collagebench.statistics.intervals import Interval
from collagebench.statistics.paired import LEVEL

POWER = 0.8
"""The chance that a difference as large as the measured one is shown after that many runs."""
FEWEST = 5
"""From fewer runs nothing is said: their spread is too uncertain, and mostly comes out too small where it is said."""
AT_MOST = 20
"""More than so many times the runs there are is not said: what they have measured is too uncertain for that."""
MARGIN = NormalDist().inv_cdf(POWER)
"""Standard errors by which the expected value must exceed what is required, so that it does so with that chance."""


def runs_needed(
    difference: float, ci95: Interval, ratio: float, ratio_ci95: Interval, runs: int, tests: int, minimum: float
) -> int | None:
    """Return the number of runs after which a difference between two schemes will probably be called real.

    Args:
        difference: the mean of the paired differences over the runs, in seconds.
        ci95: its 95 % interval.
        ratio: of the pooled figures.
        ratio_ci95: its 95 % interval; both ends are above 0 and finite.
        runs: the number of runs that were measured.
        tests: the number of tests among which Holm's correction would have to find this one.
        minimum: the minimum effect, as a share of the lower figure.

    Returns None if there are fewer than FEWEST runs, or if no number up to AT_MOST times as many is enough: the
    difference is too small, or its sign is not the same for both measures.
    """
    if runs < FEWEST or difference == 0 or (ratio > 1) != (difference > 0):
        return None
    now = student_t_quantile(0.975, runs - 1)
    size, large = abs(difference), abs(math.log(ratio))
    near = ratio_ci95[0] if ratio > 1 else ratio_ci95[1]
    # Standard errors of a single run; the runs' mean has that of one run / sqrt(their number).
    error = (ci95[1] - ci95[0]) / 2 / now * math.sqrt(runs)
    of_ratio = abs(math.log(ratio / near)) / now * math.sqrt(runs)

    def enough(count: int) -> bool:
        root = math.sqrt(count)
        significant = size >= (student_t_quantile(1 - LEVEL / tests / 2, count - 1) + MARGIN) * error / root
        apart = large >= (student_t_quantile(0.975, count - 1) + MARGIN) * of_ratio / root
        return significant and apart and large >= math.log1p(minimum) + MARGIN * of_ratio / root

    low, high = runs, AT_MOST * runs
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return _rounded_up(high)


def _rounded_up(count: int) -> int:
    """Return a number with two significant digits that is not smaller."""
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step

"""Running percentiles: order statistics of the last values, by exact ranks."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from collagebench.schemes.percentile import RunningPercentile


@pytest.mark.parametrize("p", [*range(1, 100), 99.9, 99.5, 2.5])
def test_the_rank_is_the_smallest_that_reaches_the_share(p: float) -> None:
    """Of 1 to n, the p-th percentile is the smallest whole number that is at least p % of n, for every n."""
    percentile = RunningPercentile(p)
    for n in range(1, 1001):
        percentile.add(float(n))
        if n >= 20:
            assert percentile.value == ceil(Fraction(str(p)) / 100 * n), n


def test_only_the_last_thousand_count() -> None:
    """Of a thousand slow values the p99 is left while eleven of them are among the last thousand, and no longer."""
    percentile = RunningPercentile(99)
    for _ in range(1000):
        percentile.add(10.0)
    for _ in range(989):
        percentile.add(1.0)
    assert percentile.value == 10.0
    percentile.add(1.0)
    assert percentile.value == 1.0
    for _ in range(10):
        percentile.add(1.0)
    assert percentile.lowest(1000) == 1.0

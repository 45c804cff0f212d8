"""Intervals from runs and for shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.statistics.intervals import Z95, around, around_ratio, half_width, wilson


def test_half_width_of_known_runs():
    """Runs of 1, 2, 3: t(0.975, 2) times their deviation of 1 over the root of 3."""
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302652729749462 / math.sqrt(3))


@pytest.mark.parametrize("by_run", [[], [1.0], [1.0, math.inf]])
def test_no_interval_without_scatter(by_run):
    """Fewer than two runs, or one with an infinite quantile, give none."""
    assert half_width(by_run) is None
    assert around(1.0, by_run) is None


def test_interval_is_centred_on_the_pooled_quantile_and_above_zero():
    """The centre is the pooled quantile, not the runs' mean; a latency below 0 is not offered."""
    low, high = around(10.0, [1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(10.0)
    assert around(0.1, [1.0, 2.0, 3.0])[0] == 0.0
    assert around(math.inf, [1.0, 2.0]) is None


def test_interval_of_a_ratio_is_symmetric_in_its_logarithm():
    """Ratios of e, 1 and 1/e in three runs: t(0.975, 2) / sqrt(3) up and down from the pooled one, as a factor."""
    low, high = around_ratio(2.0, [math.e, 1.0, 1.0], [1.0, 1.0, math.e])
    assert math.log(high / 2.0) == pytest.approx(4.302652729749462 / math.sqrt(3))
    assert math.log(low / 2.0) == pytest.approx(-4.302652729749462 / math.sqrt(3))


def test_a_ratio_that_may_be_any_has_an_interval_with_finite_ends():
    """Two runs that differ beyond all measure leave both ends positive, so that either scheme may be the baseline."""
    low, high = around_ratio(1.0, [1e-60, 1e60], [1.0, 1.0])
    assert 0 < low < 1e-200
    assert 1e200 < high < math.inf
    assert (1 / high, 1 / low) == pytest.approx((low, high))


def test_no_interval_of_a_ratio_without_scatter():
    """One run gives none, nor does a latency of 0 or one without end."""
    assert around_ratio(1.0, [1.0], [1.0]) is None
    assert around_ratio(1.0, [1.0, 0.0], [1.0, 1.0]) is None
    assert around_ratio(1.0, [1.0, 1.0], [1.0, math.inf]) is None
    assert around_ratio(math.inf, [1.0, 2.0], [1.0, 1.0]) is None


def test_interval_covers_what_it_promises():
    """Of 400 experiments of 10 runs with an effect of their own each, 92 to 98 % cover the true median."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        runs = rng.normal(1.0, 0.1, size=(10, 1)) + rng.normal(0, 0.2, size=(10, 101))
        low, high = around(float(np.median(runs)), np.median(runs, axis=1).tolist())
        covered += low <= 1.0 <= high
    assert 0.92 <= covered / 400 <= 0.98


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_where_the_score_test_just_rejects(counts):
    """Its ends are the shares p with (share - p)^2 = z^2 p (1 - p) / n, around the observed share."""
    successes, trials = counts
    low, high = wilson(successes, trials)
    share = successes / trials
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(Z95**2 * end * (1 - end) / trials, rel=1e-6, abs=1e-12)


def test_wilson_of_known_counts():
    """9 of 10: 0.5958 to 0.9821; nothing tried gives nothing."""
    assert wilson(9, 10) == pytest.approx((0.5958499732047615, 0.9821237869049271))
    assert wilson(0, 0) is None

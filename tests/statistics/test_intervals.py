"""Intervals from several runs, of ratios and of shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.statistics.intervals import (
    Z95,
    around_ratio,
    half_width,
    lower_quantile,
    of_ratio,
    of_share,
    slower_share,
    wilson,
)


def test_half_width_of_known_runs():
    """For runs of 1, 2 and 3 the half width is t(0.975, 2) times the deviation of 1 over the root of 3."""
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302652729749462 / math.sqrt(3))


@pytest.mark.parametrize("by_run", [[], [1.0], [1.0, math.inf]])
def test_no_interval_without_scatter(by_run):
    """Fewer than two runs, or a run with an infinite quantile, give no interval."""
    assert half_width(by_run) is None


def test_interval_of_a_ratio_is_symmetric_in_its_logarithm():
    """The interval of a ratio is the same factor up and down: exp(t(0.975, 2) / sqrt(3)) for logarithms of 1, 0, -1."""
    low, high = around_ratio(2.0, [math.e, 1.0, 1.0], [1.0, 1.0, math.e])
    assert math.log(high / 2.0) == pytest.approx(4.302652729749462 / math.sqrt(3))
    assert math.log(low / 2.0) == pytest.approx(-4.302652729749462 / math.sqrt(3))


def test_a_ratio_that_may_be_any_has_an_interval_with_finite_ends():
    """Two runs that differ enormously leave both ends positive and finite, so either scheme can be the baseline."""
    low, high = around_ratio(1.0, [1e-60, 1e60], [1.0, 1.0])
    assert 0 < low < 1e-200
    assert 1e200 < high < math.inf
    assert (1 / high, 1 / low) == pytest.approx((low, high))


def test_no_interval_of_a_ratio_without_scatter():
    """A single run, a latency of 0 and an infinite one give no interval of a ratio."""
    assert around_ratio(1.0, [1.0], [1.0]) is None
    assert around_ratio(1.0, [1.0, 0.0], [1.0, 1.0]) is None
    assert around_ratio(1.0, [1.0, 1.0], [1.0, math.inf]) is None
    assert around_ratio(math.inf, [1.0, 2.0], [1.0, 1.0]) is None


def test_interval_covers_what_it_promises():
    """Of 400 experiments of 10 runs whose shares vary, 92 to 98 % have an interval that covers the true share."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        right = rng.binomial(100, rng.beta(24, 6, 10)) / 100
        low, high = of_share(float(right.mean()), right.tolist(), [100] * 10, 1000)
        covered += low <= 0.8 <= high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("most", [50, 600])
def test_a_share_is_not_known_better_than_from_as_many_requests_as_are_known(most):
    """If all runs have one share, the limits are those of Clopper and Pearson for `most` requests, up to 0 and 1."""
    runs, sizes = [0.9, 0.9, 0.9], [200] * 3
    low, high = of_share(0.9, runs, sizes, most)
    right = round(0.9 * most)
    assert at_least(right, most, low) == pytest.approx(0.025, rel=1e-6)
    assert 1 - at_least(right + 1, most, high) == pytest.approx(0.025, rel=1e-6)
    assert of_share(1.0, [1.0] * 3, sizes, most) == (pytest.approx(0.025 ** (1 / most)), 1.0)
    assert of_share(0.0, [0.0] * 3, sizes, most) == (0.0, pytest.approx(1 - 0.025 ** (1 / most)))
    assert of_share(0.9, [0.9], [200], most) is None


def at_least(successes, trials, share):
    """Return the probability of at least `successes` in so many trials, each with probability `share`."""
    chances = (math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(successes, trials + 1))
    return math.fsum(chances)


def test_share_that_may_be_slower_by_how_unlike_runs_are():
    """If t times the error of the runs' mean equals that of 50 independent requests, the limits are those of 50."""
    apart = np.array([-3.0, -1.0, 1.0, 3.0])
    error = Z95 * math.sqrt(0.1 * 0.9 / 50) / 3.182446305284263  # of the mean of four runs
    above = 0.1 + apart * error * 2 / np.std(apart, ddof=1)
    least, most = slower_share(0.9, above.tolist(), [0.5] * 4, [1000] * 4)
    assert at_least(5, 50, least) == pytest.approx(0.025, rel=1e-6)
    assert 1 - at_least(6, 50, most) == pytest.approx(0.025, rel=1e-6)
    assert slower_share(0.9, [0.1], [0.5], [1000]) is None


def test_a_lower_quantile_that_varies_more_widens_the_interval():
    """With p90 worth 80 independent requests and the median worth 20, the limits of p90 are those of 40."""
    apart = np.array([-3.0, -1.0, 1.0, 3.0])
    shares = [
        (share + apart * Z95 * math.sqrt(share * (1 - share) / worth) / 3.182446305284263 * 2 / np.std(apart, ddof=1))
        for share, worth in ((0.1, 80), (0.5, 20))
    ]
    least, most = slower_share(0.9, shares[0].tolist(), shares[1].tolist(), [1000] * 4)
    assert at_least(4, 40, least) == pytest.approx(0.025, rel=1e-6)
    assert 1 - at_least(5, 40, most) == pytest.approx(0.025, rel=1e-6)


def test_the_lower_quantile_has_five_times_as_many_requests_above_it():
    """It is p95 for p99, p99.5 for p99.9 and the median for p90; from the median on, it is the quantile itself."""
    given = (0.999, 0.99, 0.95, 0.9, 0.5, 0.25)
    assert [lower_quantile(q) for q in given] == pytest.approx([0.995, 0.95, 0.75, 0.5, 0.5, 0.25])


def test_longer_runs_weigh_more():
    """A run of 2,000 requests weighs as much as two of 1,000, and cutting it into two makes the interval narrower."""
    above = [0.4, 0.5, 0.6]
    least, most = slower_share(0.5, above, above, [2000, 1000, 1000])
    parts = [weight * (share - 0.475) for weight, share in zip((0.5, 0.25, 0.25), above, strict=True)]
    half = 4.302652729749462 * math.sqrt(1.5 * sum(part**2 for part in parts))
    assert (most - least) / 2 == pytest.approx(half, rel=0.2)
    cut = slower_share(0.5, [0.4, *above], [0.4, *above], [1000] * 4)
    assert cut[1] - cut[0] < most - least


def test_runs_that_are_alike_are_worth_no_more_than_their_requests():
    """Runs with equal shares give the limits of order statistics for as many independent requests."""
    least, most = slower_share(0.5, [0.5] * 10, [0.5] * 10, [10] * 10)
    assert at_least(50, 100, least) == pytest.approx(0.025, rel=1e-6)
    assert most == pytest.approx(1 - least)


def test_a_share_never_reaches_none_or_all():
    """However different two runs are, both limits of the share stay strictly between 0 and 1."""
    for q in (0.01, 0.5, 0.99):
        least, most = slower_share(q, [1.0, 0.0], [1.0, 0.0], [100, 100])
        assert 0 < least < 1 - q < most < 1


def test_a_ratio_of_what_has_nothing_in_common():
    """Uncorrelated values with ends at half and twice give a ratio with ends at exp(sqrt(2) log 2) down and up."""
    low, high = of_ratio((2.0, (1.0, 4.0)), (1.0, (0.5, 2.0)), 0.0, [2.0])
    assert (math.log(low / 2), math.log(high / 2)) == pytest.approx(
        (-math.sqrt(2) * math.log(2), math.sqrt(2) * math.log(2))
    )
    assert of_ratio((2.0, (1.0, 4.0)), (1.0, (0.5, 2.0)), -0.5, [2.0]) == pytest.approx((low, high))


def test_a_ratio_of_what_goes_together_is_that_along_both_tails():
    """For fully correlated values the interval spans the ratios along both tails."""
    own, other = (2.0, (1.0, 4.0)), (1.0, (0.5, 2.0))
    assert of_ratio(own, other, 1.0, [2.0, 2.0]) == pytest.approx((2.0, 2.0))
    assert of_ratio(own, other, 1.0, [1.5, 3.0]) == pytest.approx((1.5, 3.0))


@given(
    *(st.tuples(st.floats(0.01, 10), st.floats(1, 5), st.floats(1, 5)) for _ in range(2)),
    st.floats(-1, 1),
    st.lists(st.floats(0.01, 100), min_size=1),
)
def test_a_ratio_the_other_way_round_has_the_inverse_interval(one, two, alike, along):
    """Exchanging the two values inverts the interval, and the ratio lies in its interval."""
    own, other = ((value, (value / down, value * up)) for value, down, up in (one, two))
    low, high = of_ratio(own, other, alike, along)
    assert low <= own[0] / other[0] * (1 + 1e-9)
    assert high >= own[0] / other[0] * (1 - 1e-9)
    assert of_ratio(other, own, alike, [1 / value for value in along]) == pytest.approx((1 / high, 1 / low))


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_what_may_be_nothing_or_without_end_leaves_one_end_of_a_ratio(alike):
    """A value that may be 0 or infinite leaves the ratio unbounded on one side, and the other end unchanged."""
    some = (1.0, (0.5, 2.0))
    low, high = of_ratio(some, some, alike, [1.0])
    assert of_ratio((1.0, (0.0, 2.0)), some, alike, [1.0]) == pytest.approx((0.0, high))
    assert of_ratio((1.0, (0.5, math.inf)), some, alike, [1.0]) == pytest.approx((low, math.inf))
    assert of_ratio(some, (1.0, (0.0, 2.0)), alike, [1.0]) == pytest.approx((low, math.inf))
    assert of_ratio(some, (1.0, (0.5, math.inf)), alike, [1.0]) == pytest.approx((0.0, high))
    assert of_ratio((1.0, (1e-300, 1e300)), (1.0, (1e-300, 1e300)), 0.0, [1.0]) == (0.0, math.inf)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_where_the_score_test_just_rejects(counts):
    """The ends are the shares p with (share - p)^2 = z^2 p (1 - p) / n, around the observed share."""
    successes, trials = counts
    low, high = wilson(successes, trials)
    share = successes / trials
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(Z95**2 * end * (1 - end) / trials, rel=1e-6, abs=1e-12)


def test_wilson_of_known_counts():
    """9 of 10 give 0.5958 to 0.9821; 0 of 0 give no interval."""
    assert wilson(9, 10) == pytest.approx((0.5958499732047615, 0.9821237869049271))
    assert wilson(0, 0) is None

"""Quantiles: the observed ones, and how sample size bounds the true ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.statistics.quantiles import QUANTILES, lower_bound, quantile, rank, requests_needed, upper_bound


@given(
    st.lists(st.one_of(st.floats(0, 1e6), st.just(math.inf)), min_size=1, max_size=400),
    st.sampled_from([0.01, 0.07, 0.29, 0.5, 0.9, 0.95, 0.99, 0.999]),
)
def test_quantile_is_the_smallest_value_that_enough_do_not_exceed(values, q):
    """A quantile is the smallest observed value that at least a share q of all values does not exceed."""
    found = quantile(np.sort(np.array(values)), q)
    assert found in values
    enough = [value for value in values if sum(other <= value for other in values) >= round(q * len(values), 9)]
    assert found == min(enough)


@given(st.integers(1, 5000), st.sampled_from([0.07, 0.5, 0.9, 0.95, 0.99, 0.999]))
def test_rank_is_exact(count, q):
    """The rank is ceil(q n) in exact arithmetic, where floating point would round 0.07 * 100 up to one too many."""
    thousandths = round(q * 1000)
    assert rank(count, q) == -(-thousandths * count // 1000)


def test_finite_quantiles_are_numpy_s():
    """Without failures a quantile equals NumPy's with the method `inverted_cdf`."""
    values = np.sort(np.random.default_rng(1).lognormal(size=1237))
    for q in QUANTILES.values():
        assert quantile(values, q) == np.quantile(values, q, method="inverted_cdf")


def test_failures_move_the_quantile_to_infinity():
    """With 2 of 100 requests failed the p99 is infinite and the p95 is not."""
    values = np.array([0.1] * 98 + [math.inf] * 2)
    assert quantile(values, 0.99) == math.inf
    assert quantile(values, 0.95) == 0.1


def test_requests_an_upper_bound_needs():
    """368 requests bound p99 from above and 3,688 bound p99.9; one fewer does not."""
    assert [requests_needed(q) for q in (0.5, 0.9, 0.95, 0.99, 0.999)] == [6, 36, 72, 368, 3688]
    for q in QUANTILES.values():
        n = requests_needed(q)
        assert 1 - q**n >= 0.975
        assert 1 - q ** (n - 1) < 0.975


def test_lower_bound_holds_as_often_as_promised():
    """Of 2,000 samples of 200, at most 3.5 % have a lower bound above the true p99."""
    rng = np.random.default_rng(5)
    truth = -math.log(0.01)
    bounds = [lower_bound(np.sort(rng.exponential(size=200)), 0.99) for _ in range(2000)]
    above = sum(bound > truth for bound in bounds if bound is not None) / len(bounds)
    assert len(bounds) == 2000
    assert above <= 0.035


def test_lower_bound_of_a_known_sample():
    """The median of 20 values is bounded by the 6th, as P(Binomial(20, 1/2) >= 6) is 0.979; that of 5 is not."""
    assert lower_bound(np.arange(1.0, 21.0), 0.5) == 6.0
    assert lower_bound(np.arange(1.0, 6.0), 0.5) is None


@pytest.mark.parametrize("count", [1, 2, 367, 368, 1000])
def test_lower_bound_is_not_above_the_observed_quantile(count):
    """A lower bound is never above the observed quantile."""
    values = np.arange(float(count))
    bound = lower_bound(values, 0.99)
    assert bound is None or bound <= quantile(values, 0.99)


def test_upper_bound_of_a_known_sample():
    """The median of 20 values is bounded by the 15th, as P(Binomial(20, 1/2) >= 15) is 0.021; that of 5 is not."""
    assert upper_bound(np.arange(1.0, 21.0), 0.5) == 15.0
    assert upper_bound(np.arange(1.0, 6.0), 0.5) is None


def test_upper_bound_exists_from_the_requests_it_needs():
    """368 values bound p99 from above by their largest; 367 do not."""
    assert upper_bound(np.arange(368.0), 0.99) == 367.0
    assert upper_bound(np.arange(367.0), 0.99) is None


def test_interval_of_order_statistics_covers_independent_values():
    """Of 1,000 samples of 2,000 independent values, 94 to 98.5 % have the true p99 between their bounds."""
    rng = np.random.default_rng(6)
    truth = -math.log(0.01)
    samples = [np.sort(rng.exponential(size=2000)) for _ in range(1000)]
    covered = sum(lower_bound(values, 0.99) <= truth <= upper_bound(values, 0.99) for values in samples)
    assert 0.94 <= covered / 1000 <= 0.985

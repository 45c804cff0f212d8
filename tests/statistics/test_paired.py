"""Paired differences: the t test and Holm's correction."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.statistics.paired import holm, paired

seconds = st.floats(0, 1e3)
pairs = st.lists(st.tuples(seconds, seconds), min_size=2, max_size=20)
p_values = st.lists(st.floats(0, 1), max_size=12)


def test_t_test_of_known_pairs():
    """Differences of 1, 2 and 3: mean 2, half width 4.3027 / sqrt 3, and t = 2 sqrt 3 with two degrees of freedom."""
    found = paired([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    t = 2 * math.sqrt(3)
    assert found.difference == pytest.approx(2.0)
    assert found.ci95 == pytest.approx((2 - 4.302652729749462 / math.sqrt(3), 2 + 4.302652729749462 / math.sqrt(3)))
    assert found.p == pytest.approx(1 - t / math.sqrt(t * t + 2))  # the distribution of t with two degrees of freedom


def test_pairing_takes_out_what_both_share():
    """Runs that differ by up to 10 s among themselves still show a constant difference of 0.1 s."""
    own, other = [1.0, 5.0, 11.0, 7.0], [1.11, 5.10, 11.09, 7.10]
    found = paired(own, other)
    assert found.difference == pytest.approx(-0.1)
    assert found.p < 0.001
    assert found.ci95[1] < 0


def test_equal_differences_are_certain():
    """If every run shows exactly the same difference, p is 0; if all differences are 0, p is 1."""
    assert paired([2.0, 3.0], [1.0, 2.0]).p == 0.0
    assert paired([2.0, 3.0], [2.0, 3.0]).p == 1.0


@pytest.mark.parametrize(("own", "other"), [([], []), ([1.0], [2.0]), ([1.0, math.inf], [1.0, 2.0])])
def test_no_test_without_pairs(own, other):
    """Fewer than two pairs, or an infinite value, give no test."""
    assert paired(own, other) is None


@given(pairs)
def test_swapping_flips_the_sign(values):
    """Exchanging the two sides flips the sign of difference and interval, and keeps p."""
    own, other = zip(*values, strict=True)
    one, two = paired(own, other), paired(other, own)
    assert one.difference == -two.difference
    assert one.ci95 == (-two.ci95[1], -two.ci95[0])
    assert one.p == two.p


@given(st.lists(seconds, min_size=2, max_size=20))
def test_a_scheme_does_not_differ_from_itself(values):
    """Identical runs have the difference 0, an interval of no width, and p = 1."""
    found = paired(values, values)
    assert (found.difference, found.ci95, found.p) == (0.0, (0.0, 0.0), 1.0)


@given(pairs)
def test_interval_and_test_agree(values):
    """The interval contains the mean difference, and excludes 0 exactly if p is below 5 %."""
    found = paired(*zip(*values, strict=True))
    assert found.ci95[0] <= found.difference <= found.ci95[1]
    assert 0 <= found.p <= 1
    if abs(found.p - 0.05) > 1e-9:
        assert (found.p < 0.05) == (found.ci95[0] > 0 or found.ci95[1] < 0)


def test_holm_of_known_values():
    """The smallest of four p-values is multiplied by four, and none falls below the one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(p_values)
def test_holm_only_raises_and_keeps_the_order(values):
    """A corrected value is not below its own, not above its Bonferroni value or 1, and keeps its order."""
    found = holm(values)
    for value, corrected in zip(values, found, strict=True):
        assert value <= corrected <= min(1.0, len(values) * value)
    ranked = [corrected for _, corrected in sorted(zip(values, found, strict=True))]
    assert ranked == sorted(ranked)

"""Student's t and the binomial against reference values (computed with SciPy 1.x)."""

from __future__ import annotations

import math

import pytest

from collagebench.statistics.distributions import (
    binomial_at_least,
    incomplete_beta,
    student_t_quantile,
    student_t_two_sided,
)


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.975, 1, 12.706204736174694),
        (0.975, 2, 4.302652729749462),
        (0.975, 4, 2.7764451051977934),
        (0.975, 9, 2.2621571627982044),
        (0.975, 29, 2.045229642132703),
        (0.975, 1000, 1.9623390808264074),
        (0.95, 3, 2.3533634348018233),
        (0.995, 9, 3.2498355415921254),
        (0.5, 7, 0.0),
    ],
)
def test_quantiles_of_student_t(probability, degrees, expected):
    """Student's quantiles agree with the reference to 1e-9."""
    assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("probability", "degrees"), [(0.4, 3), (1.0, 3), (0.975, 0)])
def test_no_quantile_outside_the_range(probability, degrees):
    """A probability or degrees of freedom out of range are refused."""
    with pytest.raises(ValueError, match="no t quantile"):
        student_t_quantile(probability, degrees)


@pytest.mark.parametrize(
    ("a", "b", "x", "expected"),
    [
        (2, 3, 0.4, 0.5248),
        (0.5, 0.5, 0.1, 2 / math.pi * math.asin(math.sqrt(0.1))),
        (1, 1, 0.3, 0.3),
        (5, 2, 0.0, 0.0),
        (5, 2, 1.0, 1.0),
    ],
)
def test_incomplete_beta_in_closed_form(a, b, x, expected):
    """The incomplete beta function agrees with polynomials and the arcsine distribution."""
    assert incomplete_beta(a, b, x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("trials", "probability"), [(1, 0.5), (7, 0.3), (60, 0.99), (200, 0.5)])
def test_binomial_tail_is_the_sum_of_its_terms(trials, probability):
    """P(X >= k) equals the sum written out, for every k."""
    terms = [math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k) for k in range(trials + 1)]
    for k in range(-1, trials + 2):
        expected = 1.0 if k <= 0 else math.fsum(terms[k:])
        assert binomial_at_least(k, trials, probability) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("degrees", [1, 2, 9, 29, 1000])
def test_two_sided_t_in_the_tails(degrees):
    """The two-sided p-value agrees with SciPy from the middle to the far tails, for either sign of t."""
    stats = pytest.importorskip("scipy.stats", reason="needs the test extra")
    for t in (0.0, 1e-6, 0.5, 1.0, 2.262, 10.0, 300.0):
        expected = 2 * stats.t.sf(t, degrees)
        assert student_t_two_sided(t, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-300)
        assert student_t_two_sided(-t, degrees) == student_t_two_sided(t, degrees)


def test_quantile_and_tail_are_inverse():
    """Beyond the 97.5 % quantile, on both sides together, lie 5 %."""
    for degrees in (1, 2, 9, 100):
        assert student_t_two_sided(student_t_quantile(0.975, degrees), degrees) == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize(("t", "degrees"), [(math.nan, 3), (1.0, 0)])
def test_no_t_test_of_nothing(t, degrees):
    """A t that is not a number, and a test without degrees of freedom, are refused; an infinite t has p = 0."""
    assert student_t_two_sided(math.inf, 3) == 0.0
    with pytest.raises(ValueError, match="no t test"):
        student_t_two_sided(t, degrees)


@pytest.mark.parametrize("trials", [10_000, 1_000_000, 10_000_000])
def test_binomial_tail_of_many_trials(trials):
    """With up to ten million trials the tail agrees with SciPy to 1e-6, near the middle and far out."""
    stats = pytest.importorskip("scipy.stats", reason="needs the test extra")
    for probability in (0.5, 0.99):
        middle, deviation = trials * probability, math.sqrt(trials * probability * (1 - probability))
        for successes in (int(middle + z * deviation) for z in (-3, -1, 0, 1, 3, 6)):
            expected = stats.binom.sf(successes - 1, trials, probability)
            assert binomial_at_least(successes, trials, probability) == pytest.approx(expected, rel=1e-6)

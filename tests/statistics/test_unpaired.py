"""Welch's t test: known values, and samples that cannot be tested."""

from __future__ import annotations

import math

import numpy as np
import pytest

from collagebench.statistics.unpaired import unpaired


def test_a_worked_example():
    """For samples of different sizes and variances, the p-value is that of the density integrated numerically."""
    own, other = [3.0, 4.0, 1.0, 2.1, 5.5], [4.9, 8.1, 2.0, 6.5, 1.0, 9.0]
    one, two = (float(np.var(some, ddof=1)) / len(some) for some in (own, other))
    t = (np.mean(own) - np.mean(other)) / math.sqrt(one + two)
    degrees = (one + two) ** 2 / (one**2 / 4 + two**2 / 5)
    assert 7 <= degrees < 8
    # Student's density with 7 degrees of freedom, integrated beyond t by the midpoint rule.
    x = np.linspace(abs(t), 400.0, 2_000_001)
    middle = (x[1:] + x[:-1]) / 2
    density = math.gamma(4) / math.sqrt(7 * math.pi) / math.gamma(3.5) * (1 + middle**2 / 7) ** -4
    assert unpaired(own, other) == pytest.approx(2 * float((density * np.diff(x)).sum()), rel=1e-4)


def test_equal_samples_and_constant_ones():
    """Equal samples have p = 1; without any scatter every difference has p = 0."""
    assert unpaired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert unpaired([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert unpaired([1.0, 1.0], [2.0, 2.0]) == 0.0


def test_it_errs_in_one_of_twenty():
    """Samples of one distribution are told apart in at most 5 % of cases, plus 4.5 standard errors."""
    generator = np.random.default_rng(5)
    found = [unpaired(generator.lognormal(0, 0.5, 10), generator.lognormal(0, 0.5, 10)) for _ in range(2000)]
    share = np.mean([p is not None and p <= 0.05 for p in found])
    assert share <= 0.05 + 4.5 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize("own", [[1.0], [], [1.0, math.inf]])
def test_what_cannot_be_tested(own):
    """A single run, no run, or a run with an infinite figure gives no test."""
    assert unpaired(own, [1.0, 2.0]) is None

"""Every family draws what its closed form says; the references are SciPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from straggler_samples import MILLION, PROBABILITIES, drawn, levels, standard_errors

from collagebench.stragglers.families import (
    LEAST,
    Bimodal,
    Distribution,
    Empirical,
    Lognormal,
    Pareto,
    ShiftedExponential,
)
from collagebench.stragglers.quantiles import Quantiles

CONTINUOUS: list[tuple[Distribution, Any]] = [
    (ShiftedExponential(0.1, 0.1), stats.expon(0.1, 0.1)),
    (ShiftedExponential(0.0, 2.0), stats.expon(0.0, 2.0)),
    (Pareto(0.1, 1.5), stats.pareto(1.5, scale=0.1)),
    (Pareto(2.0, 3.5), stats.pareto(3.5, scale=2.0)),
    (Lognormal(0.1, 0.5), stats.lognorm(0.5, scale=0.1)),
    (Lognormal(3.0, 1.5), stats.lognorm(1.5, scale=3.0)),
]
ALL: list[Distribution] = [
    *(family for family, _ in CONTINUOUS),
    Bimodal(0.1, 10.0, 0.05),
    Bimodal(0.1, 2.0, 0.3, 0.5),
    Empirical((0.1, 0.2, 0.4, 0.4, 0.9)),
    Quantiles((0.0, 0.5, 0.5, 1.0), (0.1, 0.2, 0.6, 1.0)),
]


@pytest.mark.parametrize(("family", "reference"), CONTINUOUS, ids=[str(family) for family, _ in CONTINUOUS])
def test_a_million_draws_have_the_closed_form_s_quantiles(family: Distribution, reference: Any) -> None:
    """Of 10^6 draws the share below each quantile, from p0.1 to p99.99, is right within three standard errors."""
    sample = drawn(family.at, levels(2))
    assert len(sample) == MILLION
    for probability in PROBABILITIES:
        assert standard_errors(sample, reference.ppf(probability), probability) < 3


@pytest.mark.parametrize(("family", "reference"), CONTINUOUS, ids=[str(family) for family, _ in CONTINUOUS])
def test_closed_forms_are_the_reference_s(family: Distribution, reference: Any) -> None:
    """Quantiles and mean agree with SciPy to ten digits, far into the tails."""
    for probability in (0.0, 1e-9, *PROBABILITIES, 1 - 1e-9, 1 - LEAST):
        if probability or not isinstance(family, Lognormal):
            assert family.at(probability) == pytest.approx(reference.ppf(probability), rel=1e-10)
    assert family.mean == pytest.approx(reference.mean(), rel=1e-10)


@pytest.mark.parametrize("family", [family for family, reference in CONTINUOUS if reference.var() < 10], ids=str)
def test_a_million_draws_have_the_mean(family: Distribution) -> None:
    """If the variance is finite, the mean of 10^6 draws is the family's within three standard errors."""
    sample = drawn(family.at, levels(3))
    assert abs(sample.mean() - family.mean) < 3 * sample.std() / math.sqrt(len(sample))


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3])
def test_bimodal_draws(share: float) -> None:
    """Of 10^6 draws, which take one of two times, the share asked for is slow within three standard errors."""
    family = Bimodal(0.1, 10.0, share)
    sample = drawn(family.at, levels(4))
    assert set(sample.tolist()) == {0.1, 1.0}
    assert standard_errors(sample, 0.5, 1 - share) < 3
    assert abs(sample.mean() - family.mean) < 3 * sample.std() / math.sqrt(len(sample))


def test_bimodal_draws_that_spread() -> None:
    """With a spread, 10^6 draws follow the mixture of two lognormals within three standard errors."""
    family = Bimodal(0.1, 3.0, 0.2, 0.4)
    sample = drawn(family.at, levels(5))
    fast, slow = stats.lognorm(0.4, scale=0.1), stats.lognorm(0.4, scale=0.3)
    for value in (0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.9):
        share = 0.8 * fast.cdf(value) + 0.2 * slow.cdf(value)
        assert standard_errors(sample, value, share) < 3
    assert family.mean == pytest.approx(0.8 * fast.mean() + 0.2 * slow.mean())
    assert abs(sample.mean() - family.mean) < 3 * sample.std() / math.sqrt(len(sample))


@pytest.mark.parametrize("family", ALL, ids=str)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.95, 0.98])
def test_the_mean_of_the_lower_share(family: Distribution, share: float) -> None:
    """The mean of the lower draws is the integral of the quantile function, and at share 1 it is the family's mean."""
    jumps = [p for p in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95) if p < share]
    whole, _ = integrate.quad(family.at, 0, share, points=jumps or None, limit=200)
    assert family.lower_mean(share) == pytest.approx(whole / share, rel=1e-6)
    assert family.lower_mean(1.0) == pytest.approx(family.mean, rel=1e-12)


@pytest.mark.parametrize("family", ALL, ids=str)
def test_scaled_draws(family: Distribution) -> None:
    """Scaling a family by 0.1 scales its draws and its mean by 0.1."""
    tenth = family.scaled(0.1)
    for probability in (0.0, 0.3, 0.5, 0.9, 0.999):
        assert tenth.at(probability) == pytest.approx(family.at(probability) / 10)
    assert tenth.mean == pytest.approx(family.mean / 10)


def test_an_empirical_distribution_is_its_sample() -> None:
    """Draws are the sample's values, equally often, and the mean is the sample's."""
    values = [0.3, 0.1, 0.2, 0.2]
    family = Empirical.of(values)
    sample = drawn(family.at, levels(6, 100_000))
    assert set(sample.tolist()) == set(values)
    assert standard_errors(sample, 0.15, 0.25) < 3
    assert standard_errors(sample, 0.25, 0.75) < 3
    assert family.mean == pytest.approx(np.mean(values))

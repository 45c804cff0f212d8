"""Fits of straggler families recover known parameters and agree with SciPy where it has the family."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from collagebench.stragglers.fitting import (
    Values,
    bimodal,
    fit_all,
    ks_distance,
    lognormal,
    normal_below,
    pareto,
    shifted_exponential,
    structured,
    two_bumps,
)

N = 100_000
SIGMAS = 4.5
"""The standard errors that an estimate may be off by, exceeded once in 100,000 estimates."""
KS_LIMIT = 1.95 / math.sqrt(N)
"""The distance that a true distribution exceeds once in 1,000 samples (Kolmogorov's asymptotic formula)."""


def draws() -> np.random.Generator:
    """Return a test's own random generator."""
    return np.random.default_rng(20)


def near(value: float, planted: float, error: float) -> bool:
    """Return whether an estimate is as close as its standard error allows."""
    return abs(value - planted) <= SIGMAS * error


def planted_bimodal(sigma: float = 0.2, factor: float = 8.0, share: float = 0.05) -> Values:
    """Return N times around 0.1 s, of which a share takes `factor` times as long."""
    generator = draws()
    slow = generator.random(N) < share
    times: Values = 0.1 * np.exp(generator.normal(0, sigma, N)) * np.where(slow, factor, 1.0)
    return times


def test_shifted_exponential_comes_back() -> None:
    """Shift and mean tail are recovered within their standard errors (tail / n and tail / sqrt n)."""
    fit = shifted_exponential(0.1 + draws().exponential(0.05, N))
    assert 0 <= fit.parameters["shift"] - 0.1 <= 12 * 0.05 / N
    assert near(fit.parameters["tail"], 0.05, 0.05 / math.sqrt(N))
    assert fit.ks < KS_LIMIT
    assert fit.n == N


def test_pareto_comes_back() -> None:
    """Scale and shape are recovered within their standard errors (scale / (shape n) and shape / sqrt n)."""
    fit = pareto(0.1 * (1 - draws().random(N)) ** (-1 / 1.5))
    assert 0 <= fit.parameters["scale"] - 0.1 <= 12 * 0.1 / (1.5 * N)
    assert near(fit.parameters["shape"], 1.5, 1.5 / math.sqrt(N))
    assert fit.ks < KS_LIMIT


def test_lognormal_comes_back() -> None:
    """Median and sigma are recovered within their standard errors (of the logarithms)."""
    fit = lognormal(0.1 * np.exp(draws().normal(0, 0.5, N)))
    assert near(math.log(fit.parameters["median"] / 0.1), 0, 0.5 / math.sqrt(N))
    assert near(fit.parameters["sigma"], 0.5, 0.5 / math.sqrt(2 * N))
    assert fit.ks < KS_LIMIT


def test_bimodal_comes_back() -> None:
    """Base, width, share and factor of a rare slow part are recovered within their standard errors."""
    fit = bimodal(planted_bimodal())
    found = fit.parameters
    assert near(math.log(found["base"] / 0.1), 0, 0.2 / math.sqrt(0.95 * N))
    assert near(found["sigma"], 0.2, 0.2 / math.sqrt(2 * N))
    assert near(found["slow_share"], 0.05, math.sqrt(0.05 * 0.95 / N))
    assert near(math.log(found["slow_factor"] / 8), 0, 0.2 / math.sqrt(0.05 * N))
    assert fit.ks < KS_LIMIT


def test_a_frequent_slow_part_comes_back_too() -> None:
    """Two parts of similar weight that are close together are told apart."""
    found = bimodal(planted_bimodal(sigma=0.15, factor=2.2, share=0.4)).parameters
    assert found["slow_share"] == pytest.approx(0.4, abs=0.01)
    assert found["slow_factor"] == pytest.approx(2.2, rel=0.01)


def test_where_there_is_no_slow_part_none_is_found() -> None:
    """For lognormal times AIC prefers the lognormal fit to the bimodal one."""
    fits = fit_all([0.1 * np.exp(draws().normal(0, 0.3, 20_000))])
    assert fits[0].family == "lognormal"


def test_structured_comes_back() -> None:
    """Machine and request factors, excursions and slow machines are recovered from 400 machines of 500 times each."""
    generator, machines, each = draws(), 400, 500
    factors = 0.1 * np.exp(generator.normal(0, 0.2, machines))
    factors[:8] = 0.7
    times = [
        factor * np.exp(generator.normal(0.011, 0.1, each)) * np.where(generator.random(each) < 0.01, 1.83, 1.0)
        for factor in factors
    ]
    fit = structured(times)
    found = fit.parameters
    assert near(math.log(found["median"] / 0.1), 0, 0.2 / math.sqrt(392))
    assert near(found["machine_sigma"], 0.2, 0.2 / math.sqrt(2 * 392))
    assert near(found["request_sigma"], 0.1, 0.1 / math.sqrt(2 * machines * each) + 0.1 / each)
    assert near(found["excursion_share"], 0.01, math.sqrt(0.01 / (machines * each)))
    assert found["excursion_factor"] == pytest.approx(1.83, rel=0.01)
    assert found["slow_machines"] == 8 / 400
    assert found["slow_machine"] == pytest.approx(0.7, rel=0.01)
    assert fit.ks < 1.95 / math.sqrt(392)  # only 392 machines were drawn
    assert fit_all(times)[0].family == "structured"


def test_each_family_wins_on_its_own_times() -> None:
    """AIC ranks the family first that the times were drawn from."""
    generator = draws()
    drawn = {
        "shifted-exponential": 0.1 + generator.exponential(0.05, 5000),
        "pareto": 0.1 * (1 - generator.random(5000)) ** (-1 / 1.5),
        "bimodal": planted_bimodal()[:5000],
    }
    for family, times in drawn.items():
        assert fit_all([times])[0].family == family


def test_scipy_fits_the_same() -> None:
    """Fits, log-likelihoods and Kolmogorov-Smirnov distances agree with SciPy's maximum likelihood."""
    stats: Any = pytest.importorskip("scipy.stats")
    generator = draws()
    times = 0.1 * np.exp(generator.normal(0, 0.5, 5000))
    shift, tail = stats.expon.fit(times)
    shape, _, scale = stats.pareto.fit(times, floc=0)
    sigma, _, median = stats.lognorm.fit(times, floc=0)
    for fit, theirs, frozen in (
        (shifted_exponential(times), {"shift": shift, "tail": tail}, stats.expon(shift, tail)),
        (pareto(times), {"scale": scale, "shape": shape}, stats.pareto(shape, 0, scale)),
        (lognormal(times), {"median": median, "sigma": sigma}, stats.lognorm(sigma, 0, median)),
    ):
        assert fit.parameters == pytest.approx(theirs, rel=1e-4)
        assert fit.log_likelihood == pytest.approx(frozen.logpdf(times).sum(), rel=1e-6)
        assert fit.ks == pytest.approx(stats.kstest(times, frozen.cdf).statistic, abs=1e-4)
        assert fit.aic == 4 - 2 * fit.log_likelihood


def test_the_distance_is_scipys() -> None:
    """The Kolmogorov-Smirnov distance agrees with SciPy's to rounding, for few values, many values and ties."""
    stats: Any = pytest.importorskip("scipy.stats")
    for values in (draws().normal(0.1, 1.2, 5000), np.array([0.3]), np.array([0.1, 0.1, 2.0])):
        assert ks_distance(values, normal_below) == pytest.approx(stats.kstest(values, "norm").statistic, abs=1e-12)


def test_the_mixture_is_as_likely_as_scipy_says() -> None:
    """The bimodal fit's log-likelihood and distance are those of a mixture of two of SciPy's lognormals."""
    stats: Any = pytest.importorskip("scipy.stats")
    times = planted_bimodal()[:5000]
    fit = bimodal(times)
    p = fit.parameters
    body = stats.lognorm(p["sigma"], 0, p["base"])
    slow = stats.lognorm(p["sigma"], 0, p["base"] * p["slow_factor"])
    share = p["slow_share"]
    density = (1 - share) * body.pdf(times) + share * slow.pdf(times)
    assert fit.log_likelihood == pytest.approx(np.log(density).sum(), rel=1e-9)
    theirs = stats.kstest(times, lambda x: (1 - share) * body.cdf(x) + share * slow.cdf(x)).statistic
    assert fit.ks == pytest.approx(theirs, abs=1e-9)


def test_equal_times_are_no_error() -> None:
    """Equal times, on one machine or on two, give finite fits."""
    for machines in ([np.full(50, 0.01)], [np.full(50, 0.01), np.full(50, 0.03)]):
        for fit in fit_all(machines):
            assert all(math.isfinite(value) for value in (*fit.parameters.values(), fit.ks, fit.aic)), fit


def test_machines_without_a_time_are_left_out() -> None:
    """A machine that served nothing changes no fit; fewer than two times cannot be fitted."""
    times = draws().exponential(0.1, 100) + 0.1
    assert fit_all([times, np.empty(0)]) == fit_all([times])
    with pytest.raises(ValueError, match="2 times"):
        fit_all([np.array([0.1]), np.empty(0)])


def test_an_upper_part_is_never_the_larger() -> None:
    """The slow part is always the minority, even if most times are high."""
    generator = draws()
    x = np.concatenate([generator.normal(0, 0.1, 300), generator.normal(2, 0.1, 9700)])
    assert two_bumps(x).share <= 0.5

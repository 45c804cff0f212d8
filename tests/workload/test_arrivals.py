"""Arrivals have the rate and the gaps that were asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.errors import UsageError
from collagebench.stragglers.draws import stream
from collagebench.workload.arrivals import KINDS, arrivals, constant, poisson


def test_poisson_gaps() -> None:
    """Poisson gaps are exponential (mean and deviation 1 / rate, a share 1/e above the mean) and uncorrelated."""
    n, rate = 200_000, 40.0
    gaps = rate * np.diff(poisson(rate, n + 1, np.random.default_rng(1)))
    assert abs(gaps.mean() - 1) < 3 / math.sqrt(n)
    # The variance of the sample variance of an exponential is 8 / n.
    assert abs(gaps.var() - 1) < 3 * math.sqrt(8 / n)
    share = (gaps > 1).mean()
    assert abs(share - math.exp(-1)) < 3 * math.sqrt(math.exp(-1) * (1 - math.exp(-1)) / n)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 3 / math.sqrt(n)


def test_poisson_counts() -> None:
    """The number of Poisson arrivals in a second has the same variance as mean."""
    times = poisson(10.0, 200_000, np.random.default_rng(2))
    counts = np.bincount(times.astype(int))[:-1]
    assert abs(counts.mean() - 10) < 3 * math.sqrt(10 / len(counts))
    assert abs(counts.var() / counts.mean() - 1) < 3 * math.sqrt(2 / len(counts)) + 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_no_schedule_is_too_long_for_its_times(kind: str) -> None:
    """A schedule so long that its times could not resolve a microsecond is refused with a sentence."""
    assert np.spacing(arrivals(kind, 1e-6, 900, np.random.default_rng(1))[-1]) < 1e-6
    with pytest.raises(UsageError, match="900 requests take more than thirty years at 1e-300 a second: raise --rate"):
        arrivals(kind, 1e-300, 900, np.random.default_rng(1))


def test_constant() -> None:
    """Constant arrivals start at 0 and are 1 / rate apart."""
    assert constant(4.0, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@given(st.sampled_from(KINDS), st.floats(1e-3, 1e6), st.integers(1, 500), st.integers(0, 2**64))
def test_schedule(kind: str, rate: float, n: int, seed: int) -> None:
    """A schedule is `n` ascending float64 times from 0 on, and the same seed always gives the same."""
    times = arrivals(kind, rate, n, stream(seed, "arrivals", 0))
    assert times.shape == (n,)
    assert times.dtype == np.float64
    assert times[0] >= 0
    assert (np.diff(times) >= 0).all()
    assert (times == arrivals(kind, rate, n, stream(seed, "arrivals", 0))).all()


def test_rate_scales() -> None:
    """At twice the rate the same generator gives half the times, so that rates can be compared."""
    slow, fast = (poisson(rate, 100, np.random.default_rng(3)) for rate in (5.0, 10.0))
    assert np.allclose(slow, 2 * fast, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "n"), [(0.0, 5), (-1.0, 5), (math.nan, 5), (math.inf, 5), (1.0, 0), (1.0, -3)])
def test_nonsense(kind: str, rate: float, n: int) -> None:
    """An invalid rate, or no requests at all, is a usage error."""
    with pytest.raises(UsageError):
        arrivals(kind, rate, n, np.random.default_rng(0))


def test_unknown_kind() -> None:
    """An unknown kind is refused with the names of the known ones."""
    with pytest.raises(UsageError, match="'bursty'; there are poisson, constant"):
        arrivals("bursty", 1.0, 1, np.random.default_rng(0))

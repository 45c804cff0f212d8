"""The fit of SingleR against brute force and against distributions with closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from collagebench.errors import UsageError
from collagebench.schemes.single_r import fit

Array = NDArray[np.float64]


def tail(x: Array, delay: float, q: float, t: float) -> float:
    """Return P(T > t) by definition, counted value by value."""
    copy = sum(value <= t - delay + 1e-12 for value in x) / len(x)
    return sum(value > t + 1e-12 for value in x) / len(x) * (1 - q * copy)


def percentile(x: Array, delay: float, q: float, p: float) -> float:
    """Return the least t with P(T > t) <= 1 - p."""
    steps = sorted({*x.tolist(), *(delay + x).tolist()})
    return next(t for t in steps if tail(x, delay, q, t) <= 1 - p + 1e-12)


TIMES = st.lists(st.floats(0.001, 5).map(lambda value: round(value, 3)), min_size=1, max_size=12)


@given(x=TIMES, budget=st.sampled_from([0.05, 0.3, 1.0]), p=st.sampled_from([0.5, 0.9, 0.99]))
def test_the_fit_is_as_good_as_trying_every_delay(x: list[float], budget: float, p: float) -> None:
    """No delay of the log, with the probability that the budget allows it, has a lower percentile."""
    latencies = np.array(x)
    delay, q = fit(x, budget, p)
    assert q * (latencies > delay).mean() <= budget + 1e-12
    found = percentile(latencies, delay, q, p)
    for other in [0.0, *x]:
        slower = (latencies > other).mean()
        best = percentile(latencies, other, min(1.0, budget / slower) if slower else 1.0, p)
        assert found <= best + 1e-9


def test_two_speeds_are_hedged_between_them() -> None:
    """Of 10,000 requests 5 % take 10 s, the others 1 s: hedged after 1 s the p99 becomes 2 s, within the budget of 5 %.

    A copy sent at d answers by d + 1 with probability 0.95. To bring 5 % down to 1 % takes q >= 0.8 / 0.95; before 1 s
    every request is open and the budget gives q = 0.05, from 1 s on only the slow ones are, and q = 1.
    """
    log = np.repeat([1.0, 10.0], [9500, 500])
    assert fit(log, 0.05) == (1.0, 1.0)


def test_uniform_latencies_agree_with_the_closed_form() -> None:
    """X uniform on [0, 1], budget 0.1, median: the tail at t is (1 - t) (1 - 0.1 (t - d) / (1 - d)), least for d = 0.

    The median solves (1 - t) (1 - 0.1 t) = 1/2, so t = (1.1 - sqrt(1.1^2 - 0.2)) / 0.2.
    """
    log = (np.arange(4000) + 0.5) / 4000
    delay, q = fit(log, 0.1, 0.5)
    t = (1.1 - math.sqrt(1.1**2 - 0.2)) / 0.2
    assert percentile(log, delay, q, 0.5) == pytest.approx(t, abs=1e-3)
    assert (delay, q) == (pytest.approx(0.0, abs=2e-3), pytest.approx(0.1, abs=1e-3))


def test_exponential_latencies_agree_with_the_closed_form() -> None:
    """X exponential with mean 1 and budget b: with u = exp(-d), q = min(1, b / u) and s = exp(-t), a tail of
    s (1 - q (1 - s / u)). Minimised over u on a fine grid it gives the percentile that the fit must reach.
    """
    n, budget, p = 2000, 0.1, 0.99
    log = -np.log1p(-(np.arange(n) + 0.5) / n)
    delay, q = fit(log, budget, p)
    u = np.linspace(0.01, 1, 5000)
    share = np.minimum(1, budget / u)
    # s (1 - q) + s^2 q / u = 1 - p, solved for s
    s = (-(1 - share) + np.sqrt((1 - share) ** 2 + 4 * share / u * (1 - p))) / (2 * share / u)
    s = np.where(s < u, s, 0)  # the copy cannot answer before it is sent
    assert percentile(log, delay, q, p) == pytest.approx(-math.log(s.max()), abs=0.03)


def test_no_budget_is_no_hedge() -> None:
    """With a budget of 0 the probability is 0."""
    assert fit(np.arange(1.0, 100.0), 0.0)[1] == 0.0


def test_failed_requests_count_as_never_answered() -> None:
    """An infinite latency is slower than any delay, and copies that do not fail answer it."""
    log = np.array([1.0] * 98 + [math.inf] * 2)
    delay, q = fit(log, 0.05)
    assert (delay, q) == (1.0, 1.0)
    with pytest.raises(UsageError, match="failed"):
        fit(np.array([1.0] * 50 + [math.inf] * 50), 0.05)

"""Arrivals have the rate and the gaps that were asked for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.errors import UsageError
from collagebench.stragglers.draws import stream
from collagebench.workload.arrivals import KINDS, arrivals, constant, is_log, poisson, replayed


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
    """An unknown kind is refused with the names of the known ones, and with how to name a file."""
    with pytest.raises(
        UsageError, match=r"'bursty'; give the path of a file of times, such as ./bursty, or one of con"
    ):
        arrivals("bursty", 1.0, 1, np.random.default_rng(0))


LOGS = st.lists(st.floats(0, 1e6), min_size=2, max_size=30).filter(lambda times: max(times) - min(times) > 1e-3)


@given(LOGS, st.floats(1e-2, 1e4), st.integers(1, 100), st.integers(0, 2**64))
def test_a_log_keeps_its_pattern_at_any_rate(log: list[float], rate: float, n: int, seed: int) -> None:
    """The gaps are those of the log in its order, from some place on and round and round, in proportion to 1 / rate.

    From the last arrival of the log to its first it takes a mean gap. So a whole round has exactly the rate.
    """
    times = np.sort(np.array(log)) - min(log)
    made = replayed(times, rate, n, stream(seed, "arrivals", 0))
    assert made.shape == (n,)
    assert made[0] == 0
    mean = times[-1] / (len(times) - 1)
    circle = np.append(np.diff(times), mean) / mean / rate
    rounds = np.tile(circle, 2 + n // len(circle))
    close = [
        np.allclose(np.diff(made), rounds[start : start + n - 1], rtol=1e-6, atol=1e-9 * made[-1])
        for start in range(len(circle))
    ]
    assert any(close)
    whole = replayed(times, rate, len(times) + 1, stream(seed, "arrivals", 0))
    assert whole[-1] == pytest.approx(len(times) / rate)


def test_a_log_begins_anywhere() -> None:
    """Each run begins at a place of its own, and every place of the log is equally likely."""
    log = np.cumsum([0.0, 1.0, 2.0, 4.0])
    mean = log[-1] / 3
    gaps = [round(float(replayed(log, 1 / mean, 2, stream(5, "arrivals", run))[1]), 3) for run in range(4000)]
    assert set(gaps) == {1.0, 2.0, round(mean, 3), 4.0}
    for gap in set(gaps):
        assert abs(gaps.count(gap) - 1000) < 3.5 * math.sqrt(4000 * 0.25 * 0.75)


def test_a_name_with_a_dot_or_a_slash_is_a_log(tmp_path: Path) -> None:
    """`arrivals` reads a log if the kind has a dot or a slash, and keeps the seconds of its gaps at its own rate."""
    (tmp_path / "day").write_text("10\n11\n14\n")
    made = arrivals(f"{tmp_path}/day", 2 / 4, 7, np.random.default_rng(0))
    assert sorted({round(float(gap), 6) for gap in np.diff(made)}) == [1.0, 2.0, 3.0]
    assert [is_log(kind) for kind in (*KINDS, "day", "./day", "day.npy")] == [False, False, False, True, True]

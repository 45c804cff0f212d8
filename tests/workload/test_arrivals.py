"""Arrivals have the rate and the gaps that were asked for."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from collagebench.errors import UsageError
from collagebench.stragglers.draws import stream
from collagebench.workload.arrivals import (
    KINDS,
    PARAMETERS,
    arrivals,
    bursts,
    constant,
    facts_of,
    is_log,
    poisson,
    replayed,
)

LONG = {"burst_for": 1e6}
"""Bursts that have several requests at any rate of these tests."""


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
    assert np.spacing(arrivals(kind, 1e-6, 900, np.random.default_rng(1), LONG)[-1]) < 1e-6
    with pytest.raises(UsageError, match="900 requests take more than thirty years at 1e-300 a second: raise --rate"):
        arrivals(kind, 1e-300, 900, np.random.default_rng(1), LONG)


def test_constant() -> None:
    """Constant arrivals start at 0 and are 1 / rate apart."""
    assert constant(4.0, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@given(st.sampled_from(KINDS), st.floats(1e-3, 1e6), st.integers(1, 500), st.integers(0, 2**64))
def test_schedule(kind: str, rate: float, n: int, seed: int) -> None:
    """A schedule is `n` ascending float64 times from 0 on, and the same seed always gives the same."""
    times = arrivals(kind, rate, n, stream(seed, "arrivals", 0), LONG)
    assert times.shape == (n,)
    assert times.dtype == np.float64
    assert times[0] >= 0
    assert (np.diff(times) >= 0).all()
    assert (times == arrivals(kind, rate, n, stream(seed, "arrivals", 0), LONG)).all()


def test_rate_scales() -> None:
    """At twice the rate the same generator gives half the times, so that rates can be compared."""
    slow, fast = (poisson(rate, 100, np.random.default_rng(3)) for rate in (5.0, 10.0))
    assert np.allclose(slow, 2 * fast, rtol=1e-12)


FACTORS = st.floats(1, 100)
SHARES = st.floats(0.01, 0.99)


@given(FACTORS, SHARES, st.floats(0.5, 20), st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**64))
def test_bursts_are_drawn_alike_whatever_is_asked_of_them(
    factor: float, share: float, lasts: float, n: int, more: int, seed: int
) -> None:
    """Fewer arrivals are the first of more; a clock that runs twice as fast changes nothing but the unit of time."""
    made = bursts(10.0, n, stream(seed, "arrivals", 0), factor, share, lasts)
    assert (np.diff(made) >= 0).all()
    assert made[0] >= 0
    assert (bursts(10.0, n + more, stream(seed, "arrivals", 0), factor, share, lasts)[:n] == made).all()
    faster = bursts(20.0, n, stream(seed, "arrivals", 0), factor, share, lasts / 2)
    assert np.allclose(2 * faster, made, rtol=1e-9)


@pytest.mark.parametrize(("rate", "factor"), [(200.0, 30.0), (400.0, 100.0)])
def test_bursts_are_at_the_same_times_whatever_their_strength(rate: float, factor: float) -> None:
    """At another rate, or with another factor, the same seconds are busy, but for some in which a burst begins or ends.

    Independent bursts would have other states in 42 % of the seconds.
    """

    def busy(rate: float, factor: float) -> NDArray[np.bool_]:
        times = bursts(rate, int(400 * rate), np.random.default_rng(5), factor, 0.3, 3.0)
        return np.bincount(times.astype(int), minlength=300)[:300] > rate / 2

    assert np.mean(busy(200.0, 100.0) != busy(rate, factor)) < 0.1


def test_bursts_of_the_usual_rate_are_none() -> None:
    """With a factor of 1 the gaps are those of Poisson arrivals: exponential, with mean and deviation 1 / rate."""
    n = 200_000
    gaps = 40.0 * np.diff(bursts(40.0, n + 1, np.random.default_rng(1), 1.0, 0.2, 2.0))
    assert abs(gaps.mean() - 1) < 3 / math.sqrt(n)
    assert abs(gaps.var() - 1) < 3 * math.sqrt(8 / n)
    assert bursts(1e-3, 5, np.random.default_rng(1), 1.0, 0.2, 2.0).shape == (5,)  # none is too short for a request


@pytest.mark.parametrize(
    ("factor", "share", "lasts", "window"), [(5.0, 0.2, 2.0, 1.0), (20.0, 0.05, 0.5, 1.0), (3.0, 0.5, 1.0, 10.0)]
)
def test_counts_in_bursts(factor: float, share: float, lasts: float, window: float) -> None:
    """Arrivals have the rate that was asked for, and their counts in windows the variance that theory says.

    For two rates r and s, the one in a share p of the time, and mean lengths a and b of their periods, let t be
    1 / (1 / a + 1 / b). The variance in a window w is then rate w + 2 (r - s)^2 p (1 - p) t (w - t (1 - exp(-w / t))).
    """
    rate, seconds = 30.0, 40_000.0
    calm = rate / (1 + share * (factor - 1))
    times = bursts(rate, int(rate * seconds), np.random.default_rng(7), factor, share, lasts)
    counts = np.bincount((times / window).astype(int))[:-1]
    t = 1 / (1 / lasts + share / (1 - share) / lasts)
    over = 2 * (calm * factor - calm) ** 2 * share * (1 - share) * t
    variance = rate * window + over * (window - t * (1 - math.exp(-window / t)))
    assert counts.mean() == pytest.approx(rate * window, rel=3 * math.sqrt(over / rate**2 / seconds) + 0.01)
    assert counts.var() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_runs_may_begin_in_a_burst(share: float) -> None:
    """A run begins in a burst with the share of bursts as its probability."""
    busy = 100 * 1e4 / (1 + share * 9999)  # a second in a burst, and a ten-thousandth of that between
    firsts = np.array([bursts(100.0, 1, stream(3, "arrivals", run), 1e4, share, 1e5)[0] for run in range(3000)])
    early = (firsts < 100 / busy).mean()  # a hundred gaps in a burst, and a hundredth of one between
    assert early == pytest.approx(share + 0.01 * (1 - share), abs=3.5 * math.sqrt(share * (1 - share) / 3000))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        *(("burst_factor", value, "--burst-factor must be a number from 1 to 1,000,000, not") for value in (0.9, 2e6)),
        *(
            ("burst_share", value, "--burst-share must be a share of the time from 1e-06 to")
            for value in (0, 1e-320, 1)
        ),
        *(("burst_for", value, "--burst-for must be a number of seconds above 0, at most 1,000") for value in (0, 1e7)),
        ("burst_for", 0.01, "a burst of 0.01 s has less than one request at 83.3 requests a second: raise --burst-"),
        *((name, math.nan, f"--{name.replace('_', '-')} must be") for name in PARAMETERS["bursts"]),
    ],
)
def test_bursts_that_are_none(name: str, value: float, sentence: str) -> None:
    """A parameter out of its range is refused, and so are bursts too short for a request."""
    with pytest.raises(UsageError, match=re.escape(sentence)):
        arrivals("bursts", 30.0, 10, np.random.default_rng(0), {name: value})


def test_bursts_too_far_apart() -> None:
    """A schedule that would be short enough at its mean rate, but goes on for ages until a burst comes, is refused."""
    rare = {"burst_factor": 1e6, "burst_share": 1e-4, "burst_for": 1e6}
    with pytest.raises(UsageError, match="900 requests take more than thirty years at 1e-05 a second: raise --rate"):
        arrivals("bursts", 1e-5, 900, np.random.default_rng(1), rare)


def test_parameters_that_are_not_given_have_defaults() -> None:
    """What is left out, or None, is as by default, and a record has all of them; other kinds have none."""
    usual = PARAMETERS["bursts"]
    for some in ({}, {"burst_factor": None}, usual):
        made = arrivals("bursts", 30.0, 50, np.random.default_rng(1), some)
        assert (made == bursts(30.0, 50, np.random.default_rng(1), **usual)).all()
    assert facts_of("bursts", {"burst_for": 9.0, "burst_share": None}) == {"parameters": {**usual, "burst_for": 9.0}}
    assert facts_of("poisson") is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "n"), [(0.0, 5), (-1.0, 5), (math.nan, 5), (math.inf, 5), (1.0, 0), (1.0, -3)])
def test_nonsense(kind: str, rate: float, n: int) -> None:
    """An invalid rate, or no requests at all, is a usage error."""
    with pytest.raises(UsageError):
        arrivals(kind, rate, n, np.random.default_rng(0))


def test_unknown_kind() -> None:
    """An unknown kind is refused with the names of the known ones, and with how to name a file."""
    with pytest.raises(
        UsageError, match=r"'monday'; give the path of a file of times, such as ./monday, or one of bur"
    ):
        arrivals("monday", 1.0, 1, np.random.default_rng(0))


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
    assert [is_log(kind) for kind in (*KINDS, "day", "./day", "day.npy")] == [*[False] * 4, True, True]

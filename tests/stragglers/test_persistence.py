"""Slow periods last as long as asked, and change nothing else."""

from __future__ import annotations

import math
import random
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from straggler_samples import standard_errors

from collagebench.stragglers.drawn import Drawn
from collagebench.stragglers.families import Bimodal, Distribution, Lognormal, Pareto, ShiftedExponential
from collagebench.stragglers.persistence import Levels, is_slow

SHARE = 0.2


def keys(n: int, seed: int = 1) -> list[int]:
    """Return keys of `n` independent processes."""
    return np.random.default_rng(seed).integers(0, 1 << 64, n, dtype=np.uint64).tolist()


def slow(share: float, persistence: float, step: float, steps: int = 1000, processes: int = 100) -> np.ndarray:
    """Return the states [processes, steps] of independent processes, `step` seconds apart."""
    unit = persistence * (1 - share)
    return np.array([[is_slow(key, i * step / unit, share) for i in range(steps)] for key in keys(processes)])


def within(found: list[float], expected: float, errors: float = 3.0) -> bool:
    """Return whether independent figures have the expected mean within so many standard errors."""
    return abs(fmean(found) - expected) < errors * stdev(found) / math.sqrt(len(found))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.7])
def test_slow_for_the_share_of_the_time_that_was_asked(share: float) -> None:
    """At any time a share p of 20,000 processes is slow, within three standard errors."""
    for time in (0.0, 0.3, 1e6):
        found = sum(is_slow(key, time, share) for key in keys(20_000))
        assert abs(found / 20_000 - share) < 3 * math.sqrt(share * (1 - share) / 20_000)


@pytest.mark.parametrize(("share", "persistence"), [(0.05, 2.0), (0.2, 0.5), (0.5, 1.0)])
def test_slow_periods_have_the_mean_length_that_was_asked(share: float, persistence: float) -> None:
    """The mean length of slow periods is the persistence, within three standard errors over 100 processes.

    States are sampled at a hundredth of the persistence: a slow process is ordinary one step later with probability
    (1 - p)(1 - exp(-step / (L (1 - p)))), which gives L exactly.
    """
    step = persistence / 100
    states = slow(share, persistence, step, steps=int(20 / share))
    leaving = (states[:, :-1] & ~states[:, 1:]).sum() / states[:, :-1].sum()
    length = -step / (1 - share) / math.log1p(-leaving / (1 - share))
    periods = (states[:, :-1] & ~states[:, 1:]).sum()
    assert length == pytest.approx(persistence, rel=3 / math.sqrt(periods))


@pytest.mark.parametrize("lag", [0.05, 0.3, 1.0, 3.0])
def test_the_states_are_a_markov_process(lag: float) -> None:
    """At any lag d, a slow worker is slow d later with probability p + (1 - p) exp(-d / (L (1 - p)))."""
    share, persistence = 0.3, 0.5
    states = slow(share, persistence, lag)
    kept = [(row[:-1] & row[1:]).sum() / row[:-1].sum() for row in states if row[:-1].any()]
    expected = share + (1 - share) * math.exp(-lag / (persistence * (1 - share)))
    weights = [row[:-1].sum() for row in states if row[:-1].any()]
    mean = np.average(kept, weights=weights)
    error = math.sqrt(np.average((np.array(kept) - mean) ** 2, weights=weights) / len(kept))
    assert abs(mean - expected) < 3 * error


def test_lengths_are_exponential() -> None:
    """The rest of a slow period at a random time is exponential with the mean asked for (KS test, p > 0.001)."""
    share, step, left = 0.3, 0.02, []
    for key in keys(3000, seed=7):
        if is_slow(key, 50.0, share):
            end = 50.0
            while is_slow(key, end, share):
                end += step / (1 - share)
            left.append((end - 50.0) * (1 - share) - step / 2)
    assert stats.kstest(left, stats.expon.cdf).pvalue > 0.001


@pytest.mark.parametrize(
    "family", [ShiftedExponential(0.1, 0.1), Pareto(0.1, 1.5), Lognormal(0.1, 0.5), Bimodal(0.1, 10, 0.1, 0.3)], ids=str
)
@pytest.mark.parametrize("persistence", [0.1, 10.0])
def test_the_distribution_is_unchanged(family: Distribution, persistence: float) -> None:
    """At random times, 100,000 draws with persistent slow periods follow the family's own distribution."""
    model = Drawn("any", "floor", family, Levels(3, 0.1, persistence))
    times = np.random.default_rng(1).uniform(0, 1e7, 100_000).tolist()
    sample = np.sort([model.draw(0, i % 10, i, 0, at) for i, at in enumerate(times)])
    for probability in (0.1, 0.5, 0.85, 0.95, 0.99, 0.999):
        value = family.at(probability)
        assert standard_errors(sample, value, probability) < 3


def test_slow_draws_come_together() -> None:
    """Draws of one worker d seconds apart are correlated by exp(-d / (L (1 - p))); those of two workers are not."""
    persistence, share, apart, n = 1.0, 0.2, 0.1, 1000
    model = Drawn("any", "floor", Bimodal(0.1, 5.0, share), Levels(4, share, persistence))
    draws = np.array([[model.draw(run, 0, i, 0, i * apart) for i in range(n)] for run in range(50)])
    centred = draws - model.mean
    correlations = (centred[:, 1:] * centred[:, :-1]).mean(axis=1) / (share * (1 - share) * 0.4**2)
    assert within(correlations.tolist(), math.exp(-apart / (persistence * (1 - share))))
    others = np.array([[model.draw(run, 1, i, 0, i * apart) for i in range(n)] for run in range(50)]) - model.mean
    assert within((centred * others).mean(axis=1).tolist(), 0.0)


def test_all_of_a_slow_worker_s_draws_are_slow() -> None:
    """A worker draws only from the upper share while it is slow, and only from the rest otherwise."""
    family = Lognormal(0.1, 0.5)
    model = Drawn("any", "floor", family, Levels(5, SHARE, 1.0))
    limit = family.at(1 - SHARE)
    seen = set()
    for i in range(5000):
        at = i * 0.05
        is_slow_now = model.levels.is_slow(0, 2, at)
        assert (model.draw(0, 2, i, i % 3, at) > limit) == is_slow_now
        seen.add(is_slow_now)
    assert seen == {True, False}


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=30), st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_state_is_a_function_of_time_alone(times: list[float], worker: int, chance: random.Random) -> None:
    """A worker is slow at the same times in whatever order it is asked, repeatedly, or by another equal object."""
    first, second = Levels(6, SHARE, 0.5), Levels(6, SHARE, 0.5)
    states = {at: first.is_slow(1, worker, at) for at in times}
    shuffled = times * 2
    chance.shuffle(shuffled)
    assert all(first.is_slow(1, worker, at) == states[at] for at in shuffled)
    assert all(second.is_slow(1, worker, at) == states[at] for at in reversed(shuffled))


def test_nothing_lasts() -> None:
    """With persistence 0 a draw does not depend on time, and a worker whose share is 0 is never slow."""
    model = Drawn("any", "floor", Lognormal(0.1, 0.5), Levels(7, SHARE))
    assert model.draw(0, 1, 2, 0, 0.0) == model.draw(0, 1, 2, 0, 99.0)
    never = Levels(7, 0.0, 5.0)
    assert not any(never.is_slow(0, 0, at) for at in range(1000))
    assert [never.of(0, 0, i, 0, 3.0) for i in range(50)] == [Levels(7, 0.0).of(0, 0, i, 0, 3.0) for i in range(50)]


@settings(deadline=None)
@given(st.integers(0, 1 << 30), st.floats(1e-6, 0.999), st.floats(1e-6, 1e6), st.floats(0, 1e9))
def test_levels_stay_inside(request: int, share: float, persistence: float, at: float) -> None:
    """Whatever share, persistence and time, a level is inside (0, 1), so that every draw is possible."""
    for stragglers in (True, False):
        assert 0 < Levels(8, share, persistence, stragglers).of(0, 0, request, 0, at) < 1


def test_without_stragglers_a_worker_is_never_slow() -> None:
    """Without stragglers draws come from the ordinary part only, and never exceed the draw with stragglers."""
    family = Pareto(0.1, 1.5)
    for persistence in (0.0, 1.0):
        model = Drawn("any", "floor", family, Levels(9, SHARE, persistence))
        bound = model.without()
        assert bound is not None
        assert bound.without() is None
        both = [(model.draw(0, 1, i, 0, i * 0.1), bound.draw(0, 1, i, 0, i * 0.1)) for i in range(5000)]
        assert all(calm <= draw for draw, calm in both)
        assert max(calm for _, calm in both) <= family.at(1 - SHARE)
        calm_draws = [calm for _, calm in both]
        assert within(calm_draws, bound.mean)


def test_nobody_is_slow_where_nothing_lasts() -> None:
    """No worker is slow without persistence, without a slow share, or without stragglers."""
    assert any(Levels(0, SHARE, 1.0).is_slow(0, worker, 1.0) for worker in range(100))
    for levels in (Levels(0, SHARE), Levels(0, 0.0, 1.0), Levels(0, SHARE, 1.0, stragglers=False)):
        assert not any(levels.is_slow(0, worker, 1.0) for worker in range(100))

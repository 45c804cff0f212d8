"""Crossings of two schemes are found where they are, with intervals that hold what they promise, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from collagebench.statistics.crossing import Look, crossings, firm, halfway, look, wanted

RUNS = 10
TOLERANCE = 0.005
SCAN = np.linspace(0, 1, 6).tolist()
BETWEEN = halfway(TOLERANCE)
Curve = Callable[[float], float]


def searched(mean: Curve, noise: float, seed: int, shared: float = 0.7) -> dict[float, Look]:
    """Search for the crossings of a difference with this mean from 0 to 1, as a study would.

    Each run has an offset that is the same along the whole axis, as with common random numbers, and independent
    noise; `shared` is the offset's share of the variance.
    """
    chance = np.random.default_rng(seed)
    offsets = chance.normal(0, noise * shared**0.5, RUNS)

    def at(value: float) -> Look:
        own = np.random.default_rng([seed, round(value * 1e9)]).normal(0, noise * (1 - shared) ** 0.5, RUNS)
        first = 10.0 + mean(value) + offsets + own
        return look(first.tolist(), [10.0] * RUNS)

    found = {value: at(value) for value in SCAN}
    for _ in range(40):
        further = wanted(found, BETWEEN, SCAN)
        if not further:
            return found
        found.update({value: at(value) for value in further})
    pytest.fail("the search does not end")


def test_a_planted_crossing_is_found_without_noise() -> None:
    """Without noise a crossing is found to the tolerance, with the better side, and an interval of at most twice it."""
    (one,) = crossings(searched(lambda value: value - 0.3217, 1e-9, 0), SCAN)
    assert one.at == pytest.approx(0.3217, abs=TOLERANCE)
    assert one.low < 0.3217 < one.high
    assert one.high - one.low <= 2 * TOLERANCE
    assert one.before == -1


def test_the_interval_holds_the_crossing_as_often_as_it_says() -> None:
    """In over 92.5 % of 400 noisy searches (95 % less 2.3 standard errors) the interval contains the crossing."""
    held = crossed = 0
    for seed in range(400):
        found = crossings(searched(lambda value: 2 * (value - 0.52), 0.4, seed), SCAN)
        if len(found) == 1:
            crossed += 1
            held += found[0].low <= 0.52 <= found[0].high
    assert crossed > 370
    assert held / crossed > 0.925


def test_several_crossings_are_all_found() -> None:
    """A difference that changes its sign three times has three crossings, each with the scheme better before it."""
    roots = (0.15, 0.5, 0.85)

    def wave(value: float) -> float:
        return 40 * (value - roots[0]) * (value - roots[1]) * (value - roots[2])

    found = crossings(searched(wave, 1e-6, 1), SCAN)
    assert [one.at for one in found] == pytest.approx(roots, abs=0.02)
    assert [one.before for one in found] == [-1, 1, -1]


def test_without_a_crossing_the_better_one_is_named() -> None:
    """Without a crossing, the scheme that is better throughout is named, or none if noise exceeds the difference."""
    better = searched(lambda value: -1.0 - value, 0.1, 2)
    assert crossings(better, SCAN) == []
    assert {sign for _, sign in firm(better, SCAN)} == {-1}
    alike = {value: look([1.0, 2.0, 3.0], [2.0, 1.0, 3.0]) for value in (0.0, 0.5, 1.0)}
    assert (crossings(alike, [*alike]), firm(alike, [*alike])) == ([], [])
    assert wanted(alike, BETWEEN, [*alike]) == []


def test_chance_makes_no_crossing() -> None:
    """Of 400 equal pairs at twenty values, at most four seem to cross; without correction more than 50 do."""
    crossed = naive = 0
    for seed in range(400):
        chance = np.random.default_rng(seed)
        looks = {value / 19: look(chance.normal(10, 1, RUNS).tolist(), [10.0] * RUNS) for value in range(20)}
        crossed += bool(crossings(looks, [*looks]))
        naive += len({one.verdict for one in looks.values()} - {0}) == 2
    assert crossed <= 4
    assert naive > 50


def test_values_that_another_pair_asked_for_make_no_crossing() -> None:
    """Where only values that were looked at later, for another pair, differ, chance has had more tests than counted."""
    later = {0.41: Look(-1, -1.5, -0.5, 1e-3), 0.43: Look(1, 0.5, 1.5, 1e-3)}
    looks = {value: Look(0.1, -0.5, 0.7, 0.5) for value in SCAN} | later
    assert (firm(looks, SCAN), crossings(looks, SCAN), wanted(looks, BETWEEN, SCAN)) == ([], [], [])


def test_an_interval_reaches_around_verdicts_that_alternate() -> None:
    """Where verdicts alternate, the interval of the crossing covers all of them."""
    verdicts = {0.0: -1, 0.2: -1, 0.3: 1, 0.4: -1, 0.5: 1, 0.6: 0, 0.7: 1, 1.0: 1}
    looks = {value: Look(sign, sign - 0.5, sign + 0.5, 0.03) for value, sign in verdicts.items()}
    looks[0.0], looks[1.0] = Look(-1, -1.5, -0.5, 1e-6), Look(1, 0.5, 1.5, 1e-6)
    (one,) = crossings(looks, [0.0, 1.0])
    assert (one.low, one.high, one.before) == (0.2, 0.7, -1)


def test_the_crossing_is_where_the_mean_changes_its_sign() -> None:
    """The crossing is interpolated linearly between the two values where the mean difference changes its sign."""
    means = {0.0: -1.0, 0.1: -0.4, 0.2: -0.3, 0.3: -0.2, 0.4: -0.1, 0.5: 0.3, 0.9: 0.4, 1.0: 1.0}
    looks = {
        value: Look(mean, mean - 0.5, mean + 0.5, 1e-6 if abs(mean) == 1 else 0.5) for value, mean in means.items()
    }
    (one,) = crossings(looks, [0.0, 1.0])
    assert (one.low, one.high, one.before) == (0.0, 1.0, -1)
    assert one.at == pytest.approx(0.425)
    looks[0.4] = Look(0.0, -0.5, 0.5, 1.0)
    assert [one.at for one in crossings(looks, [0.0, 1.0])] == [0.4]


def test_an_axis_is_halved_as_it_is_made() -> None:
    """An axis is halved on its own scale, linear, logarithmic or in whole numbers, and not below the tolerance."""
    assert halfway(0.1)(1.0, 2.0) == 1.5
    assert halfway(0.1, log=True)(1.0, 100.0) == pytest.approx(10.0)
    assert halfway(0.1, log=True)(100.0, 109.0) is None
    assert halfway(0.01, whole=True)(10.0, 13.0) == 12.0
    assert halfway(0.01, whole=True)(10.0, 11.0) is None


def test_a_scheme_that_cannot_bear_the_load_is_worse_than_any_that_can() -> None:
    """A scheme that cannot sustain the load is worse than one that can; of two that cannot, neither is better."""
    assert look(None, [1.0, 1.1]).verdict == 1
    assert look([1.0, 1.1], None).verdict == -1
    assert look(None, None).verdict == 0
    assert math.isinf(look(None, [1.0, 1.1]).difference)
    found = {0.0: look([1.0, 1.1, 1.05], [2.0, 2.1, 2.05]), 1.0: look(None, [2.0, 2.1, 2.05])}
    (one,) = crossings(found, [0.0, 1.0])
    assert (one.before, one.low, one.at, one.high) == (-1, 0.0, 0.5, 1.0), "no line leads to what has no end"
    assert wanted(found, halfway(0.1), [0.0, 1.0]) == [0.5]


def test_a_run_without_a_figure_leaves_the_pair_undecided() -> None:
    """An infinite latency in one run leaves the comparison undecided."""
    undecided = look([1.0, math.inf, 1.0], [2.0, 2.0, 2.0])
    assert (undecided.verdict, undecided.known) == (0, False)


def test_no_scheme_is_better_where_the_ratio_says_otherwise() -> None:
    """A difference in every run does not count if the ratio's interval contains 1 or lies on the other side of it."""
    fast, slow = [1.0, 1.1, 1.05], [2.0, 2.1, 2.05]
    for ratio, verdict in ((None, -1), ((0.4, 0.6), -1), ((0.4, 1.0), 0), ((0.4, math.inf), 0), ((1.1, 1.2), 0)):
        assert look(fast, slow, ratio).verdict == verdict
    for ratio, verdict in ((None, 1), ((1.7, 2.3), 1), ((1.0, 2.3), 0), ((0.0, 2.3), 0), ((0.8, 0.9), 0)):
        assert look(slow, fast, ratio).verdict == verdict


def test_where_neither_bears_the_load_there_is_a_crossing_all_the_same() -> None:
    """A crossing between two sure verdicts is searched for even where neither scheme sustains the load."""
    looks = {0.0: Look(-1.0, -2.0, -0.5, 1e-9), 3.0: Look(1.0, 0.5, 2.0, 1e-9)}
    looks |= {value: look(None, None) for value in (1.0, 2.0)}
    (one,) = crossings(looks, [*looks])
    assert (one.low, one.high, one.before) == (0.0, 3.0, -1)
    assert 1.0 <= one.at <= 2.0
    assert wanted(looks, BETWEEN, [*looks]) == [0.5, 1.5, 2.5]

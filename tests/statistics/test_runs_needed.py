"""How many runs would show a difference that was measured but not shown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.statistics.distributions import student_t_quantile
from collagebench.statistics.paired import LEVEL, paired
from collagebench.statistics.runs_needed import AT_MOST, FEWEST, runs_needed

RUNS = 10
MINIMUM = 0.05


def interval(centre: float, error: float, runs: int = RUNS) -> tuple[float, float]:
    """Return the 95 % interval of a mean over runs, each of which has the standard error `error`."""
    half = student_t_quantile(0.975, runs - 1) * error / math.sqrt(runs)
    return centre - half, centre + half


def of_ratio(ratio: float, error: float) -> tuple[float, float]:
    """Return the 95 % interval of a ratio whose logarithm has the standard error `error` in each run."""
    low, high = interval(math.log(ratio), error)
    return math.exp(low), math.exp(high)


@pytest.mark.parametrize("tests", [1, 4])
def test_as_many_runs_show_the_difference_four_times_of_five(tests: int) -> None:
    """If the difference is as measured, the t test over as many runs finds it in about 80 % of experiments."""
    needed = runs_needed(-0.01, interval(-0.01, 0.02), 0.8, of_ratio(0.8, 0.001), RUNS, tests, MINIMUM)
    assert needed is not None
    rng = np.random.default_rng(1)
    found = [paired(list(rng.normal(-0.01, 0.02, needed)), [0.0] * needed) for _ in range(2000)]
    assert 0.78 < np.mean([one is not None and one.p <= LEVEL / tests for one in found]) < 0.86


def test_the_interval_of_the_ratio_must_leave_out_1_as_well() -> None:
    """If the interval of the ratio is the wider one, it decides; four times the runs halve it."""
    needed = runs_needed(0.01, interval(0.01, 1e-5), 1.25, of_ratio(1.25, 0.4), RUNS, 1, MINIMUM)
    assert needed is not None
    error = 0.4 / math.sqrt(needed)
    assert 2.75 * error < math.log(1.25) < 3.1 * error
    wider = runs_needed(0.01, interval(0.01, 1e-5), 1.25, of_ratio(1.25, 0.8), RUNS, 1, MINIMUM)
    assert wider is not None
    assert 3.7 < wider / needed < 4.1


@pytest.mark.parametrize(
    ("difference", "ratio"),
    [(0.01, 0.8), (-0.01, 1.25), (0.01, 1.04), (-0.01, 1 / 1.04)],
    ids=["higher on average only", "lower on average only", "4 % higher", "4 % lower"],
)
def test_no_number_of_runs_shows_some_differences(difference: float, ratio: float) -> None:
    """There is no number if mean and ratio disagree on which is slower, or if the minimum effect is not reached."""
    assert runs_needed(difference, interval(difference, 0.02), ratio, of_ratio(ratio, 0.3), RUNS, 1, MINIMUM) is None
    assert runs_needed(0.0, (0.0, 0.0), ratio, of_ratio(ratio, 0.3), RUNS, 1, MINIMUM) is None


def test_few_runs_tell_nothing_of_how_many_are_needed() -> None:
    """From fewer than FEWEST runs there is no number, from as many there is."""
    known = [
        runs_needed(0.01, interval(0.01, 0.02, runs), 1.25, of_ratio(1.25, 0.01), runs, 1, MINIMUM)
        for runs in (2, FEWEST - 1, FEWEST)
    ]
    assert known[:2] == [None, None]
    assert known[2] is not None


def test_what_would_take_too_many_runs_is_not_said() -> None:
    """There is no number if more than AT_MOST times the runs would be needed."""
    assert runs_needed(0.001, interval(0.001, 0.02), 1.25, of_ratio(1.25, 0.01), RUNS, 1, MINIMUM) is None


@given(
    error=st.floats(0.001, 0.1),
    of_log=st.floats(0.001, 1.0),
    ratio=st.floats(0.2, 5.0),
    tests=st.integers(1, 12),
    runs=st.integers(FEWEST, 60),
)
def test_more_noise_or_more_tests_never_need_fewer_runs(
    error: float, of_log: float, ratio: float, tests: int, runs: int
) -> None:
    """The number exceeds that of the runs there are, is at most about AT_MOST times that, and grows with any noise."""

    def needed(error: float, of_log: float, tests: int) -> float:
        size = math.copysign(0.02, math.log(ratio))
        low, high = interval(math.log(ratio), of_log, runs)
        found = runs_needed(
            size, interval(size, error, runs), ratio, (math.exp(low), math.exp(high)), runs, tests, MINIMUM
        )
        assert found is None or runs < found <= 1.1 * AT_MOST * runs
        return math.inf if found is None else found

    fewest = needed(error, of_log, tests)
    assert fewest <= min(needed(2 * error, of_log, tests), needed(error, 2 * of_log, tests))
    assert fewest <= needed(error, of_log, tests + 1)

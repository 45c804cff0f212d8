"""What recorded service times show about machines: slow periods, autocorrelation, figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from collagebench.stragglers.observed import autocorrelation, describe, median_surely_above, slow_periods
from collagebench.stragglers.quantiles import PROBABILITIES


def test_planted_slow_periods_are_found() -> None:
    """A slow period lasts from halfway before its first slow service to halfway after its last."""
    sent = np.arange(10.0)
    slow = np.array([0, 0, 1, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    found = slow_periods(sent, slow)
    assert (found.periods, found.ended, found.share) == (2, 2, 0.4)
    assert found.seconds == 3.0 + 1.0
    assert found.mean == 2.0


def test_periods_at_the_ends_are_censored() -> None:
    """A period still running at the end counts with its time but not as ended; one at the start counts as ended."""
    sent = np.arange(6.0)
    found = slow_periods(sent, np.array([1, 1, 0, 0, 1, 1], dtype=bool))
    assert (found.periods, found.ended) == (2, 1)
    assert found.seconds == 1.5 + 1.5
    assert found.mean == 3.0


def test_a_machine_that_is_slow_throughout_has_one_long_period() -> None:
    """A machine that is always slow has one period, as long as it was observed, that did not end."""
    found = slow_periods(np.arange(5.0), np.ones(5, dtype=bool))
    assert (found.periods, found.ended, found.mean, found.share) == (1, 0, 4.0, 1.0)
    assert slow_periods(np.arange(5.0), np.zeros(5, dtype=bool)).mean is None


def two_states(n: int, every: float, length: float, share: float, seed: int) -> np.ndarray:
    """Return a two-state Markov process sampled `every` seconds, whose slow periods last `length` on average."""
    generator = np.random.default_rng(seed)
    stay = math.exp(-every / (length * (1 - share)))
    slow = np.empty(n, dtype=bool)
    slow[0] = generator.random() < share
    fresh = generator.random(n) < share
    kept = generator.random(n) < stay
    for place in range(1, n):
        slow[place] = slow[place - 1] if kept[place] else fresh[place]
    return slow


def test_lasting_slowness_is_told_from_independent_slowness() -> None:
    """Slow periods of a Markov process are found to last, with their mean length; independent slow services are not."""
    n, every = 50_000, 0.05
    sent = every * np.arange(n)
    lasting = slow_periods(sent, two_states(n, every, 1.0, 0.1, 1))
    assert lasting.lasts
    # about 250 periods: a standard error of 6 %, and more because nothing is seen between two requests
    assert lasting.mean == pytest.approx(1.0, rel=0.25)
    for seed in range(20):
        alone = slow_periods(sent, np.random.default_rng(seed).random(n) < 0.1)
        assert not alone.lasts
        assert alone.mean == pytest.approx(every / 0.9, rel=0.05)


def test_autocorrelation_is_that_of_the_process() -> None:
    """A first-order process has its own coefficient, white noise has 0, and a constant or two values have none."""
    generator = np.random.default_rng(3)
    noise, values = generator.normal(size=50_000), [0.0]
    for step in noise:
        values.append(0.6 * values[-1] + step)
    assert autocorrelation(np.array(values)) == pytest.approx(0.6, abs=4 * 0.8 / math.sqrt(50_000))
    assert autocorrelation(generator.normal(size=50_000)) == pytest.approx(0, abs=4 / math.sqrt(50_000))
    assert autocorrelation(np.ones(10)) is None
    assert autocorrelation(np.ones(2)) is None


def test_a_slow_machine_stands_out() -> None:
    """Of ten machines the one that is three times as slow is slow throughout, and the others are not."""
    generator = np.random.default_rng(4)
    service = [0.002 * np.exp(generator.normal(0, 0.1, 500)) * (3 if worker == 6 else 1) for worker in range(10)]
    fleet, machines = describe([0.1 * np.arange(500.0)] * 10, service)
    assert [machine["worker"] for machine in machines if machine["slow_throughout"]] == [6]
    assert machines[6]["slow_share"] == 1
    assert machines[6]["slow_period_s"] == pytest.approx(49.9)
    assert fleet["slow_above_s"] == pytest.approx(0.004, rel=0.05)
    assert fleet["slow_share"] == 0.1
    assert fleet["count"] == 5000


def test_a_machine_that_shares_its_core_stands_out() -> None:
    """Among similar machines 1.5 times as slow is noticed if there are enough times; 1.2 times never is."""
    generator = np.random.default_rng(5)

    def found(factor: float, n: int, apart: float = 0.0) -> list[int]:
        own = np.exp(apart * np.linspace(-1, 1, 10))  # a factor for each machine; the fifth is replaced
        own[4] = factor
        service = [own[worker] * 0.02 * np.exp(generator.normal(0, 0.3, n)) for worker in range(10)]
        _, machines = describe([0.1 * np.arange(float(n))] * 10, service)
        return [machine["worker"] for machine in machines if machine["slow_throughout"]]

    assert found(1.9, 100) == [4]
    assert found(1.9, 8) == []
    assert [found(1.5, 200) for _ in range(50)] == [[4]] * 50
    assert [found(1.2, 200) for _ in range(50)] == [[]] * 50
    assert [found(1.4, 200, apart=0.2) for _ in range(50)] == [[]] * 50
    assert found(1.9, 200, apart=0.2) == [4]


def test_the_medians_lower_end_holds_as_often_as_it_says() -> None:
    """The lower end of the median's interval is above the true median no more often than allowed."""
    generator = np.random.default_rng(6)
    for n in (20, 101, 1000):
        missed = sum(median_surely_above(generator.exponential(size=n), 0.05) > math.log(2) for _ in range(4000))
        assert missed <= 4000 * 0.05 + 4.5 * math.sqrt(4000 * 0.05 * 0.95)
    assert median_surely_above(np.ones(5), 1e-3) == -math.inf


def test_figures_are_those_of_the_times() -> None:
    """Mean, median and p99 are those of the times, and the table has a quantile for each probability, ends included."""
    times = np.arange(1.0, 1001.0)
    _, (machine,) = describe([times], [times])
    assert (machine["count"], machine["mean_s"]) == (1000, 500.5)
    assert (machine["p50_s"], machine["p99_s"]) == (500, 990)
    assert len(machine["quantiles_s"]) == len(PROBABILITIES)
    assert (machine["quantiles_s"][0], machine["quantiles_s"][-1]) == (1, 1000)


def test_a_machine_without_a_service_says_so() -> None:
    """A worker that was lost before it served anything has no figures."""
    times = np.arange(1.0, 11.0)
    _, (_, silent) = describe([times, np.empty(0)], [times, np.empty(0)])
    assert (silent["count"], silent["p50_s"], silent["quantiles_s"], silent["slow_period_s"]) == (0, None, None, None)
    assert not silent["slow_throughout"]

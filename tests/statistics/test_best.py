"""The fastest of several schemes, also when some runs have an infinite figure."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from synthetic_run import make_run

from collagebench.results.reader import load
from collagebench.statistics.best import Figure, faster_than, fastest
from collagebench.statistics.latency import latency
from collagebench.statistics.ratio import tail


def drawn(generator: np.random.Generator, endless: float, median: float = 0.1) -> Figure:
    """Return a figure of ten runs, of which a share of `endless` is infinite."""
    runs = median * generator.lognormal(0, 0.3, 10)
    return Figure(float(np.median(runs)), np.where(generator.random(10) < endless, math.inf, runs).tolist())


def test_a_run_without_an_end_does_not_tell_equal_schemes_apart() -> None:
    """If a tenth of all runs is infinite, one of two equal schemes is named the faster in at most 5 % of cases."""
    generator = np.random.default_rng(3)
    named = [len(fastest({name: drawn(generator, 0.1) for name in "ab"}, 0.05)) == 1 for _ in range(1000)]
    assert 0 < np.mean(named) <= 0.05
    once = Figure(0.11, (0.1, 0.1, 0.1, math.inf))
    assert fastest({"once": once, "never": Figure(0.1, (0.11, 0.1, 0.11, 0.1))}, 0.05) == ["never", "once"]


def test_runs_without_an_end_are_slower_than_any_other() -> None:
    """A scheme that is infinite in nearly all runs is slower than one that never is; one such run hides nothing."""
    generator = np.random.default_rng(4)
    figures = {"never": drawn(generator, 0.0), "nearly always": drawn(generator, 0.9, 0.12)}
    assert fastest(figures, 0.05) == ["never"]
    base = Figure(0.2, [math.inf, *[0.2 + 0.001 * run for run in range(9)]])
    half = Figure(0.1, [0.1 + 0.001 * run for run in range(10)])
    assert faster_than(base, {"half": half}, 0.05) == ["half"]
    assert faster_than(half, {"base": base}, 0.05) == []


def test_a_run_without_an_end_is_slower_than_the_slowest_that_has_one() -> None:
    """A scheme that is infinite in every run is slower than one that is finite in every run."""
    base = Figure(0.2, [math.inf] * 10)
    assert faster_than(base, {"ends": Figure(0.1, [0.1 + 0.0001 * run for run in range(10)])}, 0.05) == ["ends"]


def test_the_runs_and_all_of_them_together_must_agree() -> None:
    """A scheme that is slower in every run is not called faster because of its figure over all requests."""
    slow = Figure(0.1, [0.2 + 0.001 * run for run in range(10)])
    fast = Figure(0.15, [0.1 + 0.001 * run for run in range(10)])
    assert faster_than(fast, {"slow": slow}, 0.05) == []


def test_none_is_told_apart_whose_ratio_may_be_1(tmp_path: Path) -> None:
    """Two schemes are not told apart if the interval of their ratio contains 1, even if one is slower in every run."""
    values = {"fast": [0.1, 0.11, 0.12], "slow": [0.13, 0.14, 0.15], "wide": [0.1, 0.119, 0.15]}
    lengths = {name: [[value + 1e-5 * run for value in some] * 40 for run in range(5)] for name, some in values.items()}
    run = load(make_run(tmp_path / "run", lengths))
    figures = {}
    for name in values:
        time = latency(run.of(name).requests)
        known = time.quantiles["p50"]
        figures[name] = Figure(known.observed, list(known.by_run.values()), tail(time, "p50", list(known.by_run)))
    assert fastest(figures, 0.05) == ["fast", "wide"]
    assert fastest({**figures, "fast": replace(figures["fast"], tail=None)}, 0.05) == ["fast"]
    assert faster_than(figures["slow"], figures, 0.05) == ["fast"]
    assert faster_than(figures["wide"], figures, 0.05) == []

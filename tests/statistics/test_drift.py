"""Latency that depends on when it was measured."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from synthetic_run import HEADER, cell, make_run, request

from collagebench.results.reader import load
from collagebench.results.table import Table
from collagebench.results.writer import RunWriter
from collagebench.statistics.drift import over_places, within_runs
from collagebench.statistics.warnings import warnings


def requests(latencies):
    """Return a table of latencies [runs, requests] of one scheme, without warm-up, at one arrival a second."""
    runs, size = latencies.shape
    columns = {
        "run": np.repeat(np.arange(runs), size),
        "arrival": np.tile(np.arange(float(size)), runs),
        "latency": latencies.ravel(),
        "warmup": np.zeros(runs * size, dtype=bool),
    }
    return Table(columns, {})


def test_a_slow_beginning_is_found():
    """A first quarter 1.5 times as slow gives 1.5, one as much faster gives 2/3, whatever the order of the rows."""
    rng = np.random.default_rng(1)
    calm = 0.02 * rng.lognormal(0, 0.1, (5, 400))
    factor = np.where(np.arange(400) < 100, 1.5, 1.0)
    table = requests(calm * factor)
    assert within_runs(table) == pytest.approx(1.5, rel=0.05)
    assert within_runs(requests(calm / factor)) == pytest.approx(1 / 1.5, rel=0.05)
    slightly = requests(np.where(np.arange(400) < 100, 1.05, 1.0) * 0.02 * rng.lognormal(0, 0.01, (5, 400)))
    assert within_runs(slightly) is None, "5 % are certain, and not worth a word"
    shuffled = rng.permutation(len(table))
    mixed = Table({name: column[shuffled] for name, column in table.columns.items()}, {})
    assert within_runs(mixed) == within_runs(table)


def test_steady_runs_seldom_raise_an_alarm():
    """Of 300 steady experiments at most three are called drifting, as a drift must be significant and large."""
    rng = np.random.default_rng(2)
    found = [within_runs(requests(0.02 * rng.lognormal(0, 0.5, (10, 238)))) for _ in range(300)]
    assert sum(ratio is not None for ratio in found) <= 3


def test_the_warning_says_which_part_of_a_run_was_slow(tmp_path):
    """A slow first quarter is said to need more warm-up, and a fast one to be a queue that is still filling."""
    rng = np.random.default_rng(3)
    calm = 0.02 * rng.lognormal(0, 0.02, (5, 100))
    factor = np.where(np.arange(100) < 25, 1.5, 1.0)
    for name, latencies, words in (
        ("early", calm * factor, "none: latencies in the first quarter of a run were 1.5"),
        ("late", calm / factor, "none: latencies after the first quarter of a run were 1.5"),
    ):
        found = warnings(load(make_run(tmp_path / name, {"none": latencies.tolist()})))
        (text,) = [text for text in found if "first quarter" in text]
        assert text.startswith(words)
        assert ("still warming up: raise --warmup." in text) is (name == "early")
        assert ("still filling" in text) is (name == "late")


@pytest.mark.parametrize(("runs", "size"), [(2, 400), (5, 39)])
def test_too_little_is_no_drift(runs, size):
    """Two runs, or runs of fewer than 40 requests, show no drift, however steep."""
    assert within_runs(requests(np.tile(np.linspace(1.0, 0.1, size), (runs, 1)))) is None


def interleaved(directory, tired, runs=8, seed=4, noise=0.05, ordered=False, instead=None):
    """Return a run of three schemes in random order, in which each cell is `tired` times as slow as the one before it.

    `ordered` keeps one order in every run; `instead` is (run, latency) of one cell of the second scheme.
    """
    rng = np.random.default_rng(seed)
    names = ("none", "hedge", "collage")
    schemes = [{"scheme": name, "variant": name} for name in names]
    writer = RunWriter(directory, {**HEADER, "schemes": schemes})
    for run in range(runs):
        for place, scheme in enumerate(range(3) if ordered else rng.permutation(3)):
            for number in range(20):
                latency = float(0.02 * (1 + 0.3 * scheme) * (1 + 0.1 * run) * tired**place * rng.lognormal(0, noise))
                latency = instead[1] if instead and (run, scheme) == (instead[0], 1) else latency
                writer.request(request(names[scheme], run, number, latency=latency, task=None, source="default"))
            writer.cell(cell(names[scheme], run, 20, order=3 * run + place, tasks=0))
    writer.finish("done")
    writer.close()
    return load(directory)


def test_a_machine_that_tires_is_found(tmp_path):
    """If each cell is 10 % slower than the one before, the warning says that the last of three is 1.2 times as slow."""
    run = interleaved(tmp_path / "run", 1.1)
    assert over_places(run) == pytest.approx(1.21, rel=0.05)
    assert [text for text in warnings(run) if text.startswith("whichever scheme came last in a run was 1.2")]


def test_schemes_and_runs_that_differ_are_no_drift(tmp_path):
    """Slower schemes and slower runs are no drift, and two runs are too few to show one."""
    assert over_places(interleaved(tmp_path / "even", 1.0)) is None
    assert over_places(interleaved(tmp_path / "short", 1.3, runs=2)) is None


@pytest.mark.parametrize("latency", [None, 0.0])
def test_what_has_no_logarithm_shows_no_drift(tmp_path, latency):
    """A run with a cell whose latency is 0 or infinite shows no drift over the places."""
    assert over_places(interleaved(tmp_path / "run", 1.1, instead=(3, latency))) is None


def test_where_the_order_is_the_same_in_every_run_no_place_is_told_from_its_scheme(tmp_path):
    """If schemes have the same order in every run, a drift cannot be told from their own differences."""
    assert over_places(interleaved(tmp_path / "run", 1.3, ordered=True)) is None


def test_the_place_is_judged_as_least_squares_does(tmp_path):
    """The drift is the slope of a least-squares fit with a constant for each scheme and run, if p is at most 1 %."""
    reported = []
    for seed in range(25):
        run = interleaved(tmp_path / str(seed), 1.1, runs=4, seed=seed, noise=0.3)
        rows, logarithms = [], []
        for scheme, name in enumerate(run.variants):
            mine = run.of(name)
            for number, order in zip(mine.cells["run"].tolist(), mine.cells["order"].tolist(), strict=True):
                rows.append([*np.eye(3)[scheme], *np.eye(4)[number][1:], order - 3 * number])
                logarithms.append(np.log(np.median(mine.requests["latency"][mine.requests["run"] == number])))
        design = np.array(rows)
        found, (left,), rank, _ = np.linalg.lstsq(design, np.array(logarithms), rcond=None)
        degrees = len(rows) - rank
        error = np.sqrt(left / degrees * np.linalg.inv(design.T @ design)[-1, -1])
        times = np.exp(2 * found[-1])
        certain = 2 * stats.t.sf(abs(found[-1]) / error, degrees) <= 0.01
        assert over_places(run) == (pytest.approx(times) if certain and max(times, 1 / times) > 1.1 else None)
        reported.append(certain)
    assert 0 < sum(reported) < len(reported)

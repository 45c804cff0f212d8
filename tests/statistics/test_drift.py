"""Latency that depends on when it was measured."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_run import HEADER, cell, request

from collagebench.results.reader import Table, load
from collagebench.results.writer import RunWriter
from collagebench.statistics.drift import over_places, within_runs
from collagebench.statistics.warnings import warnings


def requests(latencies):
    """Return a table of runs [runs, requests] of one scheme, without warm-up, one arrival a second."""
    runs, size = latencies.shape
    columns = {
        "run": np.repeat(np.arange(runs), size),
        "arrival": np.tile(np.arange(float(size)), runs),
        "latency": latencies.ravel(),
        "warmup": np.zeros(runs * size, dtype=bool),
    }
    return Table(columns, {})


def test_a_slow_beginning_is_found():
    """A first quarter that takes 1.5 times as long gives 1.5, the contrary 2/3, whatever order the rows are in."""
    rng = np.random.default_rng(1)
    calm = 0.02 * rng.lognormal(0, 0.1, (5, 400))
    factor = np.where(np.arange(400) < 100, 1.5, 1.0)
    table = requests(calm * factor)
    assert within_runs(table) == pytest.approx(1.5, rel=0.05)
    assert within_runs(requests(calm / factor)) == pytest.approx(1 / 1.5, rel=0.05)
    shuffled = rng.permutation(len(table))
    mixed = Table({name: column[shuffled] for name, column in table.columns.items()}, {})
    assert within_runs(mixed) == within_runs(table)


def test_steady_runs_seldom_raise_an_alarm():
    """Of 300 steady experiments of 10 runs hardly any is called drifting: significance and size must both be there."""
    rng = np.random.default_rng(2)
    found = [within_runs(requests(0.02 * rng.lognormal(0, 0.5, (10, 238)))) for _ in range(300)]
    assert sum(ratio is not None for ratio in found) <= 3


@pytest.mark.parametrize(("runs", "size"), [(2, 400), (5, 39)])
def test_too_little_is_no_drift(runs, size):
    """Two runs, or runs of fewer than 40 requests, show no drift however steep it looks."""
    assert within_runs(requests(np.tile(np.linspace(1.0, 0.1, size), (runs, 1)))) is None


def interleaved(directory, tired, runs=8):
    """Return a run of three schemes in random order, each place in a run `tired` times as slow as the one before."""
    rng = np.random.default_rng(4)
    names = ("none", "hedge", "collage")
    schemes = [{"scheme": name, "variant": name} for name in names]
    writer = RunWriter(directory, {**HEADER, "schemes": schemes})
    for run in range(runs):
        for place, scheme in enumerate(rng.permutation(3)):
            for number in range(20):
                latency = 0.02 * (1 + 0.3 * scheme) * (1 + 0.1 * run) * tired**place * rng.lognormal(0, 0.05)
                writer.request(request(names[scheme], run, number, latency=float(latency), task=None, source="default"))
            writer.cell(cell(names[scheme], run, 20, order=3 * run + place, tasks=0))
    writer.finish("done")
    writer.close()
    return load(directory)


def test_a_machine_that_tires_is_found(tmp_path):
    """Each cell 10 % slower than the one before: the last of three is 1.21 times as slow, and the warning says so."""
    run = interleaved(tmp_path / "run", 1.1)
    assert over_places(run) == pytest.approx(1.21, rel=0.05)
    assert [text for text in warnings(run) if text.startswith("the last scheme of a run was 1.2")]


def test_schemes_and_runs_that_differ_are_no_drift(tmp_path):
    """Slower schemes and slower runs do not count, nor do two runs say anything."""
    assert over_places(interleaved(tmp_path / "even", 1.0)) is None
    assert over_places(interleaved(tmp_path / "short", 1.3, runs=2)) is None

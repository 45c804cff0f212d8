"""The compact table reproduces what is known of the authors' latencies, in both readings."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from real_processes import ROOT

from collagebench import paths
from collagebench.errors import DataError
from collagebench.stragglers import trace
from collagebench.stragglers.drawn import Drawn
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.placement import Place
from collagebench.stragglers.trace import CollageMachines, collage_trace, machines, pooled

SLOW = 42
PUBLISHED = {0.5: 0.138, 0.9: 0.189, 0.95: 0.215, 0.99: 0.702, 0.999: 0.770}
"""Quantiles of the raw log, seconds, to the millisecond."""
MEAN, LARGEST, ABOVE_HALF = 0.1538, 1.039, 0.02024


def collage_machines(
    seed: int, time_scale: float = 1.0, place: Place = "anywhere", workers: int = 10
) -> CollageMachines:
    """Return the machines without persistent slow periods."""
    return CollageMachines(Levels(seed, 0.0065), workers, time_scale, place=place)


def sample(model: Drawn | CollageMachines) -> NDArray[np.float64]:
    """Return 25 draws of each of 10 workers in each of 400 runs, in this order."""
    places = itertools.product(range(400), range(10), range(25))
    return np.array([model.draw(run, worker, request, 0, 0.0) for run, worker, request in places])


@pytest.fixture(scope="module")
def raw() -> NDArray[np.float64]:
    """Return the authors' log in seconds, if it is available."""
    path = os.environ.get("COLLAGEBENCH_TRACE")
    if not path:
        pytest.skip("COLLAGEBENCH_TRACE does not name the authors' log of latencies")
    latencies: NDArray[np.float64] = np.load(path)
    return latencies


def test_pooled_table() -> None:
    """The pooled table has the log's mean, quantiles, maximum and share of stragglers within half a percent."""
    table = pooled()
    for probability, seconds in PUBLISHED.items():
        # Half a millisecond is what rounding took from the published figure.
        assert table.at(probability) == pytest.approx(seconds, rel=0.005, abs=0.0005)
    assert table.mean == pytest.approx(MEAN, rel=0.005)
    assert table.values[-1] == pytest.approx(LARGEST, rel=0.01)
    assert 1 - table.below(0.5) == pytest.approx(ABOVE_HALF, rel=0.01)


def test_pooled_draws() -> None:
    """100,000 draws over many runs and workers have the table's mean and quantiles within three standard errors."""
    model = collage_trace(seed=1)
    draws = sample(model)
    assert abs(draws.mean() - model.mean) < 3 * draws.std() / math.sqrt(len(draws))
    for probability in PUBLISHED:
        share = (draws < model.distribution.at(probability)).mean()
        assert abs(share - probability) < 3 * math.sqrt(probability * (1 - probability) / len(draws))


def test_draws_do_not_depend_on_order() -> None:
    """A task's draw is the same whatever was drawn before it, and changes with run, worker, request and attempt."""
    for model in (collage_trace(seed=3), collage_machines(seed=3)):
        places = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
        forwards = [model.draw(*place, 0.0) for place in places]
        assert [model.draw(*place, 0.0) for place in reversed(places)] == forwards[::-1]
        assert len(set(forwards)) == len(places)


def test_scaled() -> None:
    """The time scale multiplies every draw, and the mean with it."""
    for family in (collage_trace, collage_machines):
        whole, tenth = family(seed=3), family(seed=3, time_scale=0.1)
        assert tenth.mean == pytest.approx(whole.mean / 10)
        assert [tenth.draw(0, 1, i, 0, 0.0) for i in range(50)] == pytest.approx(
            [whole.draw(0, 1, i, 0, 0.0) / 10 for i in range(50)]
        )


def test_without_stragglers() -> None:
    """Without stragglers nothing is above 0.4 s, the p99 is 0.244 s, and no task takes longer than with them."""
    model = collage_trace(seed=2)
    bound = model.without()
    assert bound is not None
    assert bound.without() is None
    draws = sample(bound)
    assert draws.max() <= 0.4
    assert np.quantile(draws, 0.99) == pytest.approx(0.244, rel=0.02)
    assert pooled().cut(0.4).at(0.99) == pytest.approx(0.244, rel=0.005)
    assert bound.mean == pytest.approx(pooled().cut(0.4).mean, rel=1e-9)
    assert bound.mean == pytest.approx(0.1423, rel=0.005)
    both = [(model.draw(0, 3, i, 0, 0.0), bound.draw(0, 3, i, 0, 0.0)) for i in range(2000)]
    assert all(without <= with_them for with_them, without in both)


def test_one_slow_machine() -> None:
    """Machine 42 alone has a median above 0.4 s, and it has nearly all latencies above 0.5 s."""
    tables = [table for table, _ in machines()]
    assert [i for i, table in enumerate(tables) if table.at(0.5) > 0.4] == [SLOW]
    above = [1 - table.below(0.5) for table in tables]
    assert above[SLOW] / sum(above) == pytest.approx(2746 / 2785, abs=0.003)
    assert collage_machines(seed=1).mean == pytest.approx(MEAN, rel=0.005)


def test_one_worker_one_machine() -> None:
    """A worker's draws in one run all come from its machine's table."""
    model = collage_machines(seed=5)
    for worker in range(50):
        table = model.tables[model.machine(0, worker)]
        draws = np.sort([model.draw(0, worker, i, 0, 0.0) for i in range(2000)])
        shares = np.interp(draws, table.values, table.probabilities)
        assert np.abs(shares - (np.arange(2000) + 0.5) / 2000).max() < 2.2 / math.sqrt(2000)


def test_dealt_without_repetition() -> None:
    """50 workers are the 50 machines, and so are the next 50; each run deals them anew."""
    model = collage_machines(seed=5)
    deals = [[model.machine(run, worker) for worker in range(start, start + 50)] for run in (0, 1) for start in (0, 50)]
    assert all(sorted(deal) == list(range(50)) for deal in deals)
    assert len({tuple(deal) for deal in deals}) == 4


def test_slow_machine_is_dealt_fairly() -> None:
    """A fleet of ten has the slow machine in one run of five, within three standard errors."""
    model = collage_machines(seed=5)
    runs = 2000
    share = sum(SLOW in [model.machine(run, worker) for worker in range(10)] for run in range(runs)) / runs
    assert abs(share - 0.2) < 3 * math.sqrt(0.2 * 0.8 / runs)


def test_machines_without_the_slow_one() -> None:
    """Without stragglers each worker keeps its machine, except the slow one, and no draw is above 0.4 s."""
    model = collage_machines(seed=5)
    bound = model.without()
    assert bound is not None
    assert bound.without() is None
    for worker in range(100):
        before, after = model.machine(0, worker), bound.machine(0, worker)
        assert after != SLOW
        if before != SLOW:
            assert after == before
            assert bound.draw(0, worker, 7, 0, 0.0) <= model.draw(0, worker, 7, 0, 0.0)
    draws = sample(bound)
    assert draws.max() <= 0.4
    # A run's draws share ten machines, so the error is that of the runs' means.
    runs = draws.reshape(400, -1).mean(axis=1)
    assert abs(runs.mean() - bound.mean) < 3 * runs.std() / math.sqrt(len(runs))


@pytest.mark.parametrize(("place", "holder"), [("last", 9), ("first", 0), ("none", None)])
def test_who_holds_the_slow_machine(place: Place, holder: int | None) -> None:
    """With a named place, the last, the first or no worker has the slow machine in every run; none is dealt twice."""
    model, chance = collage_machines(seed=5, place=place), collage_machines(seed=5)
    for run in range(200):
        fleet = [model.machine(run, worker) for worker in range(10)]
        assert [worker for worker, machine in enumerate(fleet) if machine == SLOW] == (
            [holder] if place != "none" else []
        )
        anywhere = [chance.machine(run, worker) for worker in range(10)]
        changed = {worker for worker in range(10) if fleet[worker] != anywhere[worker]}
        assert changed <= {holder, *(worker for worker in range(10) if anywhere[worker] == SLOW)}
        if place != "none":
            assert len(set(fleet)) == 10
    draws = sample(model)
    runs = draws.reshape(400, -1).mean(axis=1)
    assert abs(runs.mean() - model.mean) < 3 * runs.std() / math.sqrt(len(runs))
    bound = model.without()
    assert bound is not None
    assert all(bound.machine(run, worker) != SLOW for run in range(200) for worker in range(10))
    assert bound.mean < model.mean


def test_a_large_fleet_has_one_slow_machine_where_its_place_is_named() -> None:
    """Of 120 workers, which take more than two deals, only the last is slow."""
    model = collage_machines(seed=6, place="last", workers=120)
    for run in range(20):
        assert [worker for worker in range(120) if model.machine(run, worker) == SLOW] == [119]


def test_a_factor_is_a_latency_over_the_median() -> None:
    """In mode scale a draw is the latency over the median of all latencies, whatever the time scale."""
    for time_scale in (1.0, 0.1):
        factors, seconds = collage_trace(3, time_scale, "scale"), collage_trace(3)
        assert [factors.draw(0, 0, i, 0, 0.0) for i in range(50)] == pytest.approx(
            [seconds.draw(0, 0, i, 0, 0.0) / pooled().at(0.5) for i in range(50)]
        )
        assert factors.distribution.at(0.5) == pytest.approx(1.0)


def test_the_table_comes_from_the_log(raw: NDArray[np.float64], tmp_path: Path) -> None:
    """The committed table is byte for byte what the program computes from the authors' log."""
    command = [sys.executable, "benchmarks/latency_table.py", os.environ["COLLAGEBENCH_TRACE"], tmp_path / "table.json"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": ROOT}, check=True)
    assert (tmp_path / "table.json").read_bytes() == (paths.profiles_dir() / "collage-trace.json").read_bytes()


def test_tables_fit_the_log(raw: NDArray[np.float64]) -> None:
    """The distribution functions of the pooled table and of each machine's are within 0.001 and 0.008 of the log's."""

    def distance(log: NDArray[np.float64], values: tuple[float, ...], probabilities: tuple[float, ...]) -> float:
        shares = np.interp(np.sort(log), values, probabilities)
        steps = np.arange(len(log) + 1) / len(log)
        return max(np.abs(shares - steps[1:]).max(), np.abs(shares - steps[:-1]).max())

    together = pooled()
    assert distance(raw, together.values, together.probabilities) < 0.001
    assert sum(count for _, count in machines()) == len(raw)
    for log, (table, _) in zip(np.split(raw, range(2752, len(raw), 2752)), machines(), strict=True):
        assert distance(log, table.values, table.probabilities) < 0.008


@pytest.mark.parametrize("content", [None, "{", '{"probabilities": [0, 1], "machines": [[2, 1]], "counts": [5]}', "[]"])
def test_damaged_table(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is missing or damaged is reported by its path."""
    monkeypatch.setattr(trace, "profiles_dir", lambda: tmp_path)
    if content is not None:
        (tmp_path / "collage-trace.json").write_text(content)
    with pytest.raises(DataError, match=r"collage-trace\.json cannot be read"):
        machines.__wrapped__()


def test_profiles_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles are found beside the package in a checkout, and inside it when it is installed."""
    assert (paths.profiles_dir() / "collage-trace.json").is_file()
    package = tmp_path / "collagebench"
    monkeypatch.setattr(paths, "__file__", str(package / "paths.py"))
    assert paths.profiles_dir() == tmp_path / "profiles"
    (package / "profiles").mkdir(parents=True)
    assert paths.profiles_dir() == package / "profiles"

"""Sweeps: each cell is the experiment that its values make, whoever simulates it and when."""

from __future__ import annotations

import _multiprocessing
import contextlib
import errno
import json
import math
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from full_disk import fill, small_disk
from swept import records

from collagebench.cli.resolve import resolve, resolve_grid
from collagebench.config import from_json
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.errors import DataError, Interrupted, OutputError, UsageError
from collagebench.report.sweep import summarise_sweep
from collagebench.results.sweep import read_sweep, write_sweep
from collagebench.study import points
from collagebench.study.points import Point
from collagebench.study.sweep import recorded_values, simulate_sweep

TABLES = ("requests.csv", "tasks.csv")
ASKED: dict[str, Any] = {
    "schemes": ("none", "collage"), "grid": (2, 3), "utilisation": (0.2, 0.5), "runs": 2, "requests": 60,
    "compute_time": 0.001,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sweep that was simulated at once, by threads."""
    directory = tmp_path_factory.mktemp("sweep") / "whole"
    simulate_sweep(resolve_grid(ASKED), directory, pool=ThreadPoolExecutor)
    return directory


@pytest.mark.processes
def test_other_processes_and_another_order_give_the_same_records(whole: Path, tmp_path: Path) -> None:
    """Processes, and another order of values, give the same records byte for byte."""
    simulate_sweep(resolve_grid({**ASKED, "utilisation": (0.5, 0.2)}), tmp_path / "s", jobs=2)
    assert records(tmp_path / "s") == records(whole)
    assert len(records(whole)) == 4


def test_where_processes_can_share_nothing_it_is_done_without_them(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If /dev/shm cannot be written, there are no locks and counters, and the records are the same."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(points, "RawArray", refuse)
    monkeypatch.setattr(_multiprocessing, "SemLock", refuse)
    heard: list[int] = []
    simulate_sweep(resolve_grid(ASKED), tmp_path / "s", jobs=2, done=lambda done, of, line: heard.append(done))
    assert records(tmp_path / "s") == records(whole)
    assert sorted(set(heard)) == [0, 360, 720]


def test_a_cell_is_an_ordinary_experiment(whole: Path, tmp_path: Path) -> None:
    """A cell has the records of an ordinary experiment with its values, including variants made from a list."""
    config = resolve({**ASKED, "utilisation": 0.5})
    experiment.simulate(config, tmp_path / "r", Progress())
    for table in TABLES:
        assert (tmp_path / "r" / table).read_bytes() == (whole / "utilisation=0.5" / table).read_bytes()
    assert [scheme.variant for scheme in config.schemes] == ["none", "collage grid=2", "collage grid=3"]


def test_a_sweep_says_what_it_is(whole: Path) -> None:
    """`sweep.json` holds axes and cells, and what was asked for, from which the same sweep can be made."""
    sweep = read_sweep(whole)
    assert (sweep.status, sweep.engine, sweep.axes) == ("done", "simulated", {"utilisation": (0.2, 0.5)})
    assert list(sweep.cells) == ["utilisation=0.2", "utilisation=0.5"]
    assert resolve_grid({}, recorded_values(whole)).cells == resolve_grid(ASKED).cells
    assert summarise_sweep(whole)["valid"]


class Stopping(Progress):
    """Interrupts an experiment after a number of cells."""

    def __init__(self, cells: int) -> None:
        self.left = cells

    def cell(self, scheme: str, run: int) -> None:
        """Count down, and interrupt at the end."""
        self.left -= 1
        if self.left < 0:
            raise Interrupted("enough")


def test_an_interrupted_sweep_is_gone_on_with(whole: Path, tmp_path: Path) -> None:
    """Resuming a sweep completes partial cells, simulates missing ones, and leaves finished ones alone."""
    directory, grid = tmp_path / "s", resolve_grid(ASKED)

    def broken(jobs: int) -> Executor:
        with pytest.raises(Interrupted):
            experiment.simulate(grid.cells[1].config, directory / grid.cells[1].name, Stopping(2))
        raise Interrupted("as a Ctrl-C would")

    with pytest.raises(Interrupted, match="continue with --resume"):
        simulate_sweep(grid, directory, pool=broken)
    assert read_sweep(directory).status == "interrupted"
    assert summarise_sweep(directory)["missing"] == ["utilisation=0.2"]
    again = resolve_grid({}, recorded_values(directory))
    simulate_sweep(again, directory, resume=True, pool=ThreadPoolExecutor)
    assert records(directory) == records(whole)
    assert read_sweep(directory).status == "done"
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*.csv")}
    simulate_sweep(again, directory, resume=True, pool=ThreadPoolExecutor)
    assert before == {path: path.stat().st_mtime_ns for path in directory.rglob("*.csv")}


def test_a_sweep_that_lacks_added_runs_is_invalid(whole: Path, tmp_path: Path) -> None:
    """If runs are to be added to both cells, or were to one, the report says so; in the end both have as many."""
    directory, grid = tmp_path / "s", resolve_grid(ASKED)
    simulate_sweep(resolve_grid({**ASKED, "runs": 1}), directory, pool=ThreadPoolExecutor)
    assert summarise_sweep(directory)["valid"]
    said = "fewer than 2 runs, because runs are being added: continue with --resume --runs 2"

    def stopped(jobs: int) -> Executor:
        raise Interrupted("as a Ctrl-C would")

    with pytest.raises(Interrupted):
        simulate_sweep(grid, directory, resume=True, pool=stopped)
    assert summarise_sweep(directory)["reasons"] == [f"utilisation=0.2, 0.5: {said}"]
    simulate_sweep(resolve_grid({**ASKED, "runs": 1}), directory, resume=True, pool=ThreadPoolExecutor)
    assert summarise_sweep(directory)["valid"]
    first = grid.cells[0]
    experiment.simulate(first.config, directory / first.name, Progress(), resume=True)
    found = summarise_sweep(directory)
    assert not found["valid"]
    assert found["reasons"] == [f"utilisation=0.5: {said}"]
    simulate_sweep(grid, directory, resume=True, pool=ThreadPoolExecutor)
    assert summarise_sweep(directory)["valid"]
    assert records(directory) == records(whole)
    simulate_sweep(resolve_grid({**ASKED, "utilisation": 0.2, "runs": (1, 2)}), tmp_path / "t", pool=ThreadPoolExecutor)
    assert summarise_sweep(tmp_path / "t")["valid"]


def test_a_cell_whose_process_was_killed_at_its_first_file_is_done_anew(whole: Path, tmp_path: Path) -> None:
    """A cell with nothing but a partly written header is simulated again."""
    directory, grid = tmp_path / "s", resolve_grid(ASKED)
    cell = directory / grid.cells[0].name
    cell.mkdir(parents=True)
    (cell / ".run.json.9999999.partial").write_text("{")
    write_sweep(directory, read_sweep(whole))
    simulate_sweep(grid, directory, resume=True, pool=ThreadPoolExecutor)
    assert records(directory) == records(whole)
    assert not list(cell.glob(".*"))


def test_a_resumed_sweep_may_grow_but_not_change(whole: Path, tmp_path: Path) -> None:
    """A resumed sweep may have more values; fewer values or runs, other options, and no --resume are refused.

    What is refused changes nothing, so that --resume alone still goes on.
    """
    directory = tmp_path / "s"
    simulate_sweep(resolve_grid({**ASKED, "utilisation": (0.2,)}), directory, pool=ThreadPoolExecutor)
    simulate_sweep(resolve_grid(ASKED), directory, resume=True, pool=ThreadPoolExecutor)
    assert records(directory) == records(whole)
    before = (directory / "sweep.json").read_bytes()
    with pytest.raises(UsageError, match=r"begun with a cell utilisation=0\.2"):
        simulate_sweep(resolve_grid({**ASKED, "utilisation": (0.5, 0.6)}), directory, resume=True)
    with pytest.raises(UsageError, match="begun with --seed 0, not 1"):
        simulate_sweep(resolve_grid({**ASKED, "seed": 1}), directory, resume=True, pool=ThreadPoolExecutor)
    with pytest.raises(UsageError, match=r"begun with --runs 2, not 1: use --runs 2 or more"):
        simulate_sweep(resolve_grid({**ASKED, "runs": 1}), directory, resume=True, pool=ThreadPoolExecutor)
    with pytest.raises(OutputError, match="continue the sweep in it with --resume"):
        simulate_sweep(resolve_grid(ASKED), directory)
    assert (directory / "sweep.json").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda facts: facts["values"].update(requests="x"),
        lambda facts: facts["values"].update(utilisation=[0.2, "x"]),
        lambda facts: facts["values"].update(schemes=[1]),
        lambda facts: facts.pop("axes"),
        lambda facts: facts["cells"].append(facts["cells"][0]),
        lambda facts: facts["cells"][0].update(name="../elsewhere"),
        lambda facts: facts["cells"][0]["values"].update(utilisation=3),
        lambda facts: facts.update(schema=99),
        lambda facts: facts.update(status=None),
        lambda facts: facts.update(engine="x"),
        lambda facts: facts["values"].update(runs=[]),
        *(
            lambda facts, wrong=wrong: facts.update(compute_s=[{"model": "m", "batch": 1, "s": 0.1, **wrong}])
            for wrong in ({"batch": math.inf}, {"s": 10**400}, {"s": math.nan}, {"s": -1})
        ),
    ],
)
def test_a_damaged_sweep_is_one_sentence(whole: Path, tmp_path: Path, damage: Any) -> None:
    """A `sweep.json` that lacks or repeats something is refused, and nothing outside the directory is read."""
    facts = json.loads((whole / "sweep.json").read_text())
    damage(facts)
    (tmp_path / "sweep.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=r"sweep\.json") as refused:
        summarise_sweep(tmp_path)
    assert "Error" not in str(refused.value)


@pytest.mark.parametrize("share", [1.5, math.inf])
def test_a_sweep_whose_experiments_refused_a_value_is_not_called_damaged(tmp_path: Path, share: float) -> None:
    """A sweep that was begun with a share above 1 is reported, and goes on with another share."""
    asked = {**ASKED, "stragglers": "bimodal", "slow_share": share}
    with pytest.raises(UsageError, match="--slow-share must be a share"):
        simulate_sweep(resolve_grid(asked), tmp_path, pool=ThreadPoolExecutor)
    assert read_sweep(tmp_path).values["slow_share"] == share
    assert not summarise_sweep(tmp_path)["valid"]
    simulate_sweep(resolve_grid({**asked, "slow_share": 0.5}), tmp_path, resume=True, pool=ThreadPoolExecutor)
    assert summarise_sweep(tmp_path)["valid"]


def spoilt(cell: Path, name: str) -> None:
    """Add a line that is no record, or a key that is no header, to a file."""
    with (cell / name).open("a") as file:
        file.write("x\n")


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda cell: spoilt(cell, "tasks.csv"), "is not a record"),
        (lambda cell: spoilt(cell, "run.json"), "is not the header of a run"),
        (lambda cell: (cell / "requests.csv").unlink(), "requests.csv cannot be read"),
        (lambda cell: (cell / "run.json").unlink(), "has lost its run.json"),
        (lambda cell: (cell / "cells.csv").unlink() or (cell / "cells.csv").mkdir(), "cells.csv cannot be read"),
        (lambda cell: shutil.rmtree(cell) or cell.write_text(""), "cannot be used as a run directory (File exists)"),
        (lambda cell: (cell / "cells.csv").rename(cell / "notes"), "is not empty"),
    ],
)
def test_a_damaged_cell_says_what_to_remove(
    whole: Path, tmp_path: Path, damage: Callable[[Path], object], what: str
) -> None:
    """A damaged cell is refused with the directory to remove; without it, the cell is simulated again as it was."""
    shutil.copytree(whole, tmp_path / "s")
    cell = tmp_path / "s" / "utilisation=0.2"
    damage(cell)
    with pytest.raises((DataError, OutputError)) as refused:
        simulate_sweep(resolve_grid(ASKED), tmp_path / "s", resume=True, pool=ThreadPoolExecutor)
    assert what in str(refused.value)
    assert str(refused.value).endswith(f"; remove {cell}, so that it is simulated again")
    shutil.rmtree(cell) if cell.is_dir() else cell.unlink()
    simulate_sweep(resolve_grid(ASKED), tmp_path / "s", resume=True, pool=ThreadPoolExecutor)
    assert records(tmp_path / "s") == records(whole)


def test_a_config_that_lacks_something_is_one_sentence(whole: Path) -> None:
    """A scheme without a variant, or resources that are no table, in the config of a run to continue are refused."""
    values = dict(read_sweep(whole).values)
    for damage in ({"schemes": [{"name": "none"}]}, {"ray_resource": 5}, {"host": [{"x": 1}]}):
        with pytest.raises(UsageError, match="the run's config was changed or is damaged"):
            from_json({**values, **damage})


@pytest.mark.parametrize(("error", "status"), [(None, "done"), (Interrupted("interrupted"), "interrupted")])
def test_how_a_sweep_ended_has_the_room_that_was_held_for_it(
    tmp_path: Path, error: Exception | None, status: str
) -> None:
    """If the disk fills up during a sweep, `sweep.json` still says how it ended."""

    def full(point: Point, summary: dict[str, Any]) -> None:
        finished.append(point.name)
        if len(finished) == 2:
            fill(disk)
            if error is not None:
                raise error

    finished: list[str] = []

    with small_disk(tmp_path / "disk", 256) as disk:
        grid = resolve_grid({**ASKED, "schemes": ("none",), "grid": (), "runs": 1, "requests": 20})
        with contextlib.suppress(Interrupted):
            simulate_sweep(grid, disk / "s", 1, finished=full, pool=ThreadPoolExecutor)
        assert read_sweep(disk / "s").status == status

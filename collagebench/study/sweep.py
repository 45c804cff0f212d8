"""A sweep: the cells of a grid as experiments in one directory, simulated in parallel or run one after the other."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from collagebench.claims import held, let_go
from collagebench.config import from_json, option, plain
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.resumed import VERBS, check_asked
from collagebench.errors import CollagebenchError, DataError, Interrupted, OutputError, UsageError
from collagebench.fleet.bearer import Token
from collagebench.results.directory import CELLS, HEADER
from collagebench.results.environment import now
from collagebench.results.sweep import Sweep, is_sweep, read_sweep, write_sweep
from collagebench.study.grid import Cell, Grid
from collagebench.study.points import Compute, Point, measured, or_removed, run_points
from collagebench.study.pool import MakePool

SPARE = 1 << 12
"""Bytes by which `sweep.json` may grow when it records an error at the end; disk space is reserved for it."""


def simulate_sweep(
    grid: Grid,
    directory: Path,
    jobs: int = 0,
    resume: bool = False,
    done: Callable[[int, int, str], None] = lambda done, of, line: None,
    finished: Callable[[Point, dict[str, Any]], None] = lambda point, summary: None,
    pool: MakePool | None = None,
) -> None:
    """Simulate the cells of `grid` in parallel; with `resume`, those that `directory` does not hold yet.

    `jobs`, `done`, `finished` and `pool` are those of `run_points`; each cell is a point.

    Raises:
        UsageError: the sweep in `directory` is a different one and cannot be resumed.
        CollagebenchError: a cell failed; finished cells are kept.
        Interrupted: the user stopped it; finished cells are kept.
    """
    done(0, 1, "preparing")
    known = _earlier(grid, directory, "simulated") if resume else {}
    compute = measured([cell.config for cell in grid.cells], known)
    with _kept(grid, directory, "simulated", resume, compute):
        points = [Point(cell.name, cell.config) for cell in grid.cells]
        run_points(points, directory, compute, jobs, done, pool, finished)


def run_sweep(
    grid: Grid,
    directory: Path,
    resume: bool,
    progress_of: Callable[[Cell], contextlib.AbstractContextManager[Progress]],
    token: Token | None,
) -> None:
    """Run the cells of `grid` on real workers, one after the other; `progress_of` gives each cell its progress view.

    `token` is the bearer token for servers that already run.

    Raises what `simulate_sweep` raises.
    """
    if resume:
        _earlier(grid, directory, "live")
    with _kept(grid, directory, "live", resume, {}):
        for cell in grid.cells:
            there = directory / cell.name
            try:
                with or_removed(there, "run"), progress_of(cell) as progress:
                    experiment.run(cell.config, there, progress, os.path.lexists(there / HEADER), token)
            except Interrupted:
                raise
            except CollagebenchError as error:
                raise type(error)(f"{cell.name}: {error}") from None


def recorded_values(directory: Path) -> dict[str, Any]:
    """Return the values that the sweep in `directory` was given, by Config field; several values are a tuple.

    Raises:
        DataError: the sweep cannot be read.
        UsageError: another version of the program wrote it.
    """
    found = from_json(dict(read_sweep(directory).values))
    if "schemes" in found:
        found["schemes"] = tuple(replace(one, options=_tuples(one.options)) for one in found["schemes"])
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _tuples(options: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in options)


def _earlier(grid: Grid, directory: Path, engine: str) -> Compute:
    """Return the inference times of the sweep to resume; UsageError if it has cells that do not fit those of `grid`."""
    sweep = read_sweep(directory)
    if sweep.engine != engine:
        verb = VERBS.get(sweep.engine, "another program")
        raise UsageError(f"{directory} was begun with {verb}: it cannot be resumed with {VERBS[engine]}")
    names = {cell.name for cell in grid.cells}
    lost = [name for name in sweep.cells if name not in names]
    if lost:
        axes = ", ".join(f"--{option(name)}" for name in sweep.axes)
        raise UsageError(
            f"{directory} was begun with a cell {lost[0]}, which is now missing: lists ({axes}) may be longer than "
            "before, but not shorter. Leave the options out, or sweep again into another directory"
        )
    for cell in grid.cells:  # before `sweep.json` is written, so that what is refused changes nothing
        there = directory / cell.name
        if os.path.lexists(there / CELLS):
            with contextlib.suppress(DataError):  # running the cell tells what is damaged
                check_asked(there, cell.config)
    return sweep.compute_s


@contextlib.contextmanager
def _kept(grid: Grid, directory: Path, engine: str, resume: bool, compute: Compute) -> Iterator[None]:
    """Write `sweep.json` before the sweep begins, and update it with how the sweep ended."""
    if not resume and directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise OutputError(
            f"{directory} is not empty; choose another directory, so that no results are overwritten"
            + (", or continue the sweep in it with --resume" if is_sweep(directory) else "")
        )
    sweep = Sweep(
        engine=engine,
        status="running",
        created_utc=read_sweep(directory).created_utc if resume else now(),
        values=plain(grid.values),
        axes={axis.name: axis.values for axis in grid.axes},
        cells={cell.name: cell.values for cell in grid.cells},
        compute_s=compute,
    )
    room = held(directory, write_sweep(directory, sweep) + SPARE)

    def end(status: str, error: str | None = None) -> None:
        nonlocal room
        let_go(room)
        room = None
        write_sweep(directory, replace(sweep, status=status, error=error))

    try:
        yield
        end("done")
    except Interrupted:
        end("interrupted")
        where = shlex.quote(str(directory))
        raise Interrupted(
            f"interrupted; what was finished is in {directory}: continue with --resume --out {where}"
        ) from None
    except BaseException as error:
        with contextlib.suppress(CollagebenchError):
            end("failed", str(error) or repr(error))
        raise

"""What `run` and `simulate` do if an option has several values: a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collagebench.cli.standard_streams import say
from collagebench.fleet.bearer import Token
from collagebench.study.grid import Cell, Grid

if TYPE_CHECKING:
    from collagebench.cli.live_view import LiveView
    from collagebench.study.points import Point
    from collagebench.study.pool import MakePool


def conduct_sweep(verb: str, options: Mapping[str, Any], grid: Grid, directory: Path, token: Token | None) -> None:
    """Run or simulate all cells of the grid below `directory`."""
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.cli.progress import counted
    from collagebench.study.sweep import run_sweep, simulate_sweep

    done = 0

    @contextmanager
    def live_view(cell: Cell) -> Iterator[LiveView]:
        from collagebench.cli.live_view import LiveView

        nonlocal done
        done += 1
        with LiveView(options["verbose"], before=f"{done} of {len(grid.cells)}: {cell.name}") as view:
            yield view

    def finished(point: Point, summary: Mapping[str, Any]) -> None:
        nonlocal done
        done += 1
        if options["verbose"]:
            say(f"{done} of {len(grid.cells)}, {point.name}: {_said(summary)}")

    if verb == "run":
        run_sweep(grid, directory, options["resume"], live_view, token)
    else:
        with _place(options) as (jobs, pool), counted("preparing") as report:
            simulate_sweep(grid, directory, jobs, options["resume"], report, finished, pool)


@contextmanager
def _place(options: Mapping[str, Any]) -> Iterator[tuple[int, MakePool | None]]:
    """Yield the number of parallel simulations, and a function that makes the executor; None for local processes."""
    if options["on_ray"] is None:
        yield options["jobs"], None
        return
    from collagebench.study.on_ray import RayExecutor

    with RayExecutor(options["on_ray"]) as cluster:
        yield options["jobs"] or cluster.cpus, lambda jobs: cluster


def _said(summary: Mapping[str, Any]) -> str:
    """Return a line with the p99 of every scheme."""
    from collagebench.report.parts import as_ms

    figures = [f"{scheme['variant']} {as_ms(scheme['latency_s']['p99'])}" for scheme in summary["schemes"]]
    return f"p99 in ms {', '.join(figures)}"

"""`collagebench report`: the table or the JSON of runs that were made before."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="[table]")
@click.option("--baseline", metavar="S", help="The scheme that others are compared with. [the first]")
@click.option(
    "--slo",
    "slo_ms",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MS",
    help="Goodput counts answers this fast. [the run's own]",
)
@click.option("--details", is_flag=True, help="Also tables of the answers by source and of the work.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write there instead of printing.")
def command(
    runs: tuple[Path, ...], form: str, baseline: str | None, slo_ms: float | None, details: bool, out: Path | None
) -> int:
    """Print the table or JSON of finished runs; RUN is what `--out` of `run` or `simulate` named.

    Several runs are compared scheme by scheme with the first one. The exit code is 4 when a run is INVALID.
    """
    from collagebench.report import print_report

    return print_report(runs, form, baseline=baseline, slo_ms=slo_ms, details=details, out=out)

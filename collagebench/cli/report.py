"""`collagebench report`: show finished runs as a table, a page, or data for programs."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from collagebench.cli.standard_streams import say
from collagebench.errors import UsageError

FORMATS = ["table", "markdown", "csv", "json", "html", "svg", "trace"]


def _print_schema(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the JSON Schema and exit, before click requires a RUN."""
    if asked:
        from collagebench.report import json_schema

        click.echo(json_schema(), nl=False)
        ctx.exit()


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="Output format. [table]")
@click.option("--baseline", metavar="S", help="Scheme to compare the others with. [the first]")
@click.option(
    "--slo",
    "slo_ms",
    type=float,
    metavar="MS",
    help="Also report the right answers per second that are this fast. [the run's own]",
)
@click.option(
    "--details",
    is_flag=True,
    help="Also print comparisons, answers by source, work, and delays asked and achieved.",
)
@click.option(
    "--fail-if", multiple=True, metavar="GATE", help="Exit with 3 if GATE holds, as in 'collage.p99 > 0.3'; repeatable."
)
@click.option(
    "--json-schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of `--format json` and exit.",
)
@click.option("--out", type=click.Path(), metavar="FILE", help="Write to FILE instead of printing; - prints.")
def command(
    runs: tuple[Path, ...],
    form: str,
    baseline: str | None,
    slo_ms: float | None,
    details: bool,
    fail_if: tuple[str, ...],
    out: str | None,
) -> int:
    """Report finished runs, for people or programs; RUN is the --out directory of `run` or `simulate`.

    Several runs are compared with the first one, scheme by scheme. The exit code is 4 if a run is INVALID.

    \b
    A GATE says when to fail: figures and numbers with + - * / and parentheses
    on both sides of <, <=, > or >=, as in 'collage.p99 > 0.9 * replication.p99'.
    A figure is a scheme (in quotes if its name has a space or a dot) and one of
      p50 p90 p95 p99 p999 mean std max   latency in seconds, also of `bound`
      accuracy not_own busy failed_share  shares from 0 to 1; accuracy is of
                answered requests
      failed    requests without an answer
      work      worker time / that of the baseline
      goodput   right answers in time, per second of the arrivals
      p50_low p99_low accuracy_low goodput_low, and the same with _high
                ends of the 95 % interval; chance rarely trips a gate on them
    An unknown figure fails its gate. INVALID takes precedence: 4, not 3.
    """
    from collagebench.report import print_report
    from collagebench.report.expression import parse

    target = None if out is None or out == "-" else Path(out)
    if slo_ms is not None and not 0 < slo_ms < math.inf:
        raise UsageError(f"--slo must be a number above 0, not {slo_ms}")

    if details and form != "table":
        raise UsageError(
            f"--details adds to the table, not to {form}: leave it out; json and html have all details anyway"
        )
    if form in ("html", "svg", "trace") and target is None and sys.stdout and sys.stdout.isatty():
        raise UsageError(f"{form} cannot be shown in a terminal: write it to a file with --out FILE")
    gates = [parse(text) for text in fail_if]
    code = print_report(runs, form, baseline=baseline, slo_ms=slo_ms, details=details, out=target, fail_if=gates)
    if target is not None:
        say(f"report: {target}")
    return code

"""Reports of run directories: tables and pages for people, data for programs, all from one summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console

from collagebench.errors import EXIT_DONE, EXIT_INVALID, EXIT_THRESHOLD, UsageError
from collagebench.report import csv, gates
from collagebench.report.expression import Gate
from collagebench.report.html import page
from collagebench.report.markdown import markdown
from collagebench.report.output import put
from collagebench.report.parts import print_line
from collagebench.report.summary import summarise
from collagebench.report.sweep import summarise_sweep
from collagebench.report.sweep_page import sweep_page
from collagebench.report.sweep_table import print_sweep, sweep_markdown
from collagebench.report.table import print_summary
from collagebench.report.trace import trace
from collagebench.results.reader import Run, load
from collagebench.results.sweep import is_sweep, read_sweep


def print_report(
    directories: Sequence[Path],
    form: str = "table",
    *,
    baseline: str | None = None,
    slo_ms: float | None = None,
    details: bool = False,
    out: Path | None = None,
    fail_if: Sequence[Gate] = (),
) -> int:
    """Print the report of one or several run directories as `form`, or write it to `out`.

    Return the exit code: 0, 4 when it is INVALID, else 3 when one of the gates `fail_if` failed.

    `details` adds the tables of answers by source and of the work to the table; JSON holds them in any case.

    Raises:
        DataError: a directory is not a run, or cannot be read.
        UsageError: there is no scheme called `baseline`, or none that a gate names.
        OutputError: the report cannot be written.
    """
    if any(is_sweep(directory) for directory in directories):
        return _print_sweep(directories, form, baseline, slo_ms, details, out, fail_if)
    runs = [load(directory) for directory in directories]
    summary = summarise(runs, baseline, slo_ms)
    failed = gates.apply(summary, fail_if)

    text = None if form == "table" else _text(form, summary, runs)

    def show(console: Console) -> None:
        if text is None:
            print_summary(summary, console, details)
        else:
            console.file.write(text)

    seen = put(show, out)
    if failed and (form != "table" or out is not None or not seen):  # whoever sees the exit code should see why
        ones = summary.get("runs", [summary])
        gates.print_gates([gate for one in ones for gate in one["gates"] if gate["failed"]], Console(stderr=True))
    return EXIT_INVALID if not summary["valid"] else EXIT_THRESHOLD if failed else EXIT_DONE


def _print_sweep(
    directories: Sequence[Path],
    form: str,
    baseline: str | None,
    slo_ms: float | None,
    details: bool,
    out: Path | None,
    fail_if: Sequence[Gate],
) -> int:
    """Print the report of a sweep; a gate holds for each of its cells."""
    if len(directories) > 1:
        raise UsageError("a sweep is reported alone: name one directory, or cells of sweeps, which are runs")
    (directory,) = directories
    if form == "trace":
        first = next(iter(read_sweep(directory).cells))
        raise UsageError(f"a sweep has no trace: name one of its cells, such as {directory / first}")
    summary = summarise_sweep(directory, baseline, slo_ms)
    failed = [gates.apply(cell, fail_if) for cell in summary["cells"]]

    def show(console: Console) -> None:
        if form == "json":
            console.file.write(json.dumps(summary, indent=2, allow_nan=False) + "\n")
        elif form == "csv":
            console.file.write(csv.sweep_rows(summary))
        elif form == "markdown":
            console.file.write(sweep_markdown(summary))
        elif form == "html":
            console.file.write(sweep_page(summary, directory.resolve().name))
        else:
            print_sweep(summary, console, details)

    put(show, out)
    return EXIT_INVALID if not summary["valid"] else EXIT_THRESHOLD if any(failed) else EXIT_DONE


def json_schema() -> str:
    """Return the published JSON Schema (draft 2020-12) of the JSON report."""
    return (resources.files(__package__) / "schema.json").read_text(encoding="utf-8")


def _text(form: str, summary: dict[str, Any], runs: Sequence[Run]) -> str:
    """Return the report as the text of a file."""
    parts = summary.get("runs", [summary])
    names = [one.get("name") or run.directory.resolve().name for one, run in zip(parts, runs, strict=True)]
    if form == "json":
        return json.dumps(summary, indent=2, allow_nan=False) + "\n"
    if form == "markdown":
        return markdown(summary)
    if form == "csv":
        return csv.rows(summary, names)
    if form == "html":
        return page(summary, runs, names)
    text, note = trace(runs, names)
    if note:
        print_line(Console(stderr=True), note, indent="note: ")
    return text

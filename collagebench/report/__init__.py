"""Reports of run directories: tables and pages for people, data for programs, all from one summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console

from collagebench.errors import EXIT_DONE, EXIT_INVALID, EXIT_THRESHOLD
from collagebench.report import csv, gates
from collagebench.report.expression import Gate
from collagebench.report.html import page
from collagebench.report.markdown import markdown
from collagebench.report.output import put
from collagebench.report.parts import print_line
from collagebench.report.summary import summarise
from collagebench.report.table import print_summary
from collagebench.report.trace import trace
from collagebench.results.reader import Run, load


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

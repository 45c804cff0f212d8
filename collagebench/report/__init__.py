"""Reports of run directories: tables and pages for people, data for programs, all from one summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console

from collagebench.errors import EXIT_DONE, EXIT_INVALID, EXIT_THRESHOLD, OutputError, UsageError
from collagebench.printable import printable
from collagebench.report import csv, gates
from collagebench.report.expression import Gate
from collagebench.report.html import page
from collagebench.report.markdown import markdown, sweep_markdown
from collagebench.report.output import PlainConsole, put
from collagebench.report.parts import print_line
from collagebench.report.picture import picture, sweep_picture
from collagebench.report.summary import summarise
from collagebench.report.sweep import apply_gates, summarise_sweep
from collagebench.report.sweep_page import sweep_page
from collagebench.report.sweep_table import print_sweep
from collagebench.report.table import print_summary
from collagebench.report.trace import trace
from collagebench.results.reader import Run, load
from collagebench.results.sweep import is_sweep


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
    """Print the report of one or several run directories, or of a sweep, as `form`, or write it to `out`.

    Return the exit code: 4 if the report is INVALID, else 3 if one of the gates `fail_if` failed, else 0.

    `details` adds further tables, such as answers by source and work; JSON always contains them.

    Raises:
        DataError: a directory is not a run, or cannot be read.
        UsageError: there is no scheme called `baseline`, or none that a gate names; or there are several directories,
            and one is a sweep.
        OutputError: the report cannot be written.
    """
    if any(map(is_sweep, directories)):
        directory = _alone(directories, form)
        summary = summarise_sweep(directory, baseline, slo_ms)
        failed = apply_gates(summary, fail_if)
        text = None if form == "table" else _sweep_text(form, summary, directory.resolve().name)
        show = partial(print_sweep, summary, details=details)
    else:
        runs = [load(directory) for directory in directories]
        summary = summarise(runs, baseline, slo_ms)
        failed = gates.apply(summary, fail_if)
        text = None if form == "table" else _text(form, summary, runs)
        show = partial(print_summary, summary, details=details)
    return _give(summary, failed, form, text, show, out)


def _alone(directories: Sequence[Path], form: str) -> Path:
    """Return the directory of a sweep; raise UsageError if it is not the only one, or `form` cannot show a sweep."""
    if len(directories) > 1:
        swept = next(directory for directory in directories if is_sweep(directory))
        raise UsageError(f"{swept} is a sweep, which is reported alone: name only it, or the runs in its cells")
    if form == "trace":
        raise UsageError(f"{directories[0]} is a sweep: a trace shows one run, so name one of its cells")
    return directories[0]


def _give(
    summary: dict[str, Any],
    failed: bool,
    form: str,
    text: str | None,
    show: Callable[[Console], None],
    out: Path | None,
) -> int:
    """Write `text`, or let `show` print if it is None, and return the exit code.

    If the report cannot be written, an exit code other than 0 takes precedence over that error.
    """

    def write(console: Console) -> None:
        console.file.write(printable(text or ""))

    code = EXIT_INVALID if not summary["valid"] else EXIT_THRESHOLD if failed else EXIT_DONE
    try:
        seen = put(show if text is None else write, out)
    except OutputError as error:
        if code == EXIT_DONE:
            raise
        seen = False
        print_line(PlainConsole(stderr=True), f"collagebench: {error}")
    if failed and (form != "table" or out is not None or not seen):  # explain the exit code
        gates.print_gates([gate for gate in summary["gates"] if gate["failed"]], PlainConsole(stderr=True))
    return code


def json_schema() -> str:
    """Return the published JSON Schema (draft 2020-12) of the JSON report."""
    return (resources.files(__package__) / "schema.json").read_text(encoding="utf-8")


def _text(form: str, summary: dict[str, Any], runs: Sequence[Run]) -> str:
    """Return the report as the content of a file."""
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
    if form == "svg":
        return picture(summary, runs, names)
    text, note = trace(runs, names)
    if note:
        print_line(PlainConsole(stderr=True), note, indent="note: ")
    return text


def _sweep_text(form: str, summary: dict[str, Any], name: str) -> str:
    """Return the report of a sweep as the content of a file."""
    if form == "json":
        return json.dumps(summary, indent=2, allow_nan=False) + "\n"
    if form == "markdown":
        return sweep_markdown(summary)
    if form == "csv":
        return csv.sweep_rows(summary)
    if form == "svg":
        return sweep_picture(summary, name)
    return sweep_page(summary, name)

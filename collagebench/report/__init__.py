"""Reports of run directories: the table for people, the JSON object for programs, both from one summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from collagebench.errors import EXIT_DONE, EXIT_INVALID, EXIT_THRESHOLD
from collagebench.report import gates
from collagebench.report.expression import Gate
from collagebench.report.output import put
from collagebench.report.summary import summarise
from collagebench.report.table import print_summary
from collagebench.results.reader import load

FORMATS = ("table", "json")


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
    """Print the report of one or several run directories, or write it to `out`.

    Return the exit code: 0, 4 when it is INVALID, else 3 when one of the gates `fail_if` failed.

    `details` adds the tables of answers by source and of the work to the table; JSON holds them in any case.

    Raises:
        DataError: a directory is not a run, or cannot be read.
        UsageError: there is no scheme called `baseline`, or none that a gate names.
        OutputError: the report cannot be written.
    """
    summary = summarise([load(directory) for directory in directories], baseline, slo_ms)
    failed = gates.apply(summary, fail_if)

    def show(console: Console) -> None:
        if form == "json":
            console.file.write(json.dumps(summary, indent=2, allow_nan=False) + "\n")
        else:
            print_summary(summary, console, details)

    put(show, out)
    return EXIT_INVALID if not summary["valid"] else EXIT_THRESHOLD if failed else EXIT_DONE

"""The tables below the table: which source the answers came from and how right each was, and what the work was."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from collagebench.report.parts import UNKNOWN, as_interval, as_percent, new_table, print_line


def print_details(one: dict[str, Any], console: Console) -> None:
    """Print both tables of one run's summary, each with what its columns mean."""
    ran = [scheme for scheme in one["schemes"] if scheme["runs"]]
    table = new_table("scheme", "source", "answers", "accuracy", "95 % interval")
    for scheme in ran:
        accuracy, name = scheme["accuracy"], scheme["variant"]
        for source, share in sorted(scheme["sources"].items(), key=lambda item: -item[1]):
            right, interval = accuracy["by_source"][source], accuracy["ci95_by_source"][source]
            table.add_row(name, source, as_percent(share), as_percent(right), as_interval(interval))
            name = ""
        answers = accuracy["answers"]
        share = accuracy["straggled_answers"] / answers if answers else None
        right, interval = accuracy["straggled"], accuracy["ci95_straggled"]
        table.add_row(
            name, "(straggled)", as_percent(share), as_percent(right), as_interval(interval), end_section=True
        )
    console.print(table)
    print_line(
        console,
        "answers to requests whose first task (coded: any of them) was to take over twice the median service",
        indent="(straggled)  ",
        style="dim",
    )
    console.print()
    table = new_table("scheme", "tasks", "served s", "wasted s", "taken back", "too late", "MB sent")
    for scheme in ran:
        cost = scheme["cost"]
        table.add_row(
            scheme["variant"],
            str(cost["tasks"]),
            _seconds(cost["executed_s"]),
            _seconds(cost["wasted_s"]),
            str(cost["cancelled_tasks"]),
            f"{cost['cancelled_in_service_tasks']} ({_seconds(cost['cancelled_in_service_s'])} s)",
            UNKNOWN if cost["bytes_sent"] is None else f"{cost['bytes_sent'] / 1e6:.1f}",
        )
    console.print(table)
    for column, meaning in {
        "served s": "worker time in service, all runs together, warm-up included",
        "wasted s": "the part of it in tasks that no request was answered from",
        "taken back": "tasks cancelled before their service began, which cost nothing but their bytes",
        "too late": "tasks cancelled in service, and the time that they ran nevertheless (part of the wasted)",
    }.items():
        print_line(console, meaning, indent=f"{column:<12}", style="dim")
    console.print()


def _seconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds:.1f}"

"""The detail tables: differences from the baseline, sources of answers, work, and injected delays."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from collagebench.report.parts import (
    UNKNOWN,
    as_interval,
    as_ms,
    as_ms_range,
    as_p,
    as_percent,
    as_seconds,
    as_times,
    new_table,
    print_line,
    print_table,
    with_decimals,
)
from collagebench.report.summary import by_source
from collagebench.statistics.comparison import FIGURES

SMALLEST = 1e-16
"""Smaller p values are shown as less than this."""


def print_details(one: dict[str, Any], console: Console) -> None:
    """Print the detail tables of one run's summary, each with a legend."""
    ran = [scheme for scheme in one["schemes"] if scheme["runs"]]
    _print_differences(one, ran, console)
    _print_within(ran, console)
    table = new_table("scheme", "source", "answers", "accuracy", "95 % interval")
    for scheme in ran:
        name = scheme["variant"]
        for source, share, right, interval in by_source(scheme):
            table.add_row(name, source, as_percent(share), as_percent(right), as_interval(interval))
            name = ""
        table.add_section()
    print_table(table, console)
    print_line(
        console,
        "answers to requests whose first task (coded: any of them) was to take over twice the median service time",
        indent="(straggled)  ",
        style="dim",
    )
    print_line(
        console,
        "Wilson's, not treating answers about the same image as independent",
        indent="95 % interval  ",
        style="dim",
    )
    console.print()
    table = new_table("scheme", "tasks", "served s", "wasted s", "cancelled", "too late", "MB sent")
    for scheme in ran:
        cost = scheme["cost"]
        table.add_row(
            scheme["variant"],
            str(cost["tasks"]),
            as_seconds(cost["executed_s"]),
            as_seconds(cost["wasted_s"]),
            str(cost["cancelled_tasks"]),
            _late(cost),
            UNKNOWN if cost["bytes_sent"] is None else f"{cost['bytes_sent'] / 1e6:.1f}",
        )
    print_table(table, console)
    for column, meaning in {
        "served s": "worker time in service over all runs, warm-up included",
        "wasted s": "the part of it spent on tasks that answered no request",
        "cancelled": "tasks cancelled before their service began, which cost nothing but their bytes",
        "too late": "tasks cancelled only in service, and the time that they still ran (part of wasted s)",
    }.items():
        print_line(console, meaning, indent=f"{column:<12}", style="dim")
    console.print()
    _print_injection(ran, console)


def _print_injection(ran: list[dict[str, Any]], console: Console) -> None:
    """Print how well service times met what the stragglers asked for, if that is known."""
    known = [
        scheme
        for scheme in ran
        if scheme["injection"]["error_s"]["p50"] is not None or scheme["injection"]["beyond_floor"] is not None
    ]
    if not known:
        return
    table = new_table("scheme", "services", "error p50 ms", "p99 ms", "beyond floor")
    for scheme in known:
        item = scheme["injection"]
        beyond = item["beyond_floor"]
        table.add_row(
            scheme["variant"],
            str(item["tasks"]),
            as_ms(item["error_s"]["p50"]),
            as_ms(item["error_s"]["p99"]),
            UNKNOWN if beyond is None else f"{beyond} ({as_percent(item['beyond_floor_share'])})",
        )
    print_table(table, console)
    for column, meaning in {
        "error": "difference between the service time that the stragglers asked for and the actual one",
        "beyond floor": "tasks whose inference alone took longer than the minimum asked for",
    }.items():
        print_line(console, meaning, indent=f"{column:<14}", style="dim")
    console.print()


def _print_differences(one: dict[str, Any], ran: list[dict[str, Any]], console: Console) -> None:
    """Print every scheme's differences from the baseline with their intervals."""
    compared = [scheme for scheme in ran if scheme["versus"] and any(scheme["versus"][name] for name in FIGURES)]
    if not compared:
        return
    table = new_table("scheme", "figure", "by", "95 % interval", "ratio", "p", "real")
    for scheme in compared:
        name = scheme["variant"]
        for figure in FIGURES:
            item = scheme["versus"][figure]
            if item is None:
                continue
            shown = _points if figure == "accuracy" else _ms
            difference, interval = (
                item.get("difference_s", item.get("difference")),
                item.get("ci95_s", item.get("ci95")),
            )
            table.add_row(
                name,
                figure + (" pts" if figure == "accuracy" else " ms"),
                shown(difference),
                f"{shown(interval[0])} to {shown(interval[1])}",
                as_times(item.get("ratio")),
                as_p(item["p_holm"]) if item["p_holm"] >= SMALLEST else f"<{SMALLEST:g}",
                "yes" if item["real"] else "no",
            )
            name = ""
        table.add_section()
    print_table(table, console)
    least = one["minimum_effect"]
    print_line(
        console,
        f"by: difference from {one['baseline']}, the mean over the runs of each run's own quantile (not the difference "
        "of the quantiles of all runs together; of accuracy: on the requests that both answered); intervals: each on "
        "its own; p: Student's t test (accuracy: McNemar's test, one coin for each image, or the test that belongs to "
        "the interval, if its p is larger), after Holm's correction over all schemes, so it may be above 0.05 where an "
        f"interval excludes 0; real: p of at most 0.05, more than {100 * least['latency']:g} % or "
        f"{100 * least['accuracy']:g} points, and a ratio whose own interval excludes 1",
        style="dim",
    )
    console.print()


def _print_within(ran: list[dict[str, Any]], console: Console) -> None:
    """Print the intervals from within a single run, if there is only one."""
    single = [scheme for scheme in ran if scheme["ci95_within_s"]["p99"]]
    if not single:
        return
    table = new_table("scheme", "p50 ms", "p99 ms")
    for scheme in single:
        ends = [as_ms_range(scheme["ci95_within_s"][name]) for name in ("p50", "p99")]
        table.add_row(scheme["variant"], *ends)
    print_table(table, console)
    print_line(
        console,
        "95 % intervals from the ranks of the only run's requests, as if these were independent: where they queue, the "
        "intervals are too narrow; more --runs give intervals that hold",
        style="dim",
    )
    console.print()


def _ms(seconds: float) -> str:
    ms = seconds * 1e3
    return with_decimals(ms, 1 if abs(ms) < 1000 else 0, "+")


def _points(share: float) -> str:
    return f"{share * 100:+.2f}"


def _late(cost: dict[str, Any]) -> str:
    tasks, seconds = cost["cancelled_in_service_tasks"], cost["cancelled_in_service_s"]
    return str(tasks) if seconds is None else f"{tasks} ({as_seconds(seconds)} s)"

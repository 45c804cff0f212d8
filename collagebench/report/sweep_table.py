"""A sweep as tables: for each axis a row for every value and a column for every scheme, in a terminal or in Markdown.

Everything is taken from the JSON object of `sweep`, so that all say the same. A table that would be wider than 80
columns is cut into several, each with the axis in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from collagebench.report.gates import print_gates
from collagebench.report.markdown import escaped, lines_of_table
from collagebench.report.parts import UNKNOWN, as_ms, as_percent, as_times, new_table, print_line
from collagebench.report.sweep import Slice, scheme_of, slices, variants

Object = dict[str, Any]

WIDTH = 80
SLICES = 6
"""Tables of one axis, at most; the rest is in the CSV."""
UNSTABLE = "unstable"
BEST = "*"


@dataclass(frozen=True, slots=True)
class Figure:
    """What a table shows of every scheme."""

    title: str
    said: Callable[[Object], str]
    marks_best: bool = False


def _p99(scheme: Object) -> str:
    if scheme["unstable"]:
        return UNSTABLE
    if "p99" in scheme["infinite"]:
        return "inf"
    least = scheme["latency_at_least_s"]["p99"]
    return as_ms(scheme["latency_s"]["p99"]) if least is None else f">= {as_ms(least)}"


P99 = Figure("p99 in ms", _p99, marks_best=True)
MORE = (
    Figure("right answers", lambda scheme: as_percent(scheme["accuracy"]["overall"])),
    Figure("worker time, beside the first scheme", lambda scheme: as_times(scheme["relative"]["executed"])),
)


def print_sweep(summary: Object, console: Console, details: bool = False) -> None:
    """Print a sweep: its tables, what they show, and whether they can be trusted.

    `details` adds tables of accuracy and of work.
    """
    print_line(console, conditions(summary))
    console.print()
    for figure in (P99, *MORE) if details else (P99,):
        _print_figure(summary, figure, console)
    for what, meaning in legend(summary).items():
        print_line(console, meaning, indent=f"{what:<10}", style="dim")
    console.print()
    console.print(Text("VALID", style="bold green") if summary["valid"] else Text("INVALID", style="bold red"))
    for kind, text in notes(summary):
        print_line(console, text, indent=f"  {kind}")
    console.print()
    print_gates([gate for cell in summary["cells"] for gate in cell.get("gates", [])], console)


def sweep_markdown(summary: Object) -> str:
    """Return a sweep as Markdown."""
    lines = [f"**{'VALID' if summary['valid'] else 'INVALID'}**", ""]
    lines += [f"- {kind}{escaped(text)}" for kind, text in notes(summary)]
    lines += [""]
    for figure in (P99, *MORE):
        for part in _shown(summary):
            lines += [f"### {escaped(_title(figure, part))}", ""]
            heads, rows = _cells(summary, part, figure, variants(summary))
            lines += [*lines_of_table(heads, [[escaped(text) for text in row] for row in rows], texts=1), ""]
    lines += [f"{escaped(meaning)} " for meaning in [f"{what}: {text}." for what, text in legend(summary).items()]]
    return "\n".join([*lines, "", escaped(conditions(summary))]).rstrip() + "\n"


def conditions(summary: Object) -> str:
    """Say in words what was swept."""
    axes = ", ".join(f"{axis['option']} {', '.join(axis['labels'])}" for axis in summary["axes"])
    count = len(summary["cells"]) + len(summary["missing"])
    first = summary["cells"][0]["config"] if summary["cells"] else {}
    engine = f"{summary['engine']}: " if summary["engine"] else ""
    each = f", each {first['runs']} x {first['requests']:,} requests" if {"runs", "requests"} <= first.keys() else ""
    fixed = [
        f"{name.replace('_', '-')} {first[name]}"
        for name in ("workers", "stragglers", "dataset", "seed")
        if name in first and name not in {axis["option"].replace("-", "_") for axis in summary["axes"]}
    ]
    return f"{engine}{count} experiments over {axes}{each}; {', '.join(fixed)}"


def legend(summary: Object) -> dict[str, str]:
    """Say what the marks mean that are in the tables."""
    found = {BEST: "the lowest p99, or not shown to differ from it (5 %, paired runs, Holm)"}
    if any(scheme["unstable"] for cell in summary["cells"] for scheme in cell["schemes"]):
        found[UNSTABLE] = "the queue grew to the end of the runs: the scheme cannot bear this load"
    return found


def notes(summary: Object) -> list[tuple[str, str]]:
    """Return what is to be said below the tables: what kind of sentence, and the sentence."""
    found = [("", text) for text in summary["findings"]]
    found += [("because ", text) for text in summary["reasons"]]
    return found + [("note: ", text) for text in summary["warnings"]]


def _print_figure(summary: Object, figure: Figure, console: Console) -> None:
    for part in _shown(summary):
        for some in _that_fit(part, variants(summary), figure, summary):
            heads, rows = _cells(summary, part, figure, some)
            table = new_table(*heads)
            table.columns[0].justify = "left" if any(not label[:1].isdigit() for label, _ in part.cells) else "right"
            for row in rows:
                table.add_row(*row)
            console.print(Text(_title(figure, part), style="bold"))
            console.print(table)
            console.print()
    left = sum(max(0, len(list(slices(summary, axis))) - SLICES) for axis in summary["axes"])
    if left and figure is P99:
        print_line(console, f"{left} more tables are left out: `report --format csv` has every figure", style="dim")
        console.print()


def _shown(summary: Object) -> list[Slice]:
    """Return the slices that have a table: along every axis with several values, some of each."""
    axes = [axis for axis in summary["axes"] if len(axis["values"]) > 1] or summary["axes"]
    return [part for axis in axes for part in list(slices(summary, axis))[:SLICES]]


def _title(figure: Figure, part: Slice) -> str:
    fixed = ", ".join(f"{name} {label}" for name, label in part.fixed)
    return f"{figure.title}{', ' + fixed if fixed else ''}"


def _cells(summary: Object, part: Slice, figure: Figure, some: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for label, cell in part.cells:
        row = [label]
        for variant in some:
            scheme = scheme_of(cell, variant)
            said = UNKNOWN if scheme is None else figure.said(scheme)
            best = figure.marks_best and cell is not None and variant in cell["fastest"]
            row.append(said + (BEST if best else " " if figure.marks_best else ""))
        rows.append(row)
    return [part.axis["option"], *some], rows


def _that_fit(part: Slice, names: Sequence[str], figure: Figure, summary: Object) -> list[list[str]]:
    """Return the schemes in groups of which a table fits."""
    _, rows = _cells(summary, part, figure, names)
    first = max(len(part.axis["option"]), *(len(label) for label, _ in part.cells))
    groups: list[list[str]] = [[]]
    width = first
    for place, name in enumerate(names):
        column = 1 + max(len(name), *(len(row[place + 1]) for row in rows))
        if groups[-1] and width + column > WIDTH:
            groups.append([])
            width = first
        groups[-1].append(name)
        width += column
    return groups

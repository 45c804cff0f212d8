"""The report of a sweep as tables of 80 columns: a row for each value of an axis, a column for each scheme.

All of it is taken from the JSON object of `report.sweep`. `grids` makes the texts, also for the Markdown report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from collagebench.report.gates import print_gates
from collagebench.report.parts import (
    UNKNOWN,
    as_ms,
    as_percent,
    as_rate,
    as_times,
    name_lines,
    new_table,
    print_line,
    print_table,
)
from collagebench.report.summary import bound_of
from collagebench.report.sweep import Object, label_of, scheme_of, slices, variants
from collagebench.report.table import (
    INFINITE,
    REACH,
    arrivals_in_full,
    as_quantile,
    as_reach,
    conditions,
    stragglers_in_full,
)

MOST_SLICES = 12
"""The most tables of one figure and axis; other slices are in the CSV."""
MOST_SENTENCES = 10
HEAD = 12
"""The most characters on one line of a column's head."""
GAP = 2
"""Characters between two columns."""
UNSTABLE = "unstable"
P99 = "p99 ms"
GOODPUT = "right in time, 1/s"
BEST = "*"
IN_FULL = {"arrivals": arrivals_in_full, "stragglers": stragglers_in_full}
"""Axes whose values have parameters of their own, and a function of a cell that returns them in words."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One table: rows are values of an axis, columns are schemes."""

    where: str
    """The values of the other axes; empty if there are none."""
    figure: str
    heads: tuple[str, ...]
    """The axis, then the schemes."""
    rows: tuple[tuple[str, ...], ...]
    """A label of the axis, then one text per scheme."""


def print_sweep(summary: Object, console: Console, details: bool) -> None:
    """Print the object that `summarise_sweep` returned; `details` adds intervals, accuracy and work."""
    print_line(console, sweep_conditions(summary))
    console.print()
    figures = shown_figures(summary, details)
    for axis in summary["axes"]:
        for figure in figures:
            every = list(grids(summary, axis, figure))
            for grid in every[:MOST_SLICES]:
                _print_grid(grid, console)
            if len(every) > MOST_SLICES:
                print_line(
                    console, f"{len(every) - MOST_SLICES} more tables along {axis['option']}: see --format csv or html"
                )
    for what, meaning in legend(summary, details).items():
        print_line(console, meaning, indent=f"{what:<9}", style="dim")
    console.print()
    console.print(Text("VALID", style="bold green") if summary["valid"] else Text("INVALID", style="bold red"))
    for indent, sentences in (("  ", "findings"), ("  because ", "reasons"), ("  note: ", "warnings")):
        for sentence in summary[sentences][:MOST_SENTENCES]:
            print_line(console, sentence, indent=indent)
        if len(summary[sentences]) > MOST_SENTENCES:
            print_line(console, f"and {len(summary[sentences]) - MOST_SENTENCES} more", indent=indent)
    console.print()
    print_gates(summary["gates"], console)


def sweep_conditions(summary: Object) -> str:
    """Return what was swept, and the conditions that all cells share."""
    swept = " and ".join(f"{axis['option']} {_span(axis, summary['cells'])}" for axis in summary["axes"])
    count = len(summary["cells"]) + len(summary["missing"])
    said = f"{summary['engine']} sweep of {swept}, {count} cell{'s' if count != 1 else ''}"
    if not summary["cells"]:
        return said
    return f"{said}; {conditions(_shared(summary['cells'])).removeprefix(summary['engine'] + ': ')}"


def legend(summary: Object, details: bool = False) -> dict[str, str]:
    """Return the meanings of the marks and figures that are shown."""
    cells = summary["cells"]
    least = 100 * cells[0]["minimum_effect"]["latency"] if cells else 0
    meanings = {}
    if any(cell["fastest"] for cell in cells):
        meanings[BEST] = f"the lowest p99, and those not shown to be more than {least:g} % above it"
    if any("p99" in scheme["infinite"] for cell in cells for scheme in cell["schemes"] if not scheme["unstable"]):
        meanings["inf"] = INFINITE
    if any(scheme["unstable"] for cell in cells for scheme in cell["schemes"]):
        meanings[UNSTABLE] = "cannot sustain the load: its queue grows as long as requests arrive, or most fail"
    if any(bound_of(cell["schemes"]) for cell in cells):
        meanings["bound"] = "no stragglers, no redundancy (simulated); a copy may beat even that"
    limits = {cell["slo_ms"] for cell in cells} - {None}
    if limits:
        within = f"{limits.pop():g} ms" if len(limits) == 1 else "the SLO"
        meanings["in time"] = f"right answers per second within {within} of arrival"
    if details:
        meanings["interval"] = REACH
        meanings["work"] = f"worker time spent / that of {cells[0]['baseline'] if cells else 'the baseline'}"
    return meanings


def shown_figures(summary: Object, details: bool) -> list[str]:
    """Return which of FIGURES to show: without `details` only p99, and right answers in time if there is an SLO."""
    timed = any(cell["slo_ms"] is not None for cell in summary["cells"])
    return [name for name in FIGURES if (timed if name == GOODPUT else details or name == P99)]


def grids(summary: Object, axis: Object, figure: str) -> Iterator[Grid]:
    """Yield the tables of a figure along an axis, one for each combination of the other axes' values."""
    names = variants(summary)
    shown = [
        *names,
        *(["bound"] if figure == P99 and any(bound_of(cell["schemes"]) for cell in summary["cells"]) else []),
    ]
    for part in slices(summary, axis):
        rows = [
            (label, *(_bound(cell) if name == "bound" else FIGURES[figure](cell, name) for name in shown))
            for label, cell in part.cells
        ]
        where = ", ".join(f"{name} {label}" for name, label in part.fixed)
        yield Grid(where, figure, (axis["option"], *shown), tuple(rows))


def _print_grid(grid: Grid, console: Console) -> None:
    """Print one table, in several pieces of about the same size if it is too wide."""
    title = f"{grid.figure}{', ' if grid.where else ''}{grid.where}"
    heads = [name_lines(head, HEAD) for head in grid.heads]
    widths = [GAP + max(*map(len, lines), *(len(row[place]) for row in grid.rows)) for place, lines in enumerate(heads)]
    for places in _pieces(widths, console.width):
        console.print(Text(title, style="bold"))
        table = new_table(grid.heads[0], *("\n".join(heads[place]) for place in places))
        table.columns[0].justify = "left"
        for row in grid.rows:
            table.add_row(row[0], *(_styled(row[place]) for place in places))
        print_table(table, console)
        console.print()


def _pieces(widths: Sequence[int], room: int) -> list[list[int]]:
    """Divide the columns after the first into as few pieces as fit beside it, all of about the same size."""
    columns = list(range(1, len(widths)))
    for count in range(1, len(columns)):
        most = -(-len(columns) // count)
        pieces = [columns[start : start + most] for start in range(0, len(columns), most)]
        if all(widths[0] + sum(widths[place] for place in piece) <= room for piece in pieces):
            return pieces
    return [[place] for place in columns]


def _styled(text: str) -> Text:
    return Text(text, style="bold" if text.endswith(BEST) else "red" if text.strip() == UNSTABLE else "")


def _span(axis: Object, cells: Sequence[Object]) -> str:
    """Return the values of an axis: all names, with their parameters, or the first and the last of many numbers."""
    labels, values = axis["labels"], axis["values"]
    if len(labels) > 4 and not any(isinstance(value, str) for value in values):
        return f"{labels[0]} to {labels[-1]}"
    if axis["option"] not in IN_FULL:
        return ", ".join(labels)
    there = {label: [cell for cell in cells if label_of(axis, cell) == label] for label in labels}
    return ", ".join(label + (IN_FULL[axis["option"]](_shared(own)) if own else "") for label, own in there.items())


def _shared(cells: Sequence[Object]) -> Object:
    """Return the first cell without the conditions that differ between cells."""
    first = cells[0]
    config = {
        name: value
        for name, value in first["config"].items()
        if all(cell["config"].get(name) == value for cell in cells)
    }
    rates = {cell["rate"] for cell in cells}
    loads = {round(scheme["utilisation"] or 0, 6) for cell in cells for scheme in cell["schemes"]}
    scales = {(cell["stragglers"] or {}).get("time_scale") for cell in cells}
    facts = first["stragglers"] or {}
    return {
        **first,
        "config": config,
        "rate": first["rate"] if len(rates) == 1 else None,
        "schemes": first["schemes"] if len(loads) == 1 else [],
        "stragglers": facts if len(scales) == 1 else {**facts, "time_scale": None},
    }


def _bound(cell: Object | None) -> str:
    found = bound_of(cell["schemes"]) if cell else None
    return f"{as_ms(found['latency_s']['p99'] if found else None)} "


def _p99(cell: Object | None, variant: str) -> str:
    scheme = scheme_of(cell, variant)
    if cell is None or scheme is None:
        return f"{UNKNOWN} "
    if scheme["unstable"]:
        return f"{UNSTABLE} "
    return f"{as_quantile(scheme, 'p99')}{BEST if variant in cell['fastest'] else ' '}"


def _interval(cell: Object | None, variant: str) -> str:
    scheme = scheme_of(cell, variant)
    return as_reach(scheme) if scheme and not scheme["unstable"] else UNKNOWN


def _accuracy(cell: Object | None, variant: str) -> str:
    scheme = scheme_of(cell, variant)
    return as_percent(scheme["accuracy"]["overall"] if scheme else None)


def _work(cell: Object | None, variant: str) -> str:
    scheme = scheme_of(cell, variant)
    return as_times(scheme["relative"]["executed"] if scheme else None)


def _goodput(cell: Object | None, variant: str) -> str:
    scheme = scheme_of(cell, variant)
    if scheme and scheme["unstable"]:
        return UNSTABLE
    return as_rate(scheme["goodput_rps"] if scheme else None)


FIGURES: dict[str, Callable[[Object | None, str], str]] = {
    P99: _p99,
    GOODPUT: _goodput,
    "p99 interval ms": _interval,
    "accuracy": _accuracy,
    "work": _work,
}
"""The figures of the tables, by name: a function from a cell and a variant to a text."""

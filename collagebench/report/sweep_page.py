"""The report of a sweep as one HTML file: the findings, plots for each axis, and tables of all figures."""

from __future__ import annotations

import json
from collections.abc import Sequence

from collagebench.report.along import ACCURACY, P99, WORK, along
from collagebench.report.document import document
from collagebench.report.figures import (
    INFINITE,
    UNCOMPARED,
    accuracy_cell,
    goodput_cell,
    is_uncompared,
    scrolling,
    td,
    versus,
)
from collagebench.report.frame import Looks, looks_in
from collagebench.report.gates import labelled
from collagebench.report.html import badge, hiding, legend, noted, rest, sentence
from collagebench.report.markup import Content, Markup, join, tag
from collagebench.report.parts import UNKNOWN, as_ms_range, as_times
from collagebench.report.summary import bound_of
from collagebench.report.sweep import Object, Slice, label_of, scheme_of, slices
from collagebench.report.sweep_table import GOODPUT, UNSTABLE, sweep_conditions
from collagebench.report.sweep_table import legend as meanings
from collagebench.report.table import as_quantile
from collagebench.report.tails import ends_of

FIRST = 6
"""The most plots of one figure and axis, and the most sentences, that are not folded."""
ALIKE = 4
"""The most schemes that one cell of the map names."""


def sweep_page(summary: Object, name: str) -> str:
    """Return the whole page, from the object that `summarise_sweep` made of a sweep called `name`."""
    looks = looks_in(summary["cells"])
    bound = any(bound_of(cell["schemes"]) for cell in summary["cells"])
    axes = [_axis(place, summary, axis, looks) for place, axis in enumerate(summary["axes"])] if looks else []
    body = [
        tag("header", tag("p", "collagebench sweep", class_="brand"), tag("h1", name), _verdict(summary)),
        legend(looks, bound) if looks else None,
        tag("main", _map(summary, looks), axes, _made_with(summary)),
        tag("footer", tag("p", "Each cell is a run directory, with a report of its own. This file loads nothing.")),
    ]
    return document(name, body, hiding(looks))


def _verdict(summary: Object) -> Markup:
    found = summary["findings"]
    firm = [*(("because", reason) for reason in summary["reasons"]), *map(labelled, summary["gates"])]
    return tag(
        "div",
        tag("p", badge(summary["valid"])),
        tag("p", sentence(found[0]), class_="lead") if found else None,
        rest(found[1:], FIRST, "What else was found"),
        noted(firm, summary["warnings"]),
        tag("p", sweep_conditions(summary), class_="conditions"),
        class_="verdict",
    )


def _axis(place: int, summary: Object, axis: Object, looks: Looks) -> Markup:
    """Return everything along one axis."""
    parts = list(slices(summary, axis))
    names = list(looks)

    def plots(figure: str) -> list[Markup]:
        what = {"p99": P99, "accuracy": ACCURACY, "work": WORK}[figure]
        drawn = [along(f"{figure}-{place}-{number}", part, names, looks, what) for number, part in enumerate(parts)]
        return [plot for plot in drawn if plot]

    first, accuracy, work = (plots(figure) for figure in ("p99", "accuracy", "work"))
    if len(parts) == 1:  # all three fit side by side
        first, accuracy, work = first + accuracy + work, [], []
    tables = [
        [join([_title(part), _table(part, looks)]) for part in parts],
        tag("p", " ".join(f"{what}: {said}." for what, said in _meanings(summary).items()), class_="note"),
    ]
    return tag(
        "section",
        tag("h2", axis["option"]),
        tag("div", first[:FIRST], class_="plots"),
        _more(first[FIRST:], "The other slices"),
        _more(accuracy, "Accuracy"),
        _more(work, "Work"),
        tag("h3", "Figures"),
        # The tables of the other axes have the same figures, and would separate the plots.
        tag("details", tag("summary", f"The same figures along {axis['option']}"), tables) if place else tables,
    )


def _meanings(summary: Object) -> dict[str, str]:
    """Return the meanings of marks and figures on the page."""
    cells = summary["cells"]
    said = {what: meaning for what, meaning in meanings(summary, details=True).items() if what != "inf"}
    said["interval"] = (
        "small: 95 % intervals; of latencies from how many requests of each run are slower, of their ratios from both "
        "and how alike they are run by run, of right answers in time from the variation between runs, of accuracy "
        "Wilson's"
    )
    least = 100 * cells[0]["minimum_effect"]["latency"] if cells else 0
    said["no difference shown"] = (
        "the ratio's interval includes 1, the mean difference of the runs' own p99s may be chance (paired t test, "
        f"after Holm's correction), or it is at most {least:g} %"
    )
    if any(is_uncompared(scheme) for cell in cells for scheme in cell["schemes"] if not scheme["unstable"]):
        said["not compared"] = UNCOMPARED
    return said


def _map(summary: Object, looks: Looks) -> Markup | None:
    """Return the table of the schemes with the lowest p99 in each cell of two axes."""
    if len(summary["axes"]) != 2 or len(looks) < 2:
        return None
    down, across = summary["axes"]
    cells = {(label_of(down, cell), label_of(across, cell)): _lowest_first(cell) for cell in summary["cells"]}
    rows = [
        tag(
            "tr",
            tag("th", label, scope="row"),
            [tag("td", _together(cells.get((label, other), []), looks), class_="text") for other in across["labels"]],
        )
        for label in down["labels"]
    ]
    heads = [down["option"], *(f"{across['option']} {label}" for label in across["labels"])]
    note = "Schemes in one cell are not told apart; the lowest figure comes first."
    if not all(cells.values()) or summary["missing"]:
        note += f" “{UNKNOWN}”: no p99 to compare: unstable, too few requests, too many failures, or not done."
    return tag(
        "section",
        tag("h2", "The lowest p99"),
        scrolling(heads, rows, "The lowest p99 in every cell", text=True),
        tag("p", note, class_="note"),
    )


def _lowest_first(cell: Object) -> list[str]:
    p99 = {scheme["variant"]: scheme["latency_s"]["p99"] for scheme in cell["schemes"]}
    return sorted(cell["fastest"], key=p99.__getitem__)


def _together(names: Sequence[str], looks: Looks) -> Content:
    shown = [tag("div", tag("i", class_=f"swatch {looks[name].colour}"), name) for name in names[:ALIKE]]
    more = tag("small", f"and {len(names) - ALIKE} more", title=", ".join(names)) if names[ALIKE:] else None
    return [*shown, more] if names else UNKNOWN


def _more(plots: Sequence[Markup], title: str) -> Markup | None:
    return tag("details", tag("summary", title), tag("div", plots, class_="plots")) if plots else None


def _title(part: Slice) -> Markup | None:
    return tag("p", tag("b", ", ".join(f"{name} {label}" for name, label in part.fixed))) if part.fixed else None


def _table(part: Slice, looks: Looks) -> Markup:
    """Return the table of figures of every scheme in the cells of a slice."""
    option = part.axis["option"]
    base = next((cell["baseline"] for _, cell in part.cells if cell), "baseline")
    timed = any(cell and cell["slo_ms"] is not None for _, cell in part.cells)
    lines = []
    for label, cell in part.cells:
        for number, name in enumerate(looks):
            scheme = scheme_of(cell, name)
            sample = tag("i", class_=f"swatch {looks[name].colour}")
            best = cell is not None and name in cell["fastest"]
            cells: Content = [td(UNKNOWN)] * (4 + timed)
            if scheme:
                cells = [
                    _p99(scheme, best),
                    versus(scheme) if not scheme["unstable"] else td(UNKNOWN),
                    accuracy_cell(scheme),
                    td(as_times(scheme["relative"]["executed"])),
                    (td(UNSTABLE) if scheme["unstable"] else goodput_cell(scheme)) if timed else None,
                ]
            head = tag("th", label if number == 0 else "", scope="row")
            lines.append(tag("tr", head, tag("td", sample, name, class_="text"), cells))
    heads = [option, "scheme", "p99 ms", f"p99 / {base}", "accuracy", "work", *([GOODPUT] if timed else [])]
    return scrolling(heads, lines, f"Figures over {option}")


def _p99(scheme: Object, best: bool) -> Markup:
    if scheme["unstable"]:
        return tag("td", UNSTABLE, title=" ".join(scheme["unstable"]))
    if "p99" in scheme["infinite"]:
        return INFINITE
    said = as_quantile(scheme, "p99")
    return td(tag("b", f"{said} *") if best else said, as_ms_range(ends_of(scheme, "p99")))


def _made_with(summary: Object) -> Markup:
    """Return the cells, and the conditions of the first one, folded."""
    cells = summary["cells"]
    known = [{"name": cell["name"], "rate": cell["rate"], "status": cell["status"]} for cell in cells]
    whole = {
        "Cells": known + [{"name": name, "status": "missing"} for name in summary["missing"]],
        "Config of the first cell": cells[0]["config"] if cells else None,
        "Environment": cells[0]["environment"] if cells else None,
        "Models": cells[0]["models"] if cells else None,
    }
    return join(
        [
            tag("h2", "Made with", class_="part"),
            [
                tag("details", tag("summary", what), tag("pre", json.dumps(value, indent=1), tabindex="0"))
                for what, value in whole.items()
                if value
            ],
        ]
    )

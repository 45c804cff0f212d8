"""The comparison of several runs on the HTML page: the table of ratios, p99 with intervals, and the tails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collagebench.report.curves import observed, tail
from collagebench.report.differences import differing
from collagebench.report.figures import scrolling
from collagebench.report.frame import Looks
from collagebench.report.markup import Markup, tag
from collagebench.report.table import as_change, as_compared, unshown
from collagebench.report.whiskers import by_run
from collagebench.results.reader import Run

Object = dict[str, Any]


def comparison(summary: Object, parts: Sequence[Object], runs: Sequence[Run], looks: Looks) -> Markup:
    """Return the section that compares the schemes that several runs have."""
    names = [one["name"] for one in parts]
    rows = summary["comparison"]
    shared = list(dict.fromkeys(row["variant"] for row in rows))
    found: list[Markup] = [tag("h2", "Comparison of the runs")]
    said = differing(summary["differences"])
    if shared:
        found += [
            _table(rows),
            tag("p", f"Ratios are to {names[0]}, scheme by scheme; {unshown(summary)}.", class_="note"),
            tag("p", f"{said[0].upper()}{said[1:]}.", class_="note") if said else Markup(""),
            tag(
                "div",
                by_run("compared", parts, shared, looks),
                [_tails(place, variant, runs, names, looks[variant].classes) for place, variant in enumerate(shared)],
                class_="plots",
            ),
        ]
    else:
        found.append(tag("p", "No scheme is in more than one of these runs."))
    return tag("section", found, class_="run comparison")


def _table(rows: Sequence[Object]) -> Markup:
    lines, previous = [], None
    for row in rows:
        figures = [figure(row, name) for name in ("p50", "p99") for figure in (as_compared, as_change)]
        name = row["variant"] if row["variant"] != previous else ""
        cells = [tag("td", row["run"], class_="text"), [tag("td", figure) for figure in figures]]
        lines.append(tag("tr", tag("th", name, scope="row"), cells, class_="first" if name else None))
        previous = row["variant"]
    return scrolling(["scheme", "run", "p50 ms", "ratio", "p99 ms", "ratio"], lines, "Runs compared")


def _tails(place: int, variant: str, runs: Sequence[Run], names: Sequence[str], classes: str) -> Markup | None:
    """Return the tails of one scheme in all runs: the first in its colour, the others dashed, in the text colour."""
    hides, *_ = classes.split()
    curves = [
        observed(name, classes if number == 0 else f"{hides} other-run d{number}", run.of(variant).requests)
        for number, (name, run) in enumerate(zip(names, runs, strict=True))
        if variant in run.variants
    ]
    known = [curve for curve in curves if curve]
    return tail(f"compared-{place}", known, f"{variant}: the tail in each run") if len(known) > 1 else None

"""The report as one SVG picture for a paper, a slide or a README: a headline and plots.

For a run, the plots are the tail of the latencies, and p99 against work with accuracies; for a sweep, p99, accuracy and
work along its axis, or p99 along each of several axes. They are the plots of the pages. The picture of an INVALID
report says so, as it may be seen without its page.

The picture follows the reader's choice of light or dark, and has its own background. It contains colours where the
pages have CSS variables, which many programs other than browsers do not support.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any
from xml.etree import ElementTree

from collagebench.report.alike import said_once
from collagebench.report.along import ACCURACY, P99, WORK, along
from collagebench.report.curves import curves_of, tail
from collagebench.report.frame import WIDTH, looks_in, text
from collagebench.report.markup import Markup, join, tag
from collagebench.report.scales import CHARACTER
from collagebench.report.sweep import slices
from collagebench.report.sweep_table import sweep_conditions
from collagebench.report.table import conditions
from collagebench.report.tradeoffs import against_work
from collagebench.results.reader import Run

Object = dict[str, Any]

MARGIN, GAP = 18, 28
"""Pixels around the picture and between the columns."""
COLUMNS = 2
WHOLE = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP
SIZES = {"head": 14.0, "caption": 12.5, "soft": 10.5}
"""Font size, in pixels, of each kind of text outside the plots."""
LETTER = CHARACTER / 11 * 0.9
"""Width of a character relative to the font size. CHARACTER is the width, in a long label, at 11 pixels."""


def picture(summary: Object, runs: Sequence[Run], names: Sequence[str]) -> str:
    """Return the picture of the object that `summarise` made of `runs` called `names`, one below the other."""
    parts: list[Object] = summary.get("runs", [summary])
    looks = looks_in(parts)
    sheets = []
    for place, (one, run, name) in enumerate(zip(parts, runs, names, strict=True)):
        curves = curves_of(run, looks)
        plots = [
            tail(f"tail-{place}", curves) if curves else None,
            against_work(f"work-{place}", one, looks, with_accuracy=True),
        ]
        found = one["verdict"][0] if one["verdict"] else "nothing to compare"
        heading = _heading(one, found, name if len(parts) > 1 else "")
        sheets.append((*heading, conditions(one), [plot for plot in plots if plot]))
    return _drawn(sheets)


def sweep_picture(summary: Object, name: str) -> str:
    """Return the picture of the object that `summarise_sweep` made of a sweep called `name`."""
    looks = looks_in(summary["cells"])
    parts = [part for axis in summary["axes"] for part in slices(summary, axis)]
    plots = [
        along(f"{what.title}-{place}", part, list(looks), looks, what)
        for place, part in enumerate(parts)
        for what in ((P99, ACCURACY, WORK) if len(parts) == 1 else (P99,))
    ]
    found = summary["findings"][0] if summary["findings"] else name
    return _drawn([(*_heading(summary, found), sweep_conditions(summary), [plot for plot in plots if plot])])


def _heading(one: Object, found: str, name: str = "") -> tuple[str, str]:
    """Return a headline, the finding or INVALID, and the reason if it is INVALID, else an empty text."""
    before = f"{name}: " if name else ""
    if one["valid"]:
        return f"{before}{found}", ""
    reasons = said_once(one, "reasons") if "schemes" in one else one["reasons"]
    return f"{before}INVALID", f"because {reasons[0]}" if reasons else "because a part of it is"


def _drawn(sheets: Iterable[tuple[str, str, str, Sequence[Markup]]]) -> str:
    """Return the SVG of sheets, one below the other: headline, reason for INVALID, conditions and plots."""
    drawn: list[Markup] = []
    y = float(MARGIN)
    heads = []
    for head, why, said, figures in sheets:
        heads.append(f"{head} {why}".rstrip())
        for line in _lines(head, "head", WHOLE - 2 * MARGIN):
            y += 18
            drawn.append(text(MARGIN, y - 4, line, class_="head bad" if why else "head"))
        for words, classes in ((why, "soft bad"), (said, "soft")):
            for line in _lines(words, "soft", WHOLE - 2 * MARGIN):
                y += 14
                drawn.append(text(MARGIN, y - 2, line, class_=classes))
        for first in range(0, len(figures), COLUMNS):
            y += 14
            row = figures[first : first + COLUMNS]
            below = [_panel(figure, MARGIN + place * (WIDTH + GAP), y) for place, figure in enumerate(row)]
            drawn += [panel for panel, _ in below]
            y = max(bottom for _, bottom in below)
        y += MARGIN
    sheet = tag("rect", x=0.5, y=0.5, width=WHOLE - 1, height=y - 1, rx=6, class_="sheet")
    return (
        tag(
            "svg",
            tag("title", "; ".join(heads)),
            tag("style", Markup(_style())),
            sheet,
            drawn,
            xmlns="http://www.w3.org/2000/svg",
            width=WHOLE,
            height=y,
            viewBox=f"0 0 {WHOLE} {y:g}",
        )
        + "\n"
    )


def _panel(figure: Markup, left: float, top: float) -> tuple[Markup, float]:
    """Return a page's plot as a part of the picture, with its caption and note, and its lower end."""
    whole = ElementTree.fromstring(figure)
    plot = next(whole.iter("svg"))
    width, height = map(float, plot.attrib["viewBox"].split()[2:])
    plot.attrib |= {"x": f"{left:g}", "y": f"{top + 22:g}", "width": f"{width:g}", "height": f"{height:g}"}
    parts = [
        text(left, top + 12, "".join(next(whole.iter("figcaption")).itertext()), class_="caption"),
        Markup(ElementTree.tostring(plot, encoding="unicode")),
    ]
    y = top + 22 + height
    for note in whole.iter("p"):
        for line in _lines("".join(note.itertext()), "soft", WIDTH):
            y += 14
            parts.append(text(left, y, line, class_="soft"))
    return join(parts), y


def _lines(said: str, kind: str, room: float) -> list[str]:
    """Split a text into lines that fit."""
    most = int(room / (LETTER * SIZES[kind]))
    lines: list[str] = []
    for word in re.findall(r"\(p [^)]*\)|\S+", said):  # no break inside "(p 0.01)"
        if lines and len(lines[-1]) + 1 + len(word) <= most:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _style() -> str:
    """Return the rules of the picture with the colours of the pages, for light and for dark."""
    files = resources.files(__package__)
    rules = (files / "picture.css").read_text(encoding="utf-8")
    # The first two sets of variables are those for light and for dark; variables common to both are in the first.
    sets = re.findall(r":root \{(.*?)\}", (files / "page.css").read_text(encoding="utf-8"), re.DOTALL)[:2]
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+)", one)) for one in sets)
    return f"{_with(rules, light)}@media (prefers-color-scheme: dark) {{\n{_with(rules, light | dark)}}}\n"


def _with(rules: str, colours: dict[str, str]) -> str:
    return re.sub(r"var\(--([\w-]+)\)", lambda found: colours[found.group(1)], rules)

"""A sweep as a page: for every axis the p99 of each scheme along it, with its interval, then accuracy and work."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from collagebench.report.document import document
from collagebench.report.figures import scrolling
from collagebench.report.frame import WIDTH, Box, Look, Looks, axes, dot, figure, ms
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_ms, as_percent, as_times
from collagebench.report.scales import Scale, linear, logarithmic
from collagebench.report.sweep import Slice, scheme_of, slices, variants
from collagebench.report.sweep_table import conditions, legend, notes

Object = dict[str, Any]
BOX = Box(left=42, right=WIDTH - 12, top=24, bottom=220)
MOST = 12
"""Slices along one axis that have plots."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a plot shows of each scheme."""

    title: str
    y_title: str
    value: Callable[[Object], float | None]
    interval: Callable[[Object], Sequence[float] | None]
    tick: Callable[[float], str]
    said: Callable[[float], str]
    log: bool = False


MEASURES = (
    Measure(
        "p99",
        "p99 in ms (log scale; lower is better)",
        lambda scheme: None if scheme["unstable"] else scheme["latency_s"]["p99"],
        lambda scheme: scheme["ci95_s"]["p99"],
        ms,
        lambda value: f"p99 {as_ms(value)} ms",
        log=True,
    ),
    Measure(
        "Right answers",
        "right answers, % (higher is better)",
        lambda scheme: scheme["accuracy"]["overall"],
        lambda scheme: scheme["accuracy"]["ci95"],
        lambda share: f"{100 * share:g}",
        lambda value: f"{as_percent(value)} right",
    ),
    Measure(
        "Work",
        "worker time, beside the first scheme (lower is better)",
        lambda scheme: scheme["relative"]["executed"],
        lambda scheme: None,
        lambda value: f"{value:g}",
        lambda value: f"{as_times(value)} the work",
    ),
)


def sweep_page(summary: Object, title: str) -> str:
    """Return the whole page, from the JSON object of a sweep."""
    looks = {variant: Look(place) for place, variant in enumerate(variants(summary))}
    sentences = [text for kind, text in notes(summary) if not kind]
    others = [(kind, text) for kind, text in notes(summary) if kind]
    verdict = tag(
        "div",
        tag("p", badge(summary["valid"])),
        tag("p", sentences[0], class_="lead") if sentences else None,
        tag("ul", [tag("li", text) for text in sentences[1:]], class_="rest") if sentences[1:] else None,
        tag("ul", [tag("li", tag("b", kind), text) for kind, text in others], class_="notes") if others else None,
        tag("p", conditions(summary), class_="conditions"),
        class_="verdict",
    )
    body = [
        tag("header", tag("p", "collagebench report", class_="brand"), tag("h1", title), verdict),
        key_of(looks),
        tag("main", [_along(summary, axis, place, looks) for place, axis in enumerate(summary["axes"])]),
        tag("footer", tag("p", "Each cell is a run directory of its own. This file is complete: it loads nothing.")),
    ]
    return document(title, body)


def badge(valid: bool) -> Markup:
    """Return the word that says whether figures can be trusted."""
    return tag("span", "VALID" if valid else "INVALID", class_="badge valid" if valid else "badge invalid")


def key_of(looks: Looks) -> Markup:
    """Return the names and colours of the schemes."""
    entries = []
    for name, look in looks.items():
        line = tag("path", d="M0 5h22", class_="curve")
        classes = look.classes.split(" ", 1)[1]
        sample = tag("svg", line, class_=classes, viewBox="0 0 22 10", width=22, height=10, aria_hidden="true")
        entries.append(tag("p", sample, name))
    return tag("nav", entries, class_="legend", aria_label="Schemes in the plots")


def _along(summary: Object, axis: Object, place: int, looks: Looks) -> Markup | None:
    """Return the plots and the table along one axis."""
    if len(axis["values"]) < 2 and len(summary["axes"]) > 1:
        return None
    parts = list(slices(summary, axis))
    plots = [
        _plot(f"a{place}-{number}-{measure}", summary, part, MEASURES[measure], looks)
        for number, part in enumerate(parts[:MOST])
        for measure in range(len(MEASURES))
    ]
    left = len(parts) - MOST
    return tag(
        "section",
        tag("h2", f"Along {axis['option']}"),
        tag("div", [plot for plot in plots if plot], class_="plots"),
        tag("p", f"{left} more combinations are in the CSV.", class_="note") if left > 0 else None,
        [_table(summary, part, looks) for part in parts[:MOST]],
        class_="run",
    )


def _plot(key: str, summary: Object, part: Slice, measure: Measure, looks: Looks) -> Markup | None:
    x, places = _across(part)
    found: dict[str, list[tuple[float, float, Sequence[float] | None, str]]] = {}
    for variant in variants(summary):
        for (label, cell), left in zip(part.cells, places, strict=True):
            scheme = scheme_of(cell, variant)
            value = measure.value(scheme) if scheme else None
            if scheme and value is not None:
                found.setdefault(variant, []).append((left, value, measure.interval(scheme), label))
    values = [value for points in found.values() for _, value, _, _ in points]
    if not values:
        return None
    y = (logarithmic if measure.log else linear)(values, BOX.bottom, BOX.top, margin=0.08)
    option = part.axis["option"]
    drawn = axes(BOX, x, y, x_title=option, y_title=measure.y_title, y_text=measure.tick)
    if x is None:
        drawn += [
            tag("text", label, x=left, y=BOX.bottom + 13, class_="tick", text_anchor="middle")
            for (label, _), left in zip(part.cells, places, strict=True)
        ]
    for variant, points in found.items():
        drawn.append(_line(variant, points, y, measure, option, looks[variant].classes, joined=x is not None))
    fixed = ", ".join(f"{name} {label}" for name, label in part.fixed)
    says = "; ".join(
        f"{variant}: " + ", ".join(f"{label}: {measure.said(value)}" for _, value, _, label in points)
        for variant, points in found.items()
    )
    unstable = measure.log and any(scheme["unstable"] for _, cell in part.cells if cell for scheme in cell["schemes"])
    note = "A line ends where its scheme cannot bear the load." if unstable else None
    title = f"{measure.title} along {option}{', ' + fixed if fixed else ''}"
    return figure(key, title, BOX.bottom + 34, drawn, says=says, note=note)


def _across(part: Slice) -> tuple[Scale | None, list[float]]:
    """Return the scale of the axis, None for names, and where each value stands."""
    values = part.axis["values"]
    if all(isinstance(value, (int, float)) for value in values) and len(values) > 1:
        wide = min(values) > 0 and max(values) / min(values) >= 30
        scale = (logarithmic if wide else linear)(values, BOX.left, BOX.right)
        return scale, [scale(value) for value in values]
    step = (BOX.right - BOX.left) / len(values)
    return None, [BOX.left + step * (place + 0.5) for place in range(len(values))]


def _line(
    variant: str,
    points: Sequence[tuple[float, float, Sequence[float] | None, str]],
    y: Scale,
    measure: Measure,
    option: str,
    classes: str,
    *,
    joined: bool,
) -> Markup:
    """Return one scheme's points, joined where the axis is of numbers, with their intervals."""
    drawn = []
    for left, value, interval, label in points:
        ends = [end for end in interval or () if math.isfinite(end)]
        if len(ends) == 2:
            low, high = (min(max(end, y.low), y.high) for end in ends)
            drawn.append(tag("path", class_="whisker", d=f"M{left:.1f} {y(low):.1f}V{y(high):.1f}"))
        mark = dot(left, y(value))
        drawn.append(tag("g", tag("title", f"{variant}, {option} {label}: {measure.said(value)}"), mark))
    if joined and len(points) > 1:
        steps = "L".join(f"{left:.1f} {y(value):.1f}" for left, value, _, _ in points)
        drawn.insert(0, tag("path", class_="curve", d=f"M{steps}"))
    return tag("g", drawn, class_=classes)


def _table(summary: Object, part: Slice, looks: Looks) -> Markup:
    rows = []
    for label, cell in part.cells:
        found = [tag("th", label, scope="row")]
        for variant in variants(summary):
            scheme = scheme_of(cell, variant)
            if scheme is None:
                found.append(tag("td", "-"))
                continue
            said = "unstable" if scheme["unstable"] else as_ms(scheme["latency_s"]["p99"])
            best = cell is not None and variant in cell["fastest"]
            small = f"{as_percent(scheme['accuracy']['overall'])}, {as_times(scheme['relative']['executed'])}"
            found.append(tag("td", tag("b", said) if best else said, tag("small", small)))
        rows.append(tag("tr", found))
    fixed = ", ".join(f"{name} {label}" for name, label in part.fixed)
    note = f"p99 in ms, below it right answers and work. Bold: {legend(summary)['*']}."
    head = tag("h3", fixed) if fixed else None
    table = scrolling([part.axis["option"], *variants(summary)], rows, f"Along {part.axis['option']}")
    config = summary["cells"][0]["config"] if summary["cells"] else {}
    folded = tag("details", tag("summary", "Config of the first cell"), tag("pre", json.dumps(config, indent=1)))
    return tag("div", head, table, tag("p", note, class_="note"), None if fixed else folded)

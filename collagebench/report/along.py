"""Plots of figures along an axis: a line per scheme, with a band for its 95 % interval, over the values of one option.

A scheme has no p99 where it is unstable, or where so many requests fail that it is infinite: its line leaves the plot
at the top and returns at the next known value. Names have no places on a scale, and nothing between them to join: each
has a row for every scheme instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from collagebench.report.frame import (
    WIDTH,
    Box,
    Looks,
    axes,
    coinciding,
    dot,
    figure,
    key,
    left_of,
    ms,
    option_title,
    text,
    text_width,
)
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_ms, as_percent, as_times
from collagebench.report.scales import Scale, linear, logarithmic, of_shares, room_for, shorten
from collagebench.report.summary import bound_of
from collagebench.report.sweep import Object, Slice, scheme_of
from collagebench.report.tails import ends_of
from collagebench.report.whiskers import Mark, Row, of_rows

MOST_BANDS = 6
"""The most schemes whose intervals are drawn as bands; with more, bands would overlap, and bars are drawn."""
ARROW = 14
"""The least length of an arrow upwards, from the centre of its dot."""
WIDE = 20.0
"""The ratio of an axis's largest value to its least from which on it is logarithmic."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure to draw along an axis."""

    title: str
    y_title: str
    """{base} stands for the baseline."""
    value: Callable[[Object], float | None]
    """From a scheme's entry in a cell."""
    interval: Callable[[Object], Sequence[float] | None]
    said: Callable[[float | None], str]
    scale: Callable[[Sequence[float], float, float], Scale]
    y_text: Callable[[float], str]
    quantile: str | None = None
    """The quantile that it is; it is infinite where a scheme is unstable or too many requests fail."""


@dataclass(frozen=True, slots=True)
class Point:
    """One scheme in one cell; `value` is None if it is unknown."""

    x: float
    value: float | None
    interval: Sequence[float] | None
    infinite: bool
    said: str


P99 = Figure(
    "p99",
    "p99 in ms (log scale)",
    lambda scheme: scheme["latency_s"]["p99"],
    lambda scheme: ends_of(scheme, "p99"),
    lambda value: f"{as_ms(value)} ms",
    logarithmic,
    ms,
    quantile="p99",
)
ACCURACY = Figure(
    "Accuracy",
    "right answers, %",
    lambda scheme: scheme["accuracy"]["overall"],
    lambda scheme: scheme["accuracy"]["ci95"],
    as_percent,
    of_shares,
    lambda share: f"{100 * share:g}",
)
WORK = Figure(
    "Work",
    "worker time / that of {base}",
    lambda scheme: scheme["relative"]["executed"],
    lambda scheme: None,
    as_times,
    linear,
    lambda value: f"{value:g}",
)


def along(key_: str, part: Slice, names: Sequence[str], looks: Looks, what: Figure) -> Markup | None:
    """Return the plot of a figure of the schemes `names` along one axis; None if nothing is known.

    Where all that is known is infinite, the vertical axis has no ticks.
    """
    numbers = all(isinstance(value, (int, float)) for value in part.axis["values"])
    places = [float(value) if numbers else place for place, value in enumerate(part.axis["values"])]
    curves = {name: _points(part, places, name, what) for name in names}
    bound = _bound(part, places) if what is P99 else []
    config: Object = next((cell["config"] for _, cell in part.cells if cell), {})
    base = next((shorten(cell["baseline"], 120) for _, cell in part.cells if cell), "")
    where = ", ".join(f"{name} {label}" for name, label in part.fixed)
    title = f"{what.title} over {part.axis['option']}{': ' if where else ''}{where}"
    known = [point.value for points in (*curves.values(), bound) for point in points if point.value is not None]
    if not known and not any(point.infinite for points in curves.values() for point in points):
        return None
    if not numbers:
        looked = [(looks[name].classes, looks[name].shape, name, points) for name, points in curves.items()]
        return _by_name(key_, title, part, [*looked, ("bound", "circle", "bound", bound)], what, base)
    shown = [*(name for name, points in curves.items() if points), *(["bound"] if bound else [])]
    top, bottom = 24, max(214, 24 + 14 * len(shown))
    ends = [end for points in curves.values() for point in points if point.value for end in point.interval or ()]
    y = what.scale([*known, *(end for end in ends if end > 0)], bottom, top)
    box = Box(left_of(y, what.y_text), WIDTH - 26 - room_for(shown, 110), top, bottom)
    x = _horizontal(places, box)
    drawn = axes(
        box,
        None,
        y if known else None,
        x_title=option_title(part.axis["option"], x, config),
        y_title=what.y_title.format(base=base),
        y_text=what.y_text,
    )
    drawn += _ticks(part, places, x, box)
    if bound:  # drawn first, so that schemes cover it
        drawn.append(tag("g", curve("bound", bound, x, y, box, small=True), class_="bound"))
    banded = sum(map(bool, curves.values())) <= MOST_BANDS
    for name, points in curves.items():
        lines = [_band(points, x, y) if banded else [], curve(name, points, x, y, box, looks[name].shape)]
        drawn.append(tag("g", *lines, class_=looks[name].classes))
    order = sorted(curves, key=lambda name: -_last(curves[name]))
    room = WIDTH - box.right - 8
    entries = [(name, looks[name].classes) for name in order if curves[name]]
    drawn += key([*entries, *[("bound", "bound")] * bool(bound)], box.right + 8, box.top + 10, room)
    notes = [
        f"{'Bands' if banded else 'Bars'}: 95 % intervals." if ends else "",
        _alike(curves),
        "A line that leaves at the top with an arrow: the scheme cannot sustain the load there, or so many requests "
        "fail that its p99 is infinite."
        if any(point.infinite for points in curves.values() for point in points)
        else "",
        "A dot below an arrow: so many requests failed that its interval has no upper end." if math.inf in ends else "",
    ]
    return figure(
        key_,
        title,
        box.bottom + 34,
        drawn,
        says="; ".join(point.said for points in curves.values() for point in points),
        note=" ".join(filter(None, notes)) or None,
    )


def _alike(curves: Mapping[str, Sequence[Point]]) -> str:
    """Return sentences about schemes whose lines coincide."""
    return coinciding(
        (name, tuple((point.x, point.infinite, point.value and f"{point.value:.4g}") for point in points))
        for name, points in curves.items()
        if any(point.infinite or point.value is not None for point in points)
    )


def _by_name(
    key_: str,
    title: str,
    part: Slice,
    curves: Sequence[tuple[str, str, str, Sequence[Point]]],
    what: Figure,
    base: str,
) -> Markup:
    """Return the plot of a figure over names: below each, a row for every curve (classes, shape, name, points)."""
    height = 15 if len(curves) <= MOST_BANDS + 1 else 12
    rows = []
    for place, label in enumerate(part.axis["labels"]):
        rows.append(Row(label, "", (), 19))
        for classes, shape, name, points in curves:
            for point in points:
                if point.x == place:
                    mark = Mark(point.value, point.interval, shape, point.said)
                    said = point.said.rpartition(": ")[2] if point.infinite else ""
                    rows.append(Row(name, classes, (mark,), height, said, minor=True))
    marks = [mark for row in rows for mark in row.marks]
    ends = [end for mark in marks for end in mark.interval or ()]
    notes = [
        "Lines: 95 % intervals." if ends else "",
        "An arrow: so many requests failed that an interval has no upper end." if math.inf in ends else "",
    ]
    return of_rows(
        key_,
        title,
        rows,
        what.scale,
        what.y_title.format(base=base),
        what.y_text,
        right=62 if any(row.right for row in rows) else 12,
        note=" ".join(filter(None, notes)) or None,
    )


def _horizontal(places: Sequence[float], box: Box) -> Scale:
    if min(places) > 0 and max(places) >= WIDE * min(places):
        return logarithmic(places, box.left + 6, box.right - 6)
    return linear(places, box.left, box.right)


def _ticks(part: Slice, places: Sequence[float], x: Scale, box: Box) -> list[Markup]:
    """Return a grid line for every value of the axis, with its label if there is room."""
    drawn = []
    free = -math.inf
    for label, place in zip(part.axis["labels"], places, strict=True):
        at = x(place)
        drawn.append(tag("path", class_="grid", d=f"M{at:.1f} {box.top:g}V{box.bottom:g}"))
        half = (text_width(label) + 4) / 2
        if at - half >= free:
            drawn.append(text(at, box.bottom + 13, label, class_="tick", anchor="middle"))
            free = at + half
    return drawn


def _points(part: Slice, places: Sequence[float], name: str, what: Figure) -> list[Point]:
    found = []
    for (label, cell), x in zip(part.cells, places, strict=True):
        scheme = scheme_of(cell, name)
        if scheme is None:
            continue
        unstable = what.quantile is not None and bool(scheme["unstable"])
        infinite = unstable or what.quantile in scheme["infinite"]
        value, interval = (None, None) if infinite else (what.value(scheme), what.interval(scheme))
        said = "unstable" if unstable else "infinite" if infinite else what.said(value)
        if interval:
            said += f", 95 % interval {what.said(interval[0])} to {what.said(interval[1])}"
        found.append(Point(x, value, interval, infinite, f"{name}, {part.axis['option']} {label}: {said}"))
    return found


def _bound(part: Slice, places: Sequence[float]) -> list[Point]:
    found = []
    for (label, cell), x in zip(part.cells, places, strict=True):
        bound = bound_of(cell["schemes"]) if cell else None
        value = bound["latency_s"]["p99"] if bound else None
        if value is not None:
            found.append(Point(x, value, None, False, f"bound, {label}: {as_ms(value)} ms"))
    return found


def _last(points: Sequence[Point]) -> float:
    """Return the last known height of a curve, by which the key is ordered."""
    heights = [math.inf if point.infinite else point.value for point in points]
    return next((height for height in reversed(heights) if height is not None), 0.0)


def _band(points: Sequence[Point], x: Scale, y: Scale) -> list[Markup]:
    """Return the areas between the intervals of neighbouring points."""
    drawn = []
    for one, other in pairwise(points):
        if one.interval and other.interval:
            upper = f"M{x(one.x):.1f} {y(one.interval[1]):.1f}L{x(other.x):.1f} {y(other.interval[1]):.1f}"
            lower = f"L{x(other.x):.1f} {y(other.interval[0]):.1f}L{x(one.x):.1f} {y(one.interval[0]):.1f}Z"
            drawn.append(tag("path", class_="spread", d=upper + lower))
    return drawn


def curve(
    name: str, points: Sequence[Point], x: Scale, y: Scale, box: Box, shape: str = "circle", *, small: bool = False
) -> list[Markup]:
    """Return a line with a dot of this shape at every value; where the value is infinite, an arrow at the top."""
    drawn = []
    line, pen = "", "M"
    for point in points:
        if point.value is None and not point.infinite:
            pen = "M"
            continue
        height = box.top if point.value is None else y(point.value)
        line += f"{pen}{x(point.x):.1f} {height:.1f}"
        pen = "L"
    drawn.append(tag("path", tag("title", name), d=line, class_="curve"))
    for point in points:
        if point.infinite:
            arrow = tag("path", class_="whisker", d=_head(x(point.x), box.top))
            drawn.append(tag("g", tag("title", point.said), arrow))
        elif point.value is not None:
            if point.interval:
                low, high = point.interval
                top = y(high) if math.isfinite(high) else min(box.top, y(point.value) - ARROW)
                ends = f"M{x(point.x):.1f} {y(low):.1f}V{top:.1f}"
                ends += _head(x(point.x), top) if math.isinf(high) else ""
                drawn.append(tag("path", class_="whisker", d=ends))
            drawn.append(
                tag(
                    "g",
                    tag("title", point.said),
                    dot(x(point.x), y(point.value), shape, small=small),
                )
            )
    return drawn


def _head(x: float, top: float) -> str:
    """Return the path of the head of an arrow that points upwards."""
    return f"M{x - 4:.1f} {top + 6:.1f}l4 -6l4 6"

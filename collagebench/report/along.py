"""Plots of figures along an axis: a line per scheme, with a band for its 95 % interval, over the values of one option.

A scheme has no p99 where it is unstable, or where so many requests fail that it is infinite: its line leaves the plot
at the top and returns at the next known value.
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
    places = _places(part)
    curves = {name: _points(part, places, name, what) for name in names}
    bound = _bound(part, places) if what is P99 else []
    known = [point.value for points in (*curves.values(), bound) for point in points if point.value is not None]
    if not known and not any(point.infinite for points in curves.values() for point in points):
        return None
    shown = [*(name for name, points in curves.items() if points), *(["bound"] if bound else [])]
    top, bottom = 24, max(214, 24 + 14 * len(shown))
    ends = [end for points in curves.values() for point in points if point.value for end in point.interval or ()]
    y = what.scale([*known, *(end for end in ends if end > 0)], bottom, top)
    box = Box(left_of(y, what.y_text), WIDTH - 26 - room_for(shown, 110), top, bottom)
    x = _horizontal(part, places, box)
    numbers = all(isinstance(value, (int, float)) for value in part.axis["values"])
    config = next(cell for _, cell in part.cells if cell is not None)["config"]
    x_title = option_title(part.axis["option"], x, config) if numbers else part.axis["option"]
    base = next((shorten(cell["baseline"], 120) for _, cell in part.cells if cell), "")
    drawn = axes(
        box, None, y if known else None, x_title=x_title, y_title=what.y_title.format(base=base), y_text=what.y_text
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
    where = ", ".join(f"{name} {label}" for name, label in part.fixed)
    return figure(
        key_,
        f"{what.title} over {part.axis['option']}{': ' if where else ''}{where}",
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


def _places(part: Slice) -> list[float]:
    """Return the position of each value: a number itself, or the index of a name."""
    values = part.axis["values"]
    numbers = all(isinstance(value, (int, float)) for value in values)
    return [float(value) for value in values] if numbers else [float(place) for place in range(len(values))]


def _horizontal(part: Slice, places: Sequence[float], box: Box) -> Scale:
    if not isinstance(part.axis["values"][0], (int, float)):
        return Scale(-0.3, len(places) - 0.7, box.left, box.right)
    if min(places) > 0 and max(places) >= WIDE * min(places):
        return logarithmic(places, box.left + 6, box.right - 6)
    return linear(places, box.left, box.right)


def _ticks(part: Slice, places: Sequence[float], x: Scale, box: Box) -> list[Markup]:
    """Return a grid line for every value of the axis, with its label if there is room."""
    drawn = []
    free = -math.inf
    room = (box.right - box.left) / len(places) if not isinstance(part.axis["values"][0], (int, float)) else WIDTH
    for label, place in zip(part.axis["labels"], places, strict=True):
        at, said = x(place), shorten(label, room)
        drawn.append(tag("path", class_="grid", d=f"M{at:.1f} {box.top:g}V{box.bottom:g}"))
        half = (text_width(said) + 4) / 2
        if at - half >= free:
            drawn.append(text(at, box.bottom + 13, said, class_="tick", anchor="middle"))
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

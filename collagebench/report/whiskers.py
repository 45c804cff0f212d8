"""Plots of figures with intervals, one row each: p50, p95 and p99 of every scheme, and accuracy by source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from collagebench.report.frame import WIDTH, Box, Looks, axes, dot, figure, ms, text
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_interval, as_ms, as_ms_range, as_percent
from collagebench.report.scales import Scale, logarithmic, of_shares, room_for, shorten
from collagebench.report.summary import bound_of
from collagebench.report.tails import ends_of

INDENT = 10
"""Pixels by which minor rows are indented."""
ARROW, HEAD = 18, "m-4 -3l4 3l-4 3"
"""The least length of an arrow to the right, from the centre of its mark, and its head."""
INFINITE = "infinite"
"""The end of the tooltip of a quantile that is infinite, and has no mark."""
BELOW = 0.15
"""How far the axis reaches below the lowest overall accuracy; less accurate sources are shown at its end."""


HIGH, MOST_PARTS = 420, 3
"""A plot of accuracy higher than this many pixels is divided into at most this many parts: a wide page shows three side
by side."""
ACCURACY = (
    "Wilson's 95 % intervals, not treating answers about the same image as independent. Straggled: requests whose "
    "first task was to take over twice the median service time, whatever answered them."
)


@dataclass(frozen=True, slots=True)
class Mark:
    """One figure: a dot at `value` with a line along `interval`, or an arrow to the right from `at_least`."""

    value: float | None
    interval: Sequence[float] | None
    shape: str
    said: str
    """Its tooltip."""
    at_least: float | None = None
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A name and its figures; one without figures is the title of the rows below it."""

    name: str
    classes: str
    marks: tuple[Mark, ...]
    height: float = 20
    right: str = ""
    """The text at the end of the row."""
    minor: bool = False


def quantiles(key: str, one: dict[str, Any], looks: Looks) -> Markup | None:
    """Return the plot of p50, p95 and p99 with their intervals; None if there are none."""
    shapes = {"p50": "circle", "p95": "diamond", "p99": "square"}
    rows = [
        Row(scheme["variant"], looks[scheme["variant"]].classes, tuple(quantile_marks(scheme, shapes)), 26)
        for scheme in one["schemes"]
        if scheme["runs"]
    ]
    bound = bound_of(one["schemes"])
    if bound:
        known = [(shape, name, bound["latency_s"][name]) for name, shape in shapes.items()]
        marks = tuple(Mark(value, None, shape, f"{name} {as_ms(value)} ms") for shape, name, value in known)
        rows.append(Row("bound", "bound", marks, 26))
    if not rows:
        return None
    return of_rows(
        key,
        "p50, p95 and p99 with 95 % intervals",
        rows,
        logarithmic,
        "latency in ms (log scale)",
        ms,
        legend=tuple((name, shape) for name, shape in shapes.items()),
        note=f"Intervals from how many requests of each run are slower (Student's t). {_arrows(rows)}".rstrip(),
    )


def by_run(key: str, parts: Sequence[dict[str, Any]], variants: Sequence[str], looks: Looks) -> Markup:
    """Return the plot of p50 and p99 of the schemes `variants`, with a row for each run."""
    shapes = {"p50": "circle", "p99": "square"}
    rows = []
    for variant in variants:
        classes = looks[variant].classes
        rows.append(Row(variant, classes, (), 18))
        for one in parts:
            scheme = next((item for item in one["schemes"] if item["variant"] == variant and item["runs"]), None)
            if scheme:
                rows.append(Row(one["name"], classes, tuple(quantile_marks(scheme, shapes)), 18, minor=True))
    return of_rows(
        key,
        "p50 and p99 in each run",
        rows,
        logarithmic,
        "latency in ms (log scale)",
        ms,
        legend=tuple(shapes.items()),
        note=_arrows(rows) or None,
    )


def _arrows(rows: Sequence[Row]) -> str:
    """Return sentences about the arrows of these rows, and about missing marks; empty if there are none."""
    marks = [mark for row in rows for mark in row.marks]
    said = [
        "A hollow mark with an arrow: too few requests to bound it from above; it is at least this much."
        if any(mark.hollow for mark in marks)
        else "",
        "A full mark with an arrow: so many requests failed that its interval has no upper end."
        if any(mark.interval and math.isinf(mark.interval[1]) for mark in marks)
        else "",
        "No mark: so many requests failed that it is infinite."
        if any(mark.said.endswith(INFINITE) for mark in marks)
        else "",
    ]
    return " ".join(filter(None, said))


def quantile_marks(scheme: dict[str, Any], shapes: dict[str, str]) -> Iterable[Mark]:
    """Yield the marks of a scheme's quantiles; those without an upper bound are shown at their lower bound."""
    for name, shape in shapes.items():
        value, least = scheme["latency_s"][name], scheme["latency_at_least_s"][name]
        interval = ends_of(scheme, name)
        said = f"{scheme['variant']} {name}: "
        if name in scheme["infinite"]:
            yield Mark(None, None, shape, said + INFINITE)
        elif value is None and least is None:
            yield Mark(None, None, shape, said + "not known")
        elif value is None:
            yield Mark(least, None, shape, f"{said}at least {as_ms(least)} ms", at_least=least, hollow=True)
        else:
            ends = f", 95 % interval {as_ms_range(interval)}" if interval else ""
            yield Mark(value, interval, shape, f"{said}{as_ms(value)} ms{ends}")


def accuracy(key: str, one: dict[str, Any], looks: Looks) -> list[Markup]:
    """Return plots of accuracy: overall, by source if there are several, and of the requests that straggled.

    Many schemes are divided among several plots with the same scale, which are side by side if there is room.
    """
    blocks = [_accuracy_rows(scheme, looks) for scheme in one["schemes"] if scheme["accuracy"]["overall"] is not None]
    if not blocks:
        return []
    rows = [row for block in blocks for row in block]
    least = _overall(rows) - BELOW
    values = [value for value in _places(rows) if value >= least]
    parts = _shared_out(blocks)
    return [
        of_rows(
            f"{key}{f'-{place}' if place else ''}",
            "Accuracy by source of the answer" + (f", {place + 1} of {len(parts)}" if len(parts) > 1 else ""),
            part,
            lambda _, start, end: of_shares(values, start, end),
            "right answers, % (right: share of the answers)",
            lambda share: f"{100 * share:g}",
            left=_names_room(rows),
            right=52,
            note=ACCURACY if place == len(parts) - 1 else None,
        )
        for place, part in enumerate(parts)
    ]


def _accuracy_rows(scheme: dict[str, Any], looks: Looks) -> list[Row]:
    found, classes = scheme["accuracy"], looks[scheme["variant"]].classes
    rows = [_share_row(scheme["variant"], classes, found["overall"], found["ci95"], "square")]
    sources = sorted(scheme["sources"].items(), key=lambda item: -item[1])
    for source, share in sources if len(sources) > 1 else ():
        value, interval = found["by_source"][source], found["ci95_by_source"][source]
        rows.append(_share_row(source, classes, value, interval, "circle", share))
    if found["straggled"] is not None:
        share = found["straggled_answers"] / found["answers"]
        interval = found["ci95_straggled"]
        rows.append(_share_row("straggled", classes, found["straggled"], interval, "diamond", share))
    return rows


def _shared_out(blocks: Sequence[list[Row]]) -> list[list[Row]]:
    """Divide the rows of all schemes into as few parts of about the same height as possible; no scheme is split."""
    whole = sum(row.height for block in blocks for row in block)
    count = min(MOST_PARTS, math.ceil(whole / HIGH))
    parts: list[list[Row]] = [[] for _ in range(count)]
    above = 0.0
    for block in blocks:
        height = sum(row.height for row in block)
        parts[min(count - 1, int((above + height / 2) / whole * count))] += block
        above += height
    return [part for part in parts if part]


def _share_row(
    name: str, classes: str, value: float | None, interval: Any, shape: str, share: float | None = None
) -> Row:
    said = f"{name}: {as_percent(value)} right, 95 % interval {as_interval(interval)}"
    mark = Mark(value, interval, shape, said)
    minor = share is not None
    return Row(name, classes, (mark,), 15 if minor else 19, as_percent(share) if minor else "", minor)


def _overall(rows: Sequence[Row]) -> float:
    return min((mark.value for row in rows if not row.minor for mark in row.marks if mark.value is not None), default=0)


def of_rows(
    key: str,
    title: str,
    rows: Sequence[Row],
    scale: Callable[[Sequence[float], float, float], Scale],
    x_title: str,
    x_text: Callable[[float], str],
    *,
    legend: Sequence[tuple[str, str]] = (),
    left: float | None = None,
    right: float = 12,
    note: str | None = None,
) -> Markup:
    """Return a plot of rows; intervals that do not fit have no end mark, and values that do not fit become arrows."""
    top = 26 if legend else 8
    left = _names_room(rows) if left is None else left
    box = Box(left, WIDTH - right, top, top + sum(row.height for row in rows) + 4)
    places = _places(rows)
    x = scale(places, box.left + 8, box.right - 8)
    drawn = axes(box, x if places else None, None, x_title=x_title, x_text=x_text)
    for place, (name, shape) in enumerate(legend):
        drawn.append(tag("g", dot(left + 14 + 62 * place, 11, shape), text(left + 23 + 62 * place, 15, name)))
    y = box.top
    for row in rows:
        drawn.append(_row(row, y + 2 + row.height / 2, x, box))
        y += row.height
    says = "; ".join(mark.said for row in rows for mark in row.marks)
    return figure(key, title, box.bottom + 34, drawn, says=says, note=note)


def _names_room(rows: Sequence[Row]) -> float:
    return room_for([row.name + "  " * row.minor for row in rows if row.marks], 130)


def _places(rows: Sequence[Row]) -> list[float]:
    """Return the values and the ends of intervals that the scale should hold."""
    values = [mark.value for row in rows for mark in row.marks if mark.value is not None]
    return values + [end for row in rows if row.right == "" for mark in row.marks for end in mark.interval or ()]


def _row(row: Row, y: float, x: Scale, box: Box) -> Markup:
    count = len(row.marks)
    indent = INDENT if row.minor else 0
    room = (box.left if row.marks else WIDTH) - indent
    drawn = [
        tag("path", class_="row", d=f"M{box.left:g} {y:g}H{box.right:g}") if row.marks else None,
        text(indent, y + 4, shorten(row.name, room), class_="tick" if row.minor else "label"),
    ]
    for place, mark in enumerate(row.marks):
        if mark.value is None:
            continue
        if not x.holds(mark.value):  # far below the others
            arrow = tag("path", class_="whisker", d=f"M{box.left + 9:g} {y - 4:g}l-6 4l6 4")
            said = text(box.left + 13, y + 4, f"{100 * mark.value:.1f}", class_="tick")
            drawn.append(tag("g", tag("title", mark.said), arrow, said))
            continue
        level = y + (place - (count - 1) / 2) * min(7.0, (row.height - 8) / max(1, count - 1)) if count > 1 else y
        line = ""
        if mark.interval:
            low, high = mark.interval
            end = x(high) if math.isfinite(high) else max(x(high), x(mark.value) + ARROW)
            line = f"M{x(low):.1f} {level:.1f}H{end:.1f}"
            line += HEAD if math.isinf(high) else ""
            line += "" if not x.holds(low) else f"M{x(low):.1f} {level - 3:.1f}v6"
            line += "" if not x.holds(high) else f"M{x(high):.1f} {level - 3:.1f}v6"
        elif mark.at_least is not None:
            line = f"M{x(mark.at_least):.1f} {level:.1f}h{ARROW}{HEAD}"
        drawn.append(
            tag(
                "g",
                tag("title", mark.said),
                tag("path", class_="whisker", d=line) if line else None,
                dot(x(mark.value), level, mark.shape, hollow=mark.hollow),
            )
        )
    if row.right:
        drawn.append(text(WIDTH - 2, y + 4, row.right, class_="tick", anchor="end"))
    return tag("g", *drawn, class_=row.classes)

"""The page of a search for crossovers: plots of the schemes and of each pair's difference, and all figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from collagebench.report.along import Point, curve
from collagebench.report.crossover import RATIOS, UNSHOWN, Object, as_ratio, conditions, notes_on
from collagebench.report.document import document
from collagebench.report.figures import INFINITE, scrolling, td
from collagebench.report.frame import WIDTH, Box, Look, axes, dot, figure, left_of, looks_of, ms, option_title
from collagebench.report.html import hiding, legend, sentence
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import UNKNOWN, as_ms, as_ms_range, with_decimals
from collagebench.report.scales import Scale, linear, logarithmic

MOST = 6
"""A plot shows differences up to this multiple of the median absolute difference."""
BOX = Box(left=46, right=WIDTH - 12, top=24, bottom=210)
IN_SENTENCES = {"alike": "Cannot be told apart"}
"""The outcomes that notes on the page explain, by the words of its sentences; it has no column of outcomes."""
DIFFERENCES = (
    "Differences between two schemes: the mean over the runs, with the 95 % interval of each value on its own. Hollow: "
    "no difference is shown. Shaded: the range of a crossing."
)


def crossover_page(answer: Object, title: str) -> str:
    """Return the whole page."""
    looks = looks_of({scheme["variant"]: scheme["name"] for scheme in answer["config"]["schemes"]})
    names = list(looks)
    sentences = [pair["said"] for pair in sorted(answer["pairs"], key=lambda pair: not pair["crossings"])]
    plots = [_figures(answer, looks), *(_difference(answer, pair, place) for place, pair in enumerate(answer["pairs"]))]
    rows = [
        tag(
            "tr",
            tag("th", f"{point['value']:.4g}", scope="row"),
            [
                td("unstable")
                if one["unstable"]
                else INFINITE
                if one["infinite"]
                else td(as_ms(one["value_s"]), as_ms_range(one["ci95_s"]))
                for one in point["schemes"]
            ],
            [_ratio_cell(pair["differences"][place]) for pair in answer["pairs"]],
        )
        for place, point in enumerate(answer["points"])
    ]
    heads = [answer["over"], *names, *(f"{pair['first']} / {pair['second']}" for pair in answer["pairs"])]
    notes = notes_on(answer, IN_SENTENCES)
    body = [
        tag(
            "header",
            tag("p", "collagebench crossover", class_="brand"),
            tag("h1", title),
            tag(
                "div",
                tag("p", sentence(sentences[0]), class_="lead"),
                tag("ul", [tag("li", sentence(text)) for text in sentences[1:]], class_="rest")
                if sentences[1:]
                else None,
                tag("ul", [tag("li", sentence(text)) for text in notes], class_="notes") if notes else None,
                tag("p", conditions(answer), class_="conditions"),
                class_="verdict",
            ),
        ),
        legend(looks, bound=False),
        tag(
            "main",
            tag("div", [plot for plot in plots if plot], class_="plots"),
            tag("p", DIFFERENCES, class_="note") if any(plots[1:]) else None,
            tag("h2", f"{answer['metric']} in ms at every value that was simulated, and its ratios", class_="part"),
            scrolling(heads, rows, "All values"),
            tag("p", f"Small: 95 % intervals. {RATIOS} {UNSHOWN}", class_="note"),
            tag("details", tag("summary", "Config"), tag("pre", json.dumps(answer["config"], indent=1), tabindex="0")),
        ),
        tag("footer", tag("p", "Simulated. This file is complete: it loads nothing.")),
    ]
    return document(title, body, hiding(looks))


def _ratio_cell(one: Object) -> Markup:
    return td(*as_ratio(one)) if one["ratio"] else td(UNKNOWN)


def _figures(answer: Object, looks: Mapping[str, Look]) -> Markup | None:
    """Return the plot of every scheme along the axis, with the crossings; None if no figure is known and finite."""
    curves: dict[str, list[Point]] = {name: [] for name in looks}
    for point in answer["points"]:
        for one in point["schemes"]:
            infinite = one["unstable"] or one["infinite"]
            value = None if infinite else one["value_s"]
            said = "unstable" if one["unstable"] else "infinite" if infinite else f"{as_ms(value)} ms"
            tip = f"{one['variant']}, {answer['over']} {point['value']:.3g}: {said}"
            curves[one["variant"]].append(Point(point["value"], value, None, infinite, tip))
    values = [point.value for points in curves.values() for point in points if point.value is not None]
    if not values:
        return None
    y = logarithmic(values, BOX.bottom, BOX.top)
    box = replace(BOX, left=left_of(y, ms, BOX.left))
    x, metric = _across(answer, box), answer["metric"]
    x_title = option_title(answer["over"], x, answer["config"])
    drawn = axes(box, x, y, x_title=x_title, y_title=f"{metric} in ms (log scale; lower is better)", y_text=ms)
    for pair in answer["pairs"]:
        drawn += [_guide(x(one["at"])) for one in pair["crossings"]]
    for name, points in curves.items():
        drawn.append(
            tag("g", curve(name, points, x, y, box, looks[name].shape, small=True), class_=looks[name].classes)
        )
    says = "; ".join(pair["said"] for pair in answer["pairs"])
    note = " ".join(
        filter(None, [*(_overloaded(answer, name) for name in looks), *(_lost(answer, name) for name in looks)])
    )
    return figure("figures", f"{metric} along {answer['over']}", box.bottom + 34, drawn, says=says, note=note or None)


def _overloaded(answer: Object, name: str) -> str:
    """Return a sentence about where a scheme is unstable and has no figure; empty if there is no such value."""
    where = _where(answer, [one["unstable"] for one in _of(answer, name)])
    return where and f"{where}, {name} cannot sustain the load, or most requests fail, so it has no figure."


def _lost(answer: Object, name: str) -> str:
    """Return a sentence about where a scheme's figure is infinite; empty if there is no such value."""
    where = _where(answer, [one["infinite"] and not one["unstable"] for one in _of(answer, name)])
    return where and f"{where}, so many requests of {name} fail that its {answer['metric']} is infinite."


def _incomparable(answer: Object, pair: Object) -> str:
    """Return a sentence about where a pair has no difference, though both sustain the load; empty if nowhere."""
    both = zip(_of(answer, pair["first"]), _of(answer, pair["second"]), strict=True)
    stable = [not (one["unstable"] or other["unstable"]) for one, other in both]
    gaps = [one["difference_s"] is None and so for one, so in zip(pair["differences"], stable, strict=True)]
    where = _where(answer, gaps)
    return where and f"{where} there is nothing to compare: not both have a {answer['metric']} in every run."


def _of(answer: Object, name: str) -> list[Object]:
    """Return a scheme's figures at every value."""
    return [one for point in answer["points"] for one in point["schemes"] if one["variant"] == name]


def _where(answer: Object, is_so: Sequence[bool]) -> str:
    """Return the values at which something is so, as the beginning of a sentence; empty if there is none."""
    spans: list[list[float]] = []
    for so, group in groupby(zip(is_so, answer["points"], strict=True), key=itemgetter(0)):
        if so:
            spans.append([point["value"] for _, point in group])
    said = ", ".join(f"{span[0]:.4g} to {span[-1]:.4g}" if len(span) > 1 else f"{span[0]:.4g}" for span in spans)
    return said and f"At {answer['over']} {said}"


def _difference(answer: Object, pair: Object, place: int) -> Markup | None:
    """Return the plot of a pair's difference, with its intervals and its crossings."""
    known = [one for one in pair["differences"] if one["difference_s"] is not None]
    if not known:
        return None
    values = [one["difference_s"] for one in known]
    ends = [end for one in known for end in one["ci95_s"] or ()]
    middle = sorted(abs(value) for value in values)[len(values) // 2]
    shown = [max(min(value, MOST * middle), -MOST * middle) if middle else value for value in [*values, *ends]]
    y = linear([*shown, 0.0], BOX.bottom, BOX.top)
    box = replace(BOX, left=left_of(y, ms, BOX.left))
    x = _across(answer, box)
    title = f"{pair['first']} − {pair['second']}"
    x_title = option_title(answer["over"], x, answer["config"])
    drawn = []
    for one in pair["crossings"]:  # first, as they would hide the line at zero
        low, high = (x(end) for end in one["ci95"])
        drawn.append(
            tag("rect", x=low, y=box.top, width=max(high - low, 1.0), height=box.bottom - box.top, class_="band")
        )
    drawn += axes(box, x, y, x_title=x_title, y_title=f"difference of {answer['metric']}, ms", y_text=ms)
    drawn.append(tag("path", class_="axis", d=f"M{box.left:g} {y(0.0):.1f}H{box.right:g}"))
    drawn += [_guide(x(one["at"])) for one in pair["crossings"]]
    for one in known:
        left = x(one["value"])
        if one["ci95_s"]:
            low, high = (y(end) for end in one["ci95_s"])
            drawn.append(tag("path", class_="whisker", d=f"M{left:.1f} {low:.1f}V{high:.1f}"))
        times = f", {pair['first']} / {pair['second']} {' '.join(as_ratio(one))}" if one["ratio"] else ""
        tip = tag(
            "title",
            f"{answer['over']} {one['value']:.3g}: {with_decimals(1e3 * one['difference_s'], 1, '+')} ms{times}",
        )
        value = one["difference_s"]
        there = y.holds(value)
        mark = (
            dot(left, y(value), hollow=one["verdict"] == 0, small=True)
            if there
            else _beyond(left, y(value), value > y.high)
        )
        drawn.append(tag("g", tip, mark))
    notes = [
        f"Below zero {pair['first']} is better, above it {pair['second']}.",
        "Arrow: beyond the scale." if not all(map(y.holds, values)) else "",
        *(_overloaded(answer, name) for name in (pair["first"], pair["second"])),
        _incomparable(answer, pair),
    ]
    note = " ".join(filter(None, notes))
    return figure(f"pair-{place}", title, box.bottom + 34, drawn, says=pair["said"], note=note)


def _beyond(x: float, y: float, up: bool) -> Markup:
    """Return the arrow for a value beyond the top or the bottom of a plot."""
    sign = 1 if up else -1
    return tag("path", class_="mark", d=f"M{x:.1f} {y:.1f}l-4 {7 * sign}h8z")


def _across(answer: Object, box: Box) -> Scale:
    scale = logarithmic if answer["log"] else linear
    return scale([answer["from"], answer["to"]], box.left, box.right, margin=0.05)


def _guide(left: float) -> Markup:
    return tag("path", class_="guide", d=f"M{left:.1f} {BOX.top:g}V{BOX.bottom:g}")

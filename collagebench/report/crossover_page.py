"""The page of a search for crossovers: plots of the schemes and of each pair's difference, and all figures."""

from __future__ import annotations

import json
from collections.abc import Mapping

from collagebench.report.crossover import RATIOS, UNSHOWN, Object, as_ratio, conditions, notes_on
from collagebench.report.document import document
from collagebench.report.figures import scrolling, td
from collagebench.report.frame import WIDTH, Box, Look, axes, dot, figure, looks_of, ms, option_title
from collagebench.report.html import hiding, legend, sentence
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import UNKNOWN, as_ms, as_ms_range
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
                tag("td", "unstable") if one["unstable"] else td(as_ms(one["value_s"]), as_ms_range(one["ci95_s"]))
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
    """Return the plot of every scheme along the axis, with the crossings."""
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in looks}
    for point in answer["points"]:
        for one in point["schemes"]:
            if one["value_s"] is not None and not one["unstable"]:
                curves[one["variant"]].append((point["value"], one["value_s"]))
    values = [value for points in curves.values() for _, value in points]
    if not values:
        return None
    x, y = _across(answer), logarithmic(values, BOX.bottom, BOX.top)
    metric = answer["metric"]
    x_title = option_title(answer["over"], x, answer["config"])
    drawn = axes(BOX, x, y, x_title=x_title, y_title=f"{metric} in ms (log scale; lower is better)", y_text=ms)
    for pair in answer["pairs"]:
        drawn += [_guide(x(one["at"])) for one in pair["crossings"]]
    for name, points in curves.items():
        steps = "L".join(f"{x(value):.1f} {y(seconds):.1f}" for value, seconds in points)
        marks = [
            tag(
                "g",
                tag("title", f"{name}, {answer['over']} {value:.3g}: {as_ms(seconds)} ms"),
                dot(x(value), y(seconds), looks[name].shape, small=True),
            )
            for value, seconds in points
        ]
        line = tag("path", class_="curve", d=f"M{steps}") if len(points) > 1 else None
        drawn.append(tag("g", line, marks, class_=looks[name].classes))
    says = "; ".join(pair["said"] for pair in answer["pairs"])
    note = " ".join(_overloaded(answer, name) for name in looks) or None
    return figure("figures", f"{metric} along {answer['over']}", BOX.bottom + 34, drawn, says=says, note=note)


def _overloaded(answer: Object, name: str) -> str:
    """Return a sentence about where a scheme is unstable and has no figure; empty if there is no such value."""
    spans: list[list[float]] = []
    before = False
    for point in answer["points"]:
        is_so = any(one["variant"] == name and one["unstable"] for one in point["schemes"])
        if is_so and before:
            spans[-1].append(point["value"])
        elif is_so:
            spans.append([point["value"]])
        before = is_so
    if not spans:
        return ""
    where = ", ".join(f"{span[0]:.4g} to {span[-1]:.4g}" if len(span) > 1 else f"{span[0]:.4g}" for span in spans)
    return f"At {answer['over']} {where}, {name} cannot sustain the load, or most requests fail, so it has no figure."


def _difference(answer: Object, pair: Object, place: int) -> Markup | None:
    """Return the plot of a pair's difference, with its intervals and its crossings."""
    known = [one for one in pair["differences"] if one["difference_s"] is not None]
    if not known:
        return None
    values = [one["difference_s"] for one in known]
    ends = [end for one in known for end in one["ci95_s"] or ()]
    middle = sorted(abs(value) for value in values)[len(values) // 2]
    shown = [max(min(value, MOST * middle), -MOST * middle) if middle else value for value in [*values, *ends]]
    x, y = _across(answer), linear([*shown, 0.0], BOX.bottom, BOX.top)
    title = f"{pair['first']} − {pair['second']}"
    x_title = option_title(answer["over"], x, answer["config"])
    drawn = []
    for one in pair["crossings"]:  # first, as they would hide the line at zero
        low, high = (x(end) for end in one["ci95"])
        drawn.append(
            tag("rect", x=low, y=BOX.top, width=max(high - low, 1.0), height=BOX.bottom - BOX.top, class_="band")
        )
    drawn += axes(BOX, x, y, x_title=x_title, y_title=f"difference of {answer['metric']}, ms", y_text=ms)
    drawn.append(tag("path", class_="axis", d=f"M{BOX.left:g} {y(0.0):.1f}H{BOX.right:g}"))
    drawn += [_guide(x(one["at"])) for one in pair["crossings"]]
    for one in known:
        left = x(one["value"])
        if one["ci95_s"]:
            low, high = (y(end) for end in one["ci95_s"])
            drawn.append(tag("path", class_="whisker", d=f"M{left:.1f} {low:.1f}V{high:.1f}"))
        times = f", {pair['first']} / {pair['second']} {' '.join(as_ratio(one))}" if one["ratio"] else ""
        tip = tag("title", f"{answer['over']} {one['value']:.3g}: {1e3 * one['difference_s']:+.1f} ms{times}")
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
    ]
    note = " ".join(filter(None, notes))
    return figure(f"pair-{place}", title, BOX.bottom + 34, drawn, says=pair["said"], note=note)


def _beyond(x: float, y: float, up: bool) -> Markup:
    """Return the arrow for a value beyond the top or the bottom of a plot."""
    sign = 1 if up else -1
    return tag("path", class_="mark", d=f"M{x:.1f} {y:.1f}l-4 {7 * sign}h8z")


def _across(answer: Object) -> Scale:
    scale = logarithmic if answer["log"] else linear
    return scale([answer["from"], answer["to"]], BOX.left, BOX.right, margin=0.05)


def _guide(left: float) -> Markup:
    return tag("path", class_="guide", d=f"M{left:.1f} {BOX.top:g}V{BOX.bottom:g}")

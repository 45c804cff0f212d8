"""The tables of the HTML page: figures with their intervals, schemes, answers by source, and work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collagebench.config import option
from collagebench.report.frame import Look, Looks
from collagebench.report.markup import Content, Markup, join, tag
from collagebench.report.parts import (
    TEXTS,
    UNKNOWN,
    as_interval,
    as_ms,
    as_ms_range,
    as_percent,
    as_rate,
    as_rates,
    as_seconds,
    as_times,
)
from collagebench.report.summary import bound_of, by_source, not_own
from collagebench.report.tails import ends_of

Object = dict[str, Any]


DOES = {
    "none": "One worker serves each request.",
    "equal": "The same, using every worker of the budget.",
    "replication": "Several workers at once; the first reply wins.",
    "hedge": "A copy goes to a second worker if there is no answer after the delay.",
    "hedge-idle": "One queue for all workers; an idle one takes a waiting request, or else a copy.",
    "tied": "In two queues at once; the worker that starts it first serves it alone.",
    "reissue": "Given up after a timeout, and sent to another worker.",
    "default": "The most frequent class if there is no answer in time.",
    "backup": "Also to a smaller, faster model, which answers if the single is late.",
    "parity": "Also in one task with others, from which one missing output is reconstructed.",
    "approxifer": "Only as part of coded images; any k replies answer all k requests, approximately.",
    "nercc": "Only as part of coded images; whichever replies come answer all requests, approximately.",
    "collage": "Also as one cell of a mosaic on one more worker; the first answer wins.",
}

UNCOMPARED = "that takes at least two runs, each with a p99 of both schemes"


def figures(one: Object, looks: Looks) -> Markup:
    """Return the table of all schemes' figures, with 95 % intervals below them."""
    base = one["baseline"]
    in_time = f" within {one['slo_ms']:g} ms" if one["slo_ms"] else ""
    lost = any(scheme["failed"] for scheme in one["schemes"])
    heads = [
        "scheme",
        "p99 ms",  # first, so that a phone shows what the page is about
        f"p99 / {base}",
        "accuracy",
        "p50 ms",
        "p95 ms",
        "not own",
        "work",
        "goodput /s",
        "failed",
    ]
    rows = [_figures_row(scheme, looks) for scheme in one["schemes"]]
    bound = bound_of(one["schemes"])
    if bound:
        p50, p95, p99 = (td(as_ms(bound["latency_s"][name])) for name in ("p50", "p95", "p99"))
        cells = [p99, td(""), td(""), p50, p95, *[td("")] * 4]
        rows.append(tag("tr", tag("th", "bound", scope="row"), cells, class_="bound"))
    least = one["minimum_effect"]
    notes = [
        "Small: 95 % intervals; of latencies and goodput from how many requests of each run are slower, or right "
        "in time; of shares Wilson's, not treating answers about the same image as independent.",
        f"p99 / {base}: of all runs together, with an interval from both and how alike they are run by run; “no "
        "difference shown” unless that excludes 1, the mean difference of the runs' own p99s is significant (paired t "
        f"test, after Holm's correction), and it is above {100 * least['latency']:g} %.",
        f"Not compared: {UNCOMPARED}." if any(map(is_uncompared, one["schemes"])) else "",
        "Not own: answers that did not come from the request's own first task.",
        f"Work: worker time / that of {base}. Goodput: right answers{in_time}, per second of the arrivals.",
        "Accuracy: of the requests that were answered." if lost else "",
        f"Bound: no stragglers, no redundancy ({bound['source']})." if bound else "",
    ]
    note = " ".join(filter(None, notes))
    return join([scrolling(heads, rows, "Figures of every scheme"), tag("p", note, class_="note")])


def _figures_row(scheme: Object, looks: Looks) -> Markup:
    return tag(
        "tr",
        _name(scheme["variant"], looks),
        _quantile(scheme, "p99"),
        versus(scheme),
        accuracy_cell(scheme),
        [_quantile(scheme, name) for name in ("p50", "p95")],
        td(as_percent(not_own(scheme))),
        td(as_times(scheme["relative"]["executed"])),
        goodput_cell(scheme),
        td(f"{scheme['failed']:,}" if scheme["runs"] else UNKNOWN),
    )


def _quantile(scheme: Object, name: str) -> Markup:
    if name in scheme["infinite"]:
        return INFINITE
    least = scheme["latency_at_least_s"][name]
    if least is not None:
        return td(f"≥ {as_ms(least)}", "too few requests")
    return td(as_ms(scheme["latency_s"][name]), as_ms_range(ends_of(scheme, name)))


def versus(scheme: Object) -> Markup:
    """Return the cell with the ratio of the p99 to the baseline's, with its interval if they are shown to differ."""
    if is_uncompared(scheme):
        return td(as_times(scheme["relative"]["p99"]), "not compared")
    figure = (scheme["versus"] or {}).get("p99")
    if not figure:
        return td(as_times(scheme["relative"]["p99"]))
    if not figure["real"]:
        return td(as_times(figure["ratio"]), "no difference shown")
    ends = figure["ratio_ci95"]
    return td(as_times(figure["ratio"]), f"{as_times(ends[0])} to {as_times(ends[1])}" if ends else "")


def is_uncompared(scheme: Object) -> bool:
    """Return whether a scheme has a ratio of p99s that was not tested, for example because there is only one run."""
    return scheme["relative"]["p99"] is not None and scheme["versus"] is not None and not scheme["versus"]["p99"]


def accuracy_cell(scheme: Object) -> Markup:
    """Return the cell with the accuracy of all answers, and its interval."""
    overall, ends = scheme["accuracy"]["overall"], scheme["accuracy"]["ci95"]
    return td(as_percent(overall), as_interval(ends) if ends else "")


def goodput_cell(scheme: Object) -> Markup:
    """Return the cell with the right answers in time per second, and their interval."""
    return td(as_rate(scheme["goodput_rps"]), as_rates(scheme["goodput_ci95_rps"]))


def schemes_table(one: Object, looks: Looks) -> Markup:
    """Return the table of what each scheme does, with its settings and workers."""
    rows = []
    for scheme in one["schemes"]:
        own = scheme["scheme"] not in DOES  # a scheme of the user's own has no options on the command line
        given = [
            f"{option(name)} = {_value(value)}" if own else f"--{option(name)} {_value(value)}"
            for name, value in scheme["settings"].items()
        ]
        workers = [f"{count} {role}" for role, count in (scheme["allotment"] or {}).items()]
        rows.append(
            tag(
                "tr",
                _name(scheme["variant"], looks),
                tag("td", DOES.get(scheme["scheme"]) or scheme["about"] or "", class_="text words"),
                tag("td", join([tag("code", text), " "] for text in given), class_="text words"),
                tag("td", ", ".join(workers) or UNKNOWN, class_="text"),
            )
        )
    heads = ["scheme", "what it does", "settings", "workers"]
    return scrolling(heads, rows, "Schemes")


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def accuracy_table(one: Object, looks: Looks) -> Markup:
    """Return the table of answers by source."""
    rows = [
        tag(
            "tr",
            _name(scheme["variant"], looks),
            tag("td", source, class_="text"),
            [td(text) for text in (as_percent(share), as_percent(right), as_interval(interval))],
        )
        for scheme in one["schemes"]
        for source, share, right, interval in by_source(scheme)
    ]
    note = (
        "Source of an answer: own, the request's own first task; hedge, replica or resent, a copy of it; anything "
        "else, made by the scheme. Straggled: requests whose own task was slow."
    )
    heads = ["scheme", "source", "answers", "accuracy", "95 % interval"]
    return join([scrolling(heads, rows, "Answers by source"), tag("p", note, class_="note")])


def work_table(one: Object, looks: Looks) -> Markup:
    """Return the table of tasks, worker time and bytes, warm-up included."""
    heads = ["scheme", "workers", "tasks", "served s", "wasted s", "cancelled", "too late", "MB sent", "busy"]
    rows = []
    for scheme in one["schemes"]:
        cost = scheme["cost"]
        if not cost:
            continue
        cells = (
            UNKNOWN if scheme["workers"] is None else str(scheme["workers"]),
            f"{cost['tasks']:,}",
            as_seconds(cost["executed_s"]),
            as_seconds(cost["wasted_s"]),
            f"{cost['cancelled_tasks']:,}",
            _late(cost),
            UNKNOWN if cost["bytes_sent"] is None else f"{cost['bytes_sent'] / 1e6:.1f}",
            as_percent(scheme["busy"]),
        )
        rows.append(tag("tr", _name(scheme["variant"], looks), [td(text) for text in cells]))
    note = (
        "Served: worker time in service, warm-up included; wasted: in tasks that answered no request; cancelled: "
        "before service; too late: cancelled in service, which runs to its end; busy: share of the workers' time in "
        "service while requests arrived."
    )
    return join([scrolling(heads, rows, "Work of every scheme"), tag("p", note, class_="note")])


def _late(cost: Object) -> str:
    tasks, seconds = cost["cancelled_in_service_tasks"], cost["cancelled_in_service_s"]
    return f"{tasks:,}" if seconds is None else f"{tasks:,} ({as_seconds(seconds)} s)"


def scrolling(heads: Sequence[str], rows: Sequence[Markup], label: str, *, text: bool = False) -> Markup:
    """Return a table that scrolls in its own frame if it is wider than the page; `text` if all columns are text."""
    classes = ["text" if text or head in TEXTS else None for head in heads]
    cells = zip(heads, classes, strict=True)
    head = tag("tr", [tag("th", title, scope="col", class_=class_) for title, class_ in cells])
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag("div", table, class_="scroll", role="region", aria_label=label, tabindex="0")


def _name(variant: str, looks: Looks) -> Markup:
    return tag("th", named(variant, looks[variant]), scope="row", title=variant)


def named(variant: str, look: Look, *, bold: bool = False) -> list[Markup]:
    """Return a scheme's colour swatch and its name, which may wrap between words."""
    swatch = tag("i", class_=f"swatch {look.colour}")
    words = [[" " if place else None, tag("span", word)] for place, word in enumerate(variant.split(" "))]
    return [swatch, tag("span", tag("b", words) if bold else words, class_="name")]


def td(text: Content, small: str = "") -> Markup:
    """Return a cell of a table, with the text `small`, if there is one, below the figure."""
    return tag("td", text, tag("small", small) if small else None)


INFINITE = td("infinite", "too many failed")
"""The cell of a figure that is infinite."""

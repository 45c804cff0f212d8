"""A recommendation as a page: the explanation, two plots of latency against accuracy and work, and every variant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from collagebench.report.document import document
from collagebench.report.figures import named, scrolling, td
from collagebench.report.frame import Look, looks_of
from collagebench.report.html import sentence
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_load, as_ms, as_ms_range, as_percent, as_times
from collagebench.report.recommendation import (
    SAID,
    as_least,
    cautions,
    conditions,
    said_points,
    said_right,
    worth_naming,
)
from collagebench.report.tradeoffs import Answer, against_accuracy, against_work

Object = Mapping[str, Any]


def recommendation_page(answer: Object, title: str) -> str:
    """Return the whole page, from the answer's JSON."""
    of_scheme = looks_of({one["scheme"]: one["scheme"] for one in answer["candidates"]})
    looks = {one["variant"]: of_scheme[one["scheme"]] for one in answer["candidates"]}
    first, *lines = answer["explanation"]
    placed = _as_summary(answer)
    quantile = answer["asked"]["wishes"]["quantile"]
    named = [*answer["ranking"][:2], *answer["near_misses"].values(), "none"]
    marked = Answer(answer["choice"], named)
    plots = [
        against_accuracy("accuracy", placed, looks, quantile, answer=marked),
        against_work("work", placed, looks, quantile, answer=marked),
    ]
    badge = tag(
        "span",
        "CHOSEN" if answer["sure"] else "PERHAPS" if answer["choice"] else "NONE QUALIFIES",
        class_="badge valid" if answer["sure"] else "badge invalid",
    )
    notes = [tag("li", tag("b", "note"), " ", sentence(text)) for text in answer["warnings"]]
    body = [
        tag(
            "header",
            tag("p", "collagebench recommend", class_="brand"),
            tag("h1", title),
            tag(
                "div",
                tag("p", badge),
                tag("p", sentence(first), class_="lead"),
                tag("ul", [tag("li", sentence(line)) for line in lines], class_="rest"),
                tag("ul", notes, class_="notes") if notes else None,
                tag("p", conditions(answer), class_="conditions"),
                class_="verdict",
            ),
        ),
        tag(
            "main",
            tag("h2", "What each gains and costs", class_="part"),
            tag("div", plots, class_="plots") if any(plots) else None,
            tag("h2", "Every variant", class_="part"),
            _table(answer, looks),
            _settings(answer),
            _validation(answer),
            _left_out(answer),
            tag(
                "details",
                tag("summary", "The question"),
                tag("pre", json.dumps(answer["asked"], indent=1), tabindex="0"),
            ),
        ),
        tag("footer", tag("p", "Simulated, unless it says live. This file is complete: it loads nothing.")),
    ]
    return document(title, body)


def _as_summary(answer: Object) -> dict[str, Any]:
    """Return the stable variants worth naming or on the front, in the form of a summary, for a report's plots."""
    named = worth_naming(answer)
    loads = answer["asked"]["loads"]
    work = sum(load["work_s"] or 0.0 for load in loads) / len(loads)
    slo, quantile = (answer["asked"]["wishes"][name] for name in ("slo", "quantile"))
    return {
        "slo_ms": None if slo is None else 1e3 * slo,
        "schemes": [
            {
                "variant": one["variant"],
                "latency_s": {quantile: one["latency_s"]},
                "infinite": [quantile] if one["latency_s"] is None else [],
                "accuracy": {"overall": one["accuracy"]},
                "cost": None if one["work"] is None else {"executed_s_per_request": one["work"] * work},
                "relative": {"executed": one["work"]},
                "runs": 1,
            }
            for one in answer["candidates"]
            if (one["front"] or one["variant"] in named) and not one["unsteady"]
        ],
    }


def _table(answer: Object, looks: dict[str, Look]) -> Markup:
    wishes, loads = answer["asked"]["wishes"], answer["asked"]["loads"]
    quantile = wishes["quantile"]
    each = [f"at {as_load(load['rate'])}/s" for load in loads] if len(loads) > 1 else []
    heads = ["scheme", f"{quantile} ms", *each, "right", "points", "work", "verdict"]
    order = {name: place for place, name in enumerate(answer["ranking"])}
    rows = sorted(
        answer["candidates"],
        key=lambda one: (order.get(one["variant"], len(order)), bool(one["unsteady"]), one["latency_s"] or 1e9),
    )
    lines = []
    for one in rows:
        chosen = one["variant"] == answer["choice"]
        verdict = "chosen" if chosen else SAID[one["status"]] or "good enough"
        lines.append(
            tag(
                "tr",
                tag("th", named(one["variant"], looks[one["variant"]], bold=chosen), scope="row"),
                [_latency(at) for at in (one, *(one["loads"] if each else ()))],
                tag("td", said_right(one["accuracy"], wishes["accuracy"])),
                tag("td", said_points(one["lost"], wishes["allowed_loss"])),
                tag("td", as_times(one["work"])),
                tag("td", verdict, " (front)" if one["front"] else "", class_="text"),
            )
        )
    note = (
        f"{quantile}: at the worst load. Below each {quantile}: its 95 % interval; the verdict counts the highest end "
        "at any load. Right: of all requests; one without an answer counts as wrong. Points: right answers compared "
        "with no redundancy, in percentage points. Work: worker time per request / that of no redundancy, the mean "
        "over the loads. Front: no other is as good in all three, and better in one of them."
    )
    return tag("div", scrolling(heads, lines, "Every variant"), tag("p", note, class_="note"))


def _latency(one: Object) -> Markup:
    """Return the cell of a latency, with its interval below."""
    if one["latency_s"] is None or one["unsteady"]:
        return tag("td", "no end")
    text = ("" if one["bounded"] else "≥ ") + as_ms(one["latency_s"])
    return td(text, as_ms_range(one["ci95_s"]))


def _settings(answer: Object) -> list[Markup] | None:
    settings = answer["settings"]
    if not settings:
        return None
    found = [tag("h2", "Settings for proxies and clients", class_="part")]
    for title, key in (("gRPC service config", "grpc"), ("Envoy", "envoy")):
        found += [tag("p", title), tag("pre", settings[key], tabindex="0")]
    return [*found, tag("p", cautions(answer), class_="note")]


def _validation(answer: Object) -> list[Markup] | None:
    found = answer["validation"]
    if not found:
        return None
    quantile = answer["asked"]["wishes"]["quantile"]
    heads = ["scheme", f"simulated {quantile} ms", f"live {quantile} ms", "right", "work", "verdict"]
    rows = [
        tag(
            "tr",
            tag("th", row["variant"], scope="row"),
            tag("td", as_least(row, "simulated", "≥ ")),
            td(as_least(row, "live", "≥ "), as_ms_range(row["live_ci95_s"])),
            tag("td", as_percent(row["accuracy"])),
            tag("td", as_times(row["work"])),
            tag("td", SAID[row["status"]] or "meets", class_="text"),
        )
        for row in found["rows"]
    ]
    reasons = [tag("li", sentence(reason)) for reason in found["reasons"]]
    return [
        tag("h2", "On real workers", class_="part"),
        tag("p", sentence(found["said"])),
        tag("ul", reasons) if reasons else Markup(""),
        scrolling(heads, rows, "Simulated and live"),
    ]


def _left_out(answer: Object) -> Markup | None:
    left = answer["not_considered"]
    if not left:
        return None
    items = [tag("li", tag("b", one["variant"]), f": {one['why']}") for one in left]
    return tag("details", tag("summary", f"{len(left)} variants that could not be considered"), tag("ul", items))

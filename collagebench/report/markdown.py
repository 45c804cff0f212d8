"""The report in GitHub's Markdown, to paste into an issue or a design review: verdict, table, conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from collagebench.report.alike import said_once
from collagebench.report.differences import differing
from collagebench.report.gates import labelled
from collagebench.report.parts import UNKNOWN, as_interval, as_ms, as_ms_range, as_percent, as_times
from collagebench.report.summary import bound_of, not_own
from collagebench.report.sweep_table import grids, legend, shown_figures, sweep_conditions
from collagebench.report.table import as_change, as_compared, as_versus, conditions, goodput, unshown
from collagebench.report.tails import ends_of

Object = dict[str, Any]


def markdown(summary: Object) -> str:
    """Return the object that `summarise` made as Markdown."""
    parts = summary.get("runs", [summary])
    lines = [line for one in parts for line in _one(one)]
    if "comparison" in summary:
        lines += ["## Comparison", "", *_comparison(summary)]
    return "\n".join(lines).rstrip() + "\n"


def sweep_markdown(summary: Object) -> str:
    """Return the object that `summarise_sweep` made as Markdown: the findings, then tables for each axis."""
    lines = _verdict(summary, summary["findings"], summary["reasons"], summary["warnings"])
    for axis in summary["axes"]:
        for figure in shown_figures(summary, details=True):
            for grid in grids(summary, axis, figure):
                where = f", {escaped(grid.where)}" if grid.where else ""
                rows = [[escaped(text.strip()) for text in row] for row in grid.rows]
                lines += [f"### {figure}{where}", "", *_table(grid.heads, rows, texts=1), ""]
    lines += [f"{escaped(what)}: {escaped(meaning)}." for what, meaning in legend(summary, details=True).items()]
    return "\n".join([*lines, "", escaped(sweep_conditions(summary)), ""])


def _one(one: Object) -> list[str]:
    title = [f"## {escaped(one['name'])}", ""] if "name" in one else []
    lines = [*title, *_verdict(one, one["verdict"], said_once(one, "reasons"), said_once(one, "warnings"))]
    if any(scheme["runs"] for scheme in one["schemes"]):
        lines += [*_figures(one), ""]
        lines += [escaped(goodput(one)), ""] if one["slo_ms"] is not None else []
    return [*lines, escaped(conditions(one)), ""]


def _verdict(one: Object, sentences: Sequence[str], reasons: Sequence[str], warnings: Sequence[str]) -> list[str]:
    """Return the verdict of a run or a sweep: VALID or INVALID, sentences, reasons, notes and gates."""
    found = [f"- {escaped(text)}" for text in sentences]
    notes = [f"- because {escaped(text)}" for text in reasons]
    notes += [f"- note: {escaped(text)}" for text in warnings]
    gates = [f"- {escaped(kind)}: {escaped(text)}" for kind, text in map(labelled, one.get("gates", []))]
    lines = [f"**{'VALID' if one['valid'] else 'INVALID'}**", ""]
    for block in (found, notes, gates):
        lines += [*block, ""] if block else []
    return lines


def _figures(one: Object) -> list[str]:
    base, least = one["baseline"], 100 * one["minimum_effect"]["latency"]
    heads = ["scheme", "p50 ms", "p95 ms", "p99 ms", "95 % interval", f"p99 / {base}", "accuracy", "95 % interval"]
    heads += ["not own", "work", "failed"]
    rows = [_row(scheme) for scheme in one["schemes"]]
    bound = bound_of(one["schemes"])
    if bound:
        rows.append(["*bound*", *(as_ms(bound["latency_s"][name]) for name in ("p50", "p95", "p99")), *[""] * 7])
    legend = (
        "Intervals of p99 from how many requests of each run are slower, of accuracy Wilson's, not treating answers "
        f"about the same image as independent. {escaped('~')}: no difference of more than {least:g} % is shown. Not "
        "own: answers that did not come from the request's own first task. Work: worker time / that of "
        f"{escaped(base)}." + (" Bound: no stragglers, no redundancy." if bound else "")
    )
    return [*_table(heads, rows, texts=1), "", legend]


def _row(scheme: Object) -> list[str]:
    accuracy = scheme["accuracy"]
    return [
        escaped(scheme["variant"]),
        *(_quantile(scheme, name) for name in ("p50", "p95", "p99")),
        as_ms_range(ends_of(scheme, "p99")) or UNKNOWN,
        escaped(as_versus(scheme)),
        as_percent(accuracy["overall"]),
        as_interval(accuracy["ci95"]),
        as_percent(not_own(scheme)),
        as_times(scheme["relative"]["executed"]),
        str(scheme["failed"]) if scheme["runs"] else UNKNOWN,
    ]


def _quantile(scheme: Object, name: str) -> str:
    if name in scheme["infinite"]:
        return "infinite"
    least = scheme["latency_at_least_s"][name]
    return as_ms(scheme["latency_s"][name]) if least is None else f"≥ {as_ms(least)}"


def _comparison(summary: Object) -> list[str]:
    rows = summary["comparison"]
    if not rows:
        return ["No scheme is in more than one of these runs."]
    cells = [
        [
            escaped(row["variant"]),
            escaped(row["run"]),
            as_compared(row, "p50"),
            escaped(as_change(row, "p50")),
            as_compared(row, "p99"),
            escaped(as_change(row, "p99")),
        ]
        for row in rows
    ]
    table = _table(("scheme", "run", "p50 ms", "ratio", "p99 ms", "ratio"), cells, texts=2)
    said = differing(summary["differences"])
    more = ["", escaped(f"{said[0].upper()}{said[1:]}.")] if said else []
    return [*table, "", escaped(f"Ratio: to the first run; {unshown(summary)}."), *more]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """Return a table whose first `texts` columns are left-aligned and whose others are right-aligned."""
    rules = [":--" if place < texts else "--:" for place in range(len(heads))]
    return [_line([escaped(head) for head in heads]), _line(rules), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escaped(text: str) -> str:
    """Return text on one line, with everything escaped that has a meaning in Markdown or HTML."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~#!$])", r"\\\1", text)
    return text.replace("@", "&#64;").replace("://", ":&#47;&#47;")  # or GitHub would make mentions and links

"""A recommendation on a terminal of 80 columns: the explanation, a table of the variants, settings, and a validation.

All of it is taken from the answer's JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from rich.console import Console
from rich.text import Text

from collagebench.report.parts import (
    UNKNOWN,
    as_load,
    as_ms,
    as_ms_range,
    as_percent,
    as_times,
    new_table,
    print_line,
    print_table,
)
from collagebench.report.recorded import SHORT
from collagebench.report.table import like, stragglers

Object = Mapping[str, Any]

BAR, LEAST_BAR = 14, 6
"""Width of the bar of a latency, in characters, and its least width when names need space."""
NAMES = 21
"""Width of names, in characters, on a terminal of 80 columns, beside such a bar."""
SAID = {
    "meets": "",
    "perhaps": "perhaps",
    "late": "too slow",
    "inaccurate": "inaccurate",
    "expensive": "too much work",
    "unsteady": "unstable",
}


def print_recommendation(answer: Object, console: Console) -> None:
    """Print the whole answer."""
    print_line(console, conditions(answer))
    console.print()
    for place, line in enumerate(answer["explanation"]):
        print_line(console, line, style="bold" if place == 0 else "")
    for text in answer["warnings"]:
        print_line(console, text, indent="note: ")
    console.print()
    _table(answer, console)
    for title, key in (("gRPC service config", "grpc"), ("Envoy", "envoy")):
        if answer["settings"]:
            console.print(Text(f"{title}, for the choice:", style="bold"))
            console.print(Text(answer["settings"][key]), soft_wrap=True)  # to be copied, so lines are not wrapped
            console.print()
    if answer["settings"]:
        broken = answer["settings"]["simulated"]["status"] not in ("meets", "perhaps")
        print_line(console, cautions(answer), style="bold red" if broken else "dim")
        console.print()
    if answer["validation"]:
        _validation(answer, console)
    elif answer["command"]:
        console.print(Text(f"Try it: collagebench run {answer['command']}"), soft_wrap=True)
        service = answer["asked"]["loads"][-1]["work_s"]
        if service is not None and service < SHORT:
            said = f"(may be INVALID: services of {1e3 * service:.2g} ms are too short for a live client)"
            print_line(console, said, style="dim")


def conditions(answer: Object) -> str:
    """Return the conditions and the requirements in a sentence."""
    config, loads, wishes = answer["asked"]["config"], answer["asked"]["loads"], answer["asked"]["wishes"]
    rates = as_load(loads[0]["rate"]) + (f" to {as_load(loads[-1]['rate'])}" if len(loads) > 1 else "")
    used = [load["utilisation"] for load in loads]
    shares = f"{used[0]:.2f}" + (f" to {used[-1]:.2f}" if len(used) > 1 else "")
    workers = f"{config['workers']} worker{'s' if config['workers'] != 1 else ''}"
    asked = [
        f"{wishes['quantile']} below {1e3 * wishes['slo']:.10g} ms" if wishes["slo"] is not None else "the lowest p99"
    ]
    if wishes["slo"] is None and wishes["quantile"] != "p99":
        asked = [f"the lowest {wishes['quantile']}"]
    if wishes["accuracy"] is not None:
        asked.append(f"{100 * wishes['accuracy']:.10g} % right")
    if wishes["allowed_loss"] is not None:
        points = f"{100 * wishes['allowed_loss']:.10g}"
        asked.append(f"at most {points} point{'s' if points != '1' else ''} lost")
    if wishes["budget"] is not None:
        asked.append(f"at most {100 * wishes['budget']:.10g} % extra work")
    return (
        f"simulated: {workers}, {rates} requests/s{like(answer['asked'])} (utilisation {shares}), stragglers "
        f"{stragglers(answer['asked'])}, images {config['dataset']}; requirements: {', '.join(asked)}"
    )


def as_least(row: Object, where: str, mark: str) -> str:
    """Return the latency of a validation's row, `simulated` or `live`, in ms, after `mark` if it is a lower bound."""
    return f"{'' if row.get(f'{where}_bounded', True) else mark}{as_ms(row[f'{where}_s'])}"


def said_points(lost: float | None, most: float | None = None) -> str:
    """Return a loss of accuracy as a change in percentage points; digits show on which side of `most` it is."""
    if lost is None:
        return UNKNOWN
    text = f"{-100 * lost:+.{_digits(lost, most)}f}"
    return "+0.0" if text == "-0.0" else text


def said_right(share: float | None, least: float | None) -> str:
    """Return a share of right answers in percent; digits show on which side of `least` it is."""
    return UNKNOWN if share is None else f"{100 * share:.{_digits(share, least)}f} %"


def _digits(share: float, limit: float | None) -> int:
    """Return how many decimals of a percentage show whether the share is below, at or above the limit; at least 1."""
    digits = 1
    while limit is not None and share != limit and digits < 9 and round(100 * share, digits) == round(100 * limit, 9):
        digits += 1
    return digits


def _table(answer: Object, console: Console) -> None:
    wishes = answer["asked"]["wishes"]
    shown, hidden = _shown(answer)
    scale = _scale([one["latency_s"] for one in shown], wishes["slo"])
    plain = "utf" not in (console.encoding or "").lower()
    table = new_table("scheme", f"{wishes['quantile']} ms", "", "right", "points", "work", "verdict")
    table.columns[2].justify = table.columns[6].justify = "left"
    table.columns[0].no_wrap = True  # names on several lines would obscure the rows
    names = [f"{one['variant']}{'*' if one['front'] else ''}" for one in shown]
    missing = max(map(len, names)) + 2 - NAMES - max(console.width - 80, 0)
    columns = max(BAR - max(missing, 0), LEAST_BAR)
    for one, name in zip(shown, names, strict=True):
        chosen = one["variant"] == answer["choice"]
        mark = ("> " if plain else "▶ ") if chosen else "  "
        late = one["status"] == "late"
        table.add_row(
            f"{mark}{name}",
            "inf"
            if one["latency_s"] is None or one["unsteady"]
            else ("" if one["bounded"] else ">= ") + as_ms(one["latency_s"]),
            Text(
                _bar(None if one["unsteady"] else one["latency_s"], wishes["slo"], scale, plain, columns),
                style="red" if late else "",
            ),
            said_right(one["accuracy"], wishes["accuracy"]),
            said_points(one["lost"], wishes["allowed_loss"]),
            as_times(one["work"]),
            "chosen" if chosen else SAID[one["status"]],
            style="bold" if chosen else "" if one["status"] in ("meets", "perhaps") else "dim",
        )
    gone = print_table(table, console, ("", "points", "work", "right"))
    console.print()
    meanings = {
        "*": f"no other is as good in {wishes['quantile']}, accuracy and work, and better in one of them",
        "right": "of all requests; one without an answer counts as wrong",
        "points": "right answers compared with no redundancy, in percentage points",
        "work": "worker time per request / that of no redundancy",
    }
    if not all(one["bounded"] for one in shown):
        meanings[">="] = f"too few requests to determine the {wishes['quantile']}: raise --requests or --runs"
    if wishes["slo"] is not None and "" not in gone:
        meanings["|" if plain else "┊"] = "the SLO"
    if len(answer["asked"]["loads"]) > 1:
        budget = "; a budget is judged at the costliest load" if wishes["budget"] is not None else ""
        meanings[f"{wishes['quantile']} ms"] = f"at the worst load; work is the mean over the loads{budget}"
    for what, meaning in ((what, meaning) for what, meaning in meanings.items() if what not in gone):
        print_line(console, meaning, indent=f"{what:<8}", style="dim")
    if hidden:
        print_line(console, f"{hidden} more: see answer.json or the page", style="dim")
    console.print()


def _shown(answer: Object) -> tuple[list[Object], int]:
    """Return the variants to show, the best first, and how many are not shown.

    Those shown rank high, are on the front, are the fastest of their scheme, or are named in the explanation.
    """
    by_name = {one["variant"]: one for one in answer["candidates"]}
    any_name = "|".join(re.escape(name) for name in sorted(by_name, key=len, reverse=True))
    named = re.findall(any_name, " ".join(answer["explanation"]))
    names = list(dict.fromkeys([*answer["ranking"][:6], *answer["front"], *worth_naming(answer), *named, "none"]))
    order = {name: place for place, name in enumerate(answer["ranking"])}
    rows = [by_name[name] for name in names if name in by_name]
    rows.sort(key=lambda one: (order.get(one["variant"], inf), bool(one["unsteady"]), one["latency_s"] or inf))
    return rows, len(answer["candidates"]) - len(rows)


def worth_naming(answer: Object) -> list[str]:
    """Return the two best variants and the fastest of every scheme."""
    fastest: dict[str, str] = {}
    for one in sorted(answer["candidates"], key=lambda one: one["latency_s"] or inf):
        fastest.setdefault(one["scheme"], one["variant"])
    return list(dict.fromkeys([*answer["ranking"][:2], *fastest.values()]))


def _scale(latencies: Sequence[float | None], slo: float | None) -> float:
    """Return the seconds of a full bar: the longest latency, but at most 2.5 times the SLO or the lowest latency."""
    known = [latency for latency in latencies if latency is not None]
    base = slo if slo is not None else min(known, default=1.0)
    return min(max([*known, base]), 2.5 * base)


def _bar(latency: float | None, slo: float | None, scale: float, plain: bool, columns: int) -> str:
    """Return a bar for the latency, at most `columns` wide, with a mark at the SLO."""
    length = columns if latency is None else min(columns, max(1, round(columns * latency / scale)))
    cells = [("#" if plain else "━") if place < length else " " for place in range(columns)]
    if latency is None or latency > scale * 1.001:
        cells[-1] = ">" if plain else "▸"
    if slo is not None:
        cells[min(columns - 1, round(columns * slo / scale))] = "|" if plain else "┊"
    return "".join(cells).rstrip()


def cautions(answer: Object) -> str:
    """Return what to know before the settings are used, with the result of their simulation."""
    settings, wishes, several = answer["settings"], answer["asked"]["wishes"], len(answer["asked"]["loads"]) > 1
    found = settings["simulated"]
    takes = (
        "gRPC offers hedging in its Java and .NET clients. It takes only fixed delays, as Envoy does: this one is the"
    )
    safe = "Send copies only of requests that may safely be served twice."
    if found["variant"] == answer["choice"]:
        return f"{takes} choice's. {safe}"
    name = wishes["quantile"]
    late = f"a {name} of {as_ms(found['latency_s'])} ms" if found["latency_s"] else f"no finite {name}"
    gave = f"{late} for {as_times(found['work'])} the work"
    gave = "an overload" if found["unsteady"] else gave
    longer = f", plus {100 * settings['longer']:.0f} % because half of all answers take nearly as long"
    said = (
        f"{takes} choice's own percentile at the {'highest ' if several else ''}load"
        f"{longer if settings['longer'] else ''}. Simulated with it: {gave}."
    )
    if found["status"] not in ("meets", "perhaps"):
        said += f" That misses the requirements ({SAID[found['status']]}): hedge at a running percentile instead."
    return f"{said} {safe}"


def _validation(answer: Object, console: Console) -> None:
    found, quantile = answer["validation"], answer["asked"]["wishes"]["quantile"]
    console.print(Text(f"live, at {as_load(found['rate'])} requests/s:", style="bold"))
    table = new_table(
        "scheme", f"simulated {quantile} ms", f"live {quantile} ms", "95 % range", "right", "work", "verdict"
    )
    for row in found["rows"]:
        table.add_row(
            row["variant"],
            as_least(row, "simulated", ">= "),
            as_least(row, "live", ">= "),
            as_ms_range(row["live_ci95_s"]) or UNKNOWN,
            as_percent(row["accuracy"]),
            as_times(row["work"]),
            SAID[row["status"]] or "meets",
        )
    print_table(table, console, ("right", "work"))
    console.print()
    print_line(console, found["said"], style="bold")
    for reason in found["reasons"]:
        print_line(console, reason, indent="  because ")

"""The report on a terminal: a table of 80 columns, with one row per scheme, and the verdict below.

All of it is taken from the JSON object of `summary`, so that both agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from collagebench.report.alike import said_once
from collagebench.report.details import print_details
from collagebench.report.differences import differing
from collagebench.report.gates import print_gates
from collagebench.report.parts import (
    UNKNOWN,
    as_load,
    as_ms,
    as_percent,
    as_rate,
    as_times,
    new_table,
    print_line,
    print_table,
)
from collagebench.report.summary import bound_of, not_own
from collagebench.report.tails import ends_of

INFINITE = "infinite: too many requests failed"
REACH = "to the farther end of the 95 % interval of p99"


def print_summary(summary: dict[str, Any], console: Console, details: bool) -> None:
    """Print the object that `summarise` returned: each run's table, then their comparison if there are several.

    `details` adds the detail tables of each run.
    """
    for one in summary.get("runs", [summary]):
        if "name" in one:
            console.print(Text(one["name"], style="bold"))
        _print_one(one, console, details)
    if "comparison" in summary:
        _print_comparison(summary, console)


def _print_one(one: dict[str, Any], console: Console, details: bool) -> None:
    base = one["baseline"]
    print_line(console, conditions(one))
    if any(scheme["runs"] for scheme in one["schemes"]):
        table = new_table(
            "scheme", "p50 ms", "p99 ms", _plus_minus(console), _versus(base), "accuracy", "not own", "work", "failed"
        )
        for scheme in one["schemes"]:
            table.add_row(*_row(scheme))
        bound = bound_of(one["schemes"])
        if bound:
            table.add_row("bound", as_ms(bound["latency_s"]["p50"]), as_ms(bound["latency_s"]["p99"]), style="dim")
        gone = print_table(table, console, (_plus_minus(console), "not own", "failed", "work", "accuracy", "p50 ms"))
        console.print()
        meanings = {
            column: said for column, said in _legend(one, bound, _plus_minus(console)).items() if column not in gone
        }
        width = max(9, *(len(column) + 1 for column in meanings))
        for column, meaning in meanings.items():
            print_line(console, meaning, indent=f"{column:<{width}}", style="dim")
        if one["slo_ms"] is not None:
            console.print()
            print_line(console, goodput(one, _plus_minus(console)))
        console.print()
        if details:
            print_details(one, console)
    verdict = Text("VALID", style="bold green") if one["valid"] else Text("INVALID", style="bold red")
    console.print(verdict)
    for sentence in one["verdict"]:
        print_line(console, sentence, indent="  ")
    for reason in said_once(one, "reasons"):
        print_line(console, reason, indent="  because ")
    for warning in said_once(one, "warnings"):
        print_line(console, warning, indent="  note: ")
    console.print()
    print_gates(one.get("gates", []), console)


def conditions(one: dict[str, Any]) -> str:
    """Return the conditions in words: the fleet, the load, the stragglers and so on."""
    config = one["config"]
    parts = [f"{one['engine']}:" if one["engine"] else ""]
    if "workers" in config:
        parts.append(f"{config['workers']} worker{'s' if config['workers'] != 1 else ''},")
    if {"runs", "requests"} <= config.keys():
        parts.append(f"{config['runs']} run{'s' if config['runs'] != 1 else ''} x {config['requests']:,} requests")
    if one["rate"] is not None:
        parts.append(f"at {as_load(one['rate'])}/s{like(one)},")
    elif {"runs", "requests"} <= config.keys():
        parts[-1] += f", arrivals{like(one)}," if like(one) else ","
    utilisation = next((scheme["utilisation"] for scheme in one["schemes"]), None)
    if utilisation is not None:
        parts.append(f"utilisation {utilisation:.2f} before redundancy,")
    if "stragglers" in config:
        parts.append(f"stragglers {stragglers(one)},")
    if "dataset" in config:
        parts.append(f"images {config['dataset']},")
    if one["engine"] == "live" and "compute" in config:
        parts.append(f"{config['compute']} compute,")
    if "seed" in config:
        parts.append(f"seed {config['seed']}")
    return " ".join(part for part in parts if part).rstrip(",")


def goodput(one: dict[str, Any], plus_minus: str = "±") -> str:
    """Return each scheme's right answers per second within the SLO.

    The interval is limited by all answers, or none, being right and in time, so the figure shown is its longer side.
    """
    each = []
    for scheme in one["schemes"]:
        rate, ends = scheme["goodput_rps"], scheme["goodput_ci95_rps"]
        half = max(rate - ends[0], ends[1] - rate) if ends else 0.0
        if scheme["runs"]:
            width = f" {plus_minus} {half:.2g}" if half < 99.5 else f" {plus_minus} {half:.0f}"
            each.append(f"{scheme['variant']} {as_rate(rate)}" + (width if ends else ""))
    return f"right answers within {one['slo_ms']:g} ms, per second: {', '.join(each)}"


def like(one: Mapping[str, Any]) -> str:
    """Return how requests arrive, and the parameters that were given, as the end of a phrase; empty if Poisson.

    `one` has the `config` and the `arrivals` of a summary or of a study's answer.
    """
    arrivals = one["config"].get("arrivals", "poisson")
    known = {"poisson": "", "constant": " evenly spaced", "bursts": " in bursts"}
    words = known[arrivals] if arrivals in known else f" in the pattern of {Path(arrivals).name}"
    return words + arrivals_in_full(one)


def arrivals_in_full(one: Mapping[str, Any]) -> str:
    """Return what follows the name of the arrivals: the parameters that were given."""
    return _given(one["config"], (one.get("arrivals") or {}).get("parameters", {}))


def stragglers(one: Mapping[str, Any]) -> str:
    """Return the name of the stragglers, their time scale, and the parameters that were given.

    `one` has the `config` and the `stragglers` of a summary or of a study's answer.
    """
    return f"{Path(one['config']['stragglers']).name}{stragglers_in_full(one)}"


def stragglers_in_full(one: Mapping[str, Any]) -> str:
    """Return what follows the name of the stragglers: their time scale, and the parameters that were given."""
    config, facts = one["config"], one["stragglers"] or {}
    parameters = facts.get("parameters", {})
    recorded = facts.get("sha256") or config["stragglers"].startswith("collage")
    unsaid = "floor" if recorded or parameters.get("base") else "scale"  # a base without a mode is seconds
    seconds = parameters.get("straggler_mode", unsaid) != "scale"
    scale = facts.get("time_scale") or config.get("time_scale") or 1
    by = f" x {scale:g}" if seconds and scale != 1 else ""
    return f"{by}{_given(config, parameters)}"


def _given(config: Mapping[str, Any], parameters: Iterable[str]) -> str:
    """Return those of the parameters that were given, in brackets."""
    given = [(name.replace("_", "-"), config[name]) for name in parameters if config.get(name) is not None]
    chosen = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in given]
    return f" ({', '.join(chosen)})" if chosen else ""


def _legend(one: dict[str, Any], bound: dict[str, Any] | None, plus_minus: str) -> dict[str, str]:
    """Return the meanings of the columns that need explanation."""
    base, least = one["baseline"], 100 * one["minimum_effect"]["latency"]
    meanings = {
        **({"accuracy": "of what was answered"} if any(scheme["failed"] for scheme in one["schemes"]) else {}),
        **({"inf": INFINITE} if any(map(_endless, one["schemes"])) else {}),
        plus_minus: REACH,
        _versus(base): f"p99 / p99 of {base}; ~ where no difference of more than {least:g} % is shown",
        "not own": "answers that did not come from the request's own first task",
        "work": f"worker time spent / that of {base}",
    }
    if bound:
        meanings["bound"] = f"no stragglers, no redundancy ({bound['source']}); a copy may beat even that"
    return meanings


def _endless(scheme: dict[str, Any]) -> bool:
    """Return whether the table has an infinite figure of a scheme."""
    return bool({"p50", "p99"} & set(scheme["infinite"])) or inf in (ends_of(scheme, "p99") or ())


def _versus(base: str) -> str:
    return f"vs {base}" if len(base) <= 6 else "vs base"


def _row(scheme: dict[str, Any]) -> list[str]:
    relative = scheme["relative"]
    return [
        scheme["variant"],
        as_quantile(scheme, "p50"),
        as_quantile(scheme, "p99"),
        as_reach(scheme),
        as_versus(scheme),
        as_percent(scheme["accuracy"]["overall"]),
        as_percent(not_own(scheme)),
        as_times(relative["executed"]),
        str(scheme["failed"]) if scheme["runs"] else UNKNOWN,
    ]


def as_reach(scheme: dict[str, Any]) -> str:
    """Return the distance, in milliseconds, from a scheme's p99 to the farther end of its 95 % interval."""
    value, ends = scheme["latency_s"]["p99"], ends_of(scheme, "p99")
    return as_ms(max(value - ends[0], ends[1] - value)) if ends else UNKNOWN


def as_versus(scheme: dict[str, Any]) -> str:
    """Return the ratio of p99, with a ~ if the difference is not shown to be real."""
    ratio, versus = scheme["relative"]["p99"], scheme["versus"]
    unsure = ratio is not None and versus is not None and not (versus["p99"] and versus["p99"]["real"])
    return f"~{as_times(ratio)}" if unsure else as_times(ratio)


def _print_comparison(summary: dict[str, Any], console: Console) -> None:
    rows = summary["comparison"]
    console.print(Text("comparison", style="bold"))
    if not rows:
        print_line(console, "no scheme is in more than one of these runs")
        return
    table = new_table("scheme", "run", "p50 ms", "ratio", "p99 ms", "ratio")
    previous = None
    for row in rows:
        table.add_row(
            row["variant"] if row["variant"] != previous else "",
            row["run"],
            as_compared(row, "p50"),
            as_change(row, "p50"),
            as_compared(row, "p99"),
            as_change(row, "p99"),
        )
        previous = row["variant"]
    print_table(table, console)
    console.print()
    print_line(console, f"ratio: to the first run; {unshown(summary)}", style="dim")
    if summary["differences"]:
        console.print()
        print_line(console, differing(summary["differences"]))


def unshown(summary: dict[str, Any]) -> str:
    """Return the meaning of ~ in a comparison of several runs."""
    least = 100 * summary["runs"][0]["minimum_effect"]["latency"]
    return (
        f"~ where no difference of more than {least:g} % is shown (Welch's t test over the runs, with Holm's "
        "correction, and the ratio's interval)"
    )


def as_compared(row: dict[str, Any], name: str) -> str:
    """Return a quantile in a comparison of several runs in milliseconds, or `inf`."""
    return "inf" if name in row["infinite"] else as_ms(row[f"{name}_s"])


def as_change(row: dict[str, Any], name: str) -> str:
    """Return the ratio of a quantile to that of the first run, with a ~ if no difference is shown."""
    said = as_times(row[f"{name}_ratio"])
    return f"~{said}" if row[f"{name}_differs"] is False and row[f"{name}_ratio"] is not None else said


def as_quantile(scheme: dict[str, Any], name: str) -> str:
    """Return a quantile of a scheme in milliseconds, or `inf`, or its lower bound."""
    if name in scheme["infinite"]:
        return "inf"
    least = scheme["latency_at_least_s"][name]
    return as_ms(scheme["latency_s"][name]) if least is None else f">= {as_ms(least)}"


def _plus_minus(console: Console) -> str:
    return "±" if "utf" in (console.encoding or "").lower() else "+-"

"""Crossovers on a terminal: a row and a sentence for each pair of schemes, and their ratios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from collagebench.report.parts import UNKNOWN, as_times, new_table, print_line, print_table
from collagebench.report.table import like, stragglers

Object = Mapping[str, Any]
OUTCOMES = {
    "throughout": "one of the two is shown to be better at every value.",
    "where apart": "one is shown to be better at some values, the other at none; more --runs or --requests may settle "
    "the rest.",
    "alike": "no difference exceeds what chance would show in this many comparisons; more --runs or --requests may "
    "show one.",
    "unknown": "at no value do both have a figure.",
}
RATIOS = "Ratios are of all runs together, with 95 % intervals as in the report of an experiment."
UNSHOWN = (
    "~: no difference is shown, as the interval includes 1 or the mean difference of the runs' own figures may be "
    "chance."
)


def print_crossovers(answer: Object, console: Console) -> None:
    """Print the whole answer."""
    print_line(console, conditions(answer))
    console.print()
    table = new_table("scheme", f"{answer['over']}", "95 % range", "scheme")
    table.columns[0].header, table.columns[3].header = Text("better below"), Text("better above")
    for pair in answer["pairs"]:
        for one in pair["crossings"]:
            ends = one["ci95"]
            ranged = f"{ends[0]:.3g} to {ends[1]:.3g}"
            table.add_row(one["better_below"], f"{one['at']:.3g}", ranged, one["better_above"])
        if not pair["crossings"]:
            table.add_row(*_without_crossing(pair))
    print_table(table, console)
    console.print()
    for pair in answer["pairs"]:
        print_line(console, pair["said"], indent="  ")
    console.print()
    _print_ratios(answer, console)
    for what in notes_on(answer, {outcome: outcome for outcome in OUTCOMES}):
        print_line(console, what, style="dim")


def _print_ratios(answer: Object, console: Console) -> None:
    """Print the ratio of each pair at both ends of the axis, with its interval; the page has all values."""
    if not any(one["ratio"] for pair in answer["pairs"] for one in pair["differences"]):
        return
    table = new_table("scheme", answer["over"], "ratio", "95 % range")
    table.columns[0].header = Text(f"{answer['metric']} of")
    for pair in answer["pairs"]:
        name = f"{pair['first']} / {pair['second']}"
        for one in (pair["differences"][0], pair["differences"][-1]):
            value = f"{one['value']:.4g}"
            table.add_row(name, value, *(as_ratio(one) if one["ratio"] else (UNKNOWN, _why_none(answer, pair, one))))
            name = ""
    print_table(table, console)
    console.print()
    marked = any(str(cell).startswith("~") for column in table.columns for cell in column.cells)
    print_line(console, f"{RATIOS} {UNSHOWN}" if marked else RATIOS, style="dim")
    console.print()


def as_ratio(one: Object) -> tuple[str, str]:
    """Return a ratio, with a ~ if no difference is shown, and its interval."""
    ends = one["ratio_ci95"]
    ranged = f"{as_times(ends[0])} to {as_times(ends[1])}" if ends else ""
    return f"{'' if one['verdict'] else '~'}{as_times(one['ratio'])}", ranged


def _why_none(answer: Object, pair: Object, one: Object) -> str:
    """Return why a pair has no ratio at a value: which schemes are unstable, or have an infinite figure."""
    schemes = next(point["schemes"] for point in answer["points"] if point["value"] == one["value"])
    named = [scheme for name in (pair["first"], pair["second"]) for scheme in schemes if scheme["variant"] == name]
    unstable = [scheme["variant"] for scheme in named if scheme["unstable"]]
    infinite = [scheme["variant"] for scheme in named if scheme["infinite"] and not scheme["unstable"]]
    found = {"unstable": unstable, "infinite": infinite}
    return ", ".join(f"{' and '.join(names)}: {what}" for what, names in found.items() if names)


def _without_crossing(pair: Object) -> tuple[str, str, str, str]:
    """Return the row of a pair without a crossing: the better of the two, or, if neither is, both."""
    first, second, better = pair["first"], pair["second"], pair["better"]
    if better is None:
        return f"{first}, {second}", UNKNOWN, pair["outcome"], ""
    said = f"{better} (than {second if better == first else first})"
    return said, UNKNOWN, pair["outcome"], said


def conditions(answer: Object) -> str:
    """Return the conditions of the search in words."""
    config = answer["config"]
    names = ", ".join(scheme["variant"] for scheme in config["schemes"])
    workers = "" if answer["over"] == "workers" else f"{config['workers']} workers, "
    scale = None if answer["over"] == "time-scale" else answer["stragglers"]["time_scale"]
    same = {
        "config": {name: value for name, value in config.items() if name != answer["over"].replace("-", "_")},
        "stragglers": answer["stragglers"] | {"time_scale": scale},
        "arrivals": answer["arrivals"],
    }
    arrivals = f"arrivals{like(same)}, " if like(same) else ""
    return (
        f"simulated: {answer['metric']} of {names} over {answer['over']} {answer['from']:g} to {answer['to']:g}; "
        f"{workers}stragglers {stragglers(same)}, {arrivals}{len(answer['points'])} values x "
        f"{config['runs']} runs x {config['requests']:,} requests, seed {config['seed']}"
    )


def notes_on(answer: Object, words: Mapping[str, str]) -> list[str]:
    """Return the notes about the answer; `words` are the names of the outcomes where they are shown."""
    found = []
    outcomes = {pair["outcome"] for pair in answer["pairs"]}
    if any(pair["crossings"] for pair in answer["pairs"]):
        found.append(
            f"A crossing is where the mean difference of the runs' {answer['metric']} is zero. Its range runs from the "
            "last value up to which one scheme is shown to be better (paired t test, 95 %, and a ratio whose interval "
            "excludes 1) to the first from which the other is; more --runs or --requests narrow it."
        )
    found += [
        f"{words[outcome]}: {meaning}" for outcome, meaning in OUTCOMES.items() if outcome in outcomes & set(words)
    ]
    found += [f"Note: {text}" for text in answer["warnings"]]
    if _changes_nothing(answer):
        found.append(f"{answer['over']} changed nothing: all values gave the same figures.")
    if not answer["complete"]:
        found.append("The search was cut short: there are too many crossings to know all of them to the tolerance.")
    return found


def _changes_nothing(answer: Object) -> bool:
    first, *others = [[one["value_s"] for one in point["schemes"]] for point in answer["points"]]
    return all(other == first for other in others)

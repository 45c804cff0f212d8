"""The tables of `record`: one line for every worker, the fits, and the recommendation."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from collagebench.report.parts import TIMES, UNKNOWN, as_ms, as_percent, new_table, print_line, print_table

BUSY = 0.7
"""A machine or worker that was busy for more than this share of the time gets a note."""
SHORT = 0.005
"""A live client is too late for service times, in seconds, below this: its lag is a millisecond, and may be up to 5 %
of them."""


def print_recorded(profile: dict[str, Any], path: Path, console: Console) -> None:
    """Print the profile that `record` wrote to `path`."""
    print_line(console, _conditions(profile))
    table = new_table("worker", "n", "p50 ms", "p99 ms", "mean ms", "autocorr.", "slow", "slow period")
    for machine in profile["machines"]:
        table.add_row(str(machine["worker"]), *_row(machine), style="bold" if machine["slow_throughout"] else "")
    table.add_row("fleet", *_row(profile["fleet"]), style="dim")
    print_table(table, console)
    console.print()
    for column, meaning in {
        "autocorr.": "correlation of each service time with the worker's next; fleet: the mean over workers",
        "slow": f"share of services above {as_ms(profile['fleet']['slow_above_s'])} ms, twice the fleet's median",
        "slow period": "mean length of runs of slow services; > where none was seen to end",
    }.items():
        print_line(console, meaning, indent=f"{column:<12}", style="dim")
    console.print()
    table = new_table("family", "parameters, times in ms", "KS", "AIC")
    for left in table.columns[:2]:
        left.justify, left.no_wrap = "left", False
    for fit in profile["fits"]:
        table.add_row(fit["family"], _parameters(fit["parameters"]), f"{fit['ks']:.3f}", f"{fit['aic']:.0f}")
    print_table(table, console)
    console.print()
    n = profile["fleet"]["count"]
    print_line(console, f"Kolmogorov-Smirnov distance, two-sided, n = {n:,}", indent=f"{'KS':<12}", style="dim")
    print_line(console, "Akaike's criterion: the smaller, the likelier the family", indent=f"{'AIC':<12}", style="dim")
    console.print()
    for note in _notes(profile):
        print_line(console, note, indent="note: ")
    recommended = profile["recommended"]
    print_line(console, "To inject it:", style="bold")
    print_line(console, command(recommended, path), indent="  ")
    print_line(console, recommended["because"], indent="  because ")


def command(recommended: dict[str, Any], path: Path) -> str:
    """Return the options of `run` or `simulate` that inject what was recommended for the profile at `path`."""
    options = recommended["options"] or {"stragglers": path}
    words = (
        f"--{name.replace('_', '-')} {f'{value:g}' if isinstance(value, float) else shlex.quote(str(value))}"
        for name, value in options.items()
    )
    return " ".join(words)


def _conditions(profile: dict[str, Any]) -> str:
    disturbed, busy = profile["disturbed"], profile["machine_busy"]
    workers = profile["workers"]
    parts = [
        f"{workers} worker{'s' if workers != 1 else ''} serving {profile['model']['name']}",
        f"{profile['rate']:g} requests a second each ({profile['arrivals']}) for {profile['seconds']:.0f} s",
        f"disturbed by {disturbed['kind']}" if disturbed else "nothing injected",
    ]
    if busy is not None:
        parts.append(f"this machine was {100 * busy:.0f} % busy")
    return ", ".join(parts)


def _row(one: dict[str, Any]) -> list[str]:
    correlation = one["autocorrelation"]
    return [
        f"{one['count']:,}",
        as_ms(one["p50_s"]),
        as_ms(one["p99_s"]),
        as_ms(one["mean_s"]),
        UNKNOWN if correlation is None else f"{correlation:.2f}",
        as_percent(one["slow_share"]),
        _length(one),
    ]


def _length(one: dict[str, Any]) -> str:
    """Return the mean length of slow periods."""
    mean = one["slow_period_s"]
    if mean is None:
        return UNKNOWN
    text = f"{1e3 * mean:.0f} ms" if mean < 1 else f"{mean:.3g} s"
    return text if one["slow_periods_ended"] else f"> {text}"


def _parameters(parameters: dict[str, float]) -> str:
    return ", ".join(
        f"{name.replace('_', '-')} {1e3 * value if name in TIMES else value:.3g}" for name, value in parameters.items()
    )


def _notes(profile: dict[str, Any]) -> list[str]:
    notes = []
    if not profile["complete"]:
        notes.append(f"the recording ended after {profile['seconds']:.0f} of {profile['duration_s']:g} s")
    for machine in profile["machines"]:
        if machine["lost"]:
            notes.append(f"worker {machine['worker']} was lost: {machine['lost']}")
        if machine["failed"]:
            left = f"left {machine['failed']} requests unanswered"
            notes.append(f"worker {machine['worker']} {left}, which its times do not include")
    crowded = [machine for machine in profile["machines"] if machine["busy"] > BUSY]
    if crowded:
        names = ", ".join(str(machine["worker"]) for machine in crowded)
        notes.append(f"requests queued at worker {names}, in service for over {100 * BUSY:.0f} % of the time")
    if (profile["machine_busy"] or 0) > BUSY:
        notes.append("this machine was busy: the times include the effect of its other work")
    if (profile["fleet"]["p50_s"] or 1.0) < SHORT:
        notes.append(
            f"a live client is seldom on time for services of less than {1e3 * SHORT:g} ms, so `run` may be INVALID "
            "with these; `simulate` and `recommend` are not affected"
        )
    if profile["samples"]:
        notes.append(f"all service times are in {profile['samples']}, which `--stragglers trace --trace` replays")
    return notes

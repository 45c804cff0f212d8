"""`collagebench profiles`: list the named experiments, or print the file of one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collagebench.cli.completion import complete_profiles
from collagebench.cli.options import table_or_json
from collagebench.printable import printable_toml

if TYPE_CHECKING:
    from rich.console import Console

    from collagebench.config import Config


@click.command("profiles")
@click.argument("name", required=False, metavar="[NAME|FILE]", shell_complete=complete_profiles)
@table_or_json
def command(name: str | None, form: str) -> None:
    """List the named experiments, or print the file of one, to copy and change.

    `run --profile NAME` runs one of them. The listed time follows from its runs, requests and rate; `simulate` takes a
    minute or two, some minutes for the largest; `natural` only runs live. A FILE of your own is checked first.
    """
    # Imported here, because it is heavy and no help text needs it.
    from collagebench.cli.resolve import profile_path
    from collagebench.paths import profiles_dir

    if name is not None:
        path = profile_path(name)
        facts = _facts(path)  # raises UsageError if the profile is faulty
        text = path.read_text(encoding="utf-8")
        shown = json.dumps({**facts, "text": text}, indent=2) + "\n" if form == "json" else text
        click.echo(printable_toml(shown), nl=False)  # both languages have these escapes
        return
    found = [_facts(path) for path in sorted(profiles_dir().glob("*.toml"))]
    found.sort(key=lambda facts: (_rounded(facts["seconds"]), facts["name"]))  # shortest first
    if form == "json":
        click.echo(json.dumps({"profiles": found}, indent=2))
        return
    from collagebench.report.output import PlainConsole

    console = PlainConsole(highlight=False)
    for facts in found:
        _print(facts, console)
    console.print(
        "`collagebench profiles NAME` shows one. `run --profile NAME` takes the time given here, `simulate --profile "
        "NAME` a minute or two, or some minutes for the largest.",
        style="dim",
    )


def _facts(path: Path) -> dict[str, Any]:
    """Return a profile's key figures, as plain JSON values."""
    from collagebench.cli.resolve import resolve_grid
    from collagebench.config import option
    from collagebench.profile import located
    from collagebench.read_profile import read_profile

    profile = read_profile(path)
    grid = resolve_grid({"profile": str(path)})
    config = grid.cells[0].config
    with located(profile, ()):
        rates = [_rate(cell.config) for cell in grid.cells]
    seconds = [
        cell.config.runs * cell.config.requests / one for cell, one in zip(grid.cells, rates, strict=True) if one
    ]
    known = len(seconds) == len(grid.cells)
    return {
        "name": path.stem,
        "description": profile.description,
        "path": str(path),
        "workers": config.workers,
        "stragglers": config.stragglers,
        "dataset": config.dataset,
        "compute": config.compute,
        "runs": config.runs,
        "requests": config.requests,
        "rate": rates[0],
        "schemes": [scheme.variant for scheme in config.schemes],
        "sweeps": {option(axis.name): list(axis.values) for axis in grid.axes},
        "seconds_per_scheme": sum(seconds) if known else None,
        "seconds": len(config.schemes) * sum(seconds) if known else None,
    }


def _rate(config: Config) -> float | None:
    """Return a config's arrival rate in requests per second; None if it has none, or it depends on the machine."""
    from collagebench.engine.durations import rate_of, service
    from collagebench.engine.straggling import stragglers_of

    if config.rate is not None:
        return config.rate
    stragglers = stragglers_of(config)
    if config.compute_time is None:  # then an inference is taken to be shorter than any delay, which includes it
        return rate_of(config, stragglers.mean) if stragglers.mode == "floor" else None
    return rate_of(config, service(stragglers, config.compute_time, config.workers)[0])


def _print(facts: dict[str, Any], console: Console) -> None:
    from collagebench.report.parts import print_line

    console.print(facts["name"], style="bold")
    print_line(console, facts["description"], indent="  ")
    fleet = f"{facts['workers']} workers, stragglers {facts['stragglers']}: {', '.join(facts['schemes'])}."
    fleet += "".join(f" Sweeps {name}: {', '.join(map(str, values))}." for name, values in facts["sweeps"].items())
    times = ""
    if facts["seconds"] is not None:
        times = f" About {_time(facts['seconds_per_scheme'])} per scheme, {_time(facts['seconds'])} in all."
    print_line(console, fleet + times, indent="  ", style="dim")
    console.print()


def _rounded(seconds: float | None) -> float:
    """Return seconds, rounded as `_time` shows them; infinity if unknown."""
    if seconds is None:
        return math.inf
    if seconds < 60:
        return max(1, round(seconds))
    return 60 * round(seconds / 60) if seconds < 5400 else 360 * round(seconds / 360)


def _time(seconds: float) -> str:
    """Return a rough time as text, such as 40 s, 12 min or 1.5 h."""
    rounded = _rounded(seconds)
    if seconds < 60:
        return f"{rounded:.0f} s"
    return f"{rounded / 60:.0f} min" if seconds < 5400 else f"{rounded / 3600:.1f} h"

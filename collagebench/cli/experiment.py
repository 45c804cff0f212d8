"""What `run` and `simulate` share: everything from the parsed options to the printed report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collagebench.cli.resolve import given_options, profile_of, resolve_grid
from collagebench.cli.run_directory import run_directory
from collagebench.cli.standard_streams import say
from collagebench.cli.sweep import conduct_sweep
from collagebench.config import Config, from_json, option
from collagebench.errors import Interrupted, OutputError, UsageError
from collagebench.fleet.bearer import Token, take_token
from collagebench.profile import located
from collagebench.schemes import SCHEMES
from collagebench.study.grid import FIELDS, LISTS

if TYPE_CHECKING:
    from collagebench.report.expression import Gate

REPEATED = {"schemes", "fail_if"}
"""Options that are repeated, once for each value."""


def conduct(verb: str, options: Mapping[str, Any]) -> int:
    """Run the experiment, or a sweep if an option has several values; print the report and return the exit code."""
    grid = resolve_grid(options, _recorded(options))
    gates = _gates(options["fail_if"], grid.cells[0].config)
    token = take_token(options.get("token_file"), grid.cells[0].config.fleet == "endpoint")
    if options.get("on_ray") and not grid.axes:
        raise UsageError(
            "--on-ray simulates the cells of a sweep: give an option several values, or leave --on-ray out"
        )
    own = [scheme.name for scheme in grid.cells[0].config.schemes if scheme.name not in SCHEMES]
    if options.get("on_ray") and own:
        raise UsageError(f"the scheme {own[0]} is not available on the nodes of a cluster: leave --on-ray out")
    directory = run_directory(options["out"], f"{verb}-sweep" if grid.axes else verb)
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.report import print_report
    from collagebench.results.directory import HEADER
    from collagebench.results.sweep import is_sweep

    try:
        with located(profile_of(options), given_options(options)):
            if grid.axes:
                conduct_sweep(verb, options, grid, directory, token)
            else:
                _conduct_one(verb, options, grid.cells[0].config, directory, token)
    except Interrupted:
        if is_sweep(directory) or (directory / HEADER).exists():  # it had begun, so there may be something to report
            with suppress(OutputError):
                print_report([directory], options["form"], fail_if=gates)
        raise
    try:
        return print_report([directory], options["form"], fail_if=gates)
    finally:
        say_where(directory)


def say_where(directory: Path) -> None:
    """Print where the records are and, on a terminal, how to make a page of them."""
    say(f"records: {directory}")
    if sys.stderr.isatty():
        run, page = shlex.quote(str(directory)), shlex.quote(f"{directory.name or 'report'}.html")
        say(f"a page: collagebench report {run} --format html --out {page}")


def _conduct_one(verb: str, options: Mapping[str, Any], config: Config, directory: Path, token: Token | None) -> None:
    from collagebench.cli.live_view import LiveView
    from collagebench.engine import experiment
    from collagebench.study import in_parallel

    with LiveView(options["verbose"]) as progress:
        if verb == "run":
            experiment.run(config, directory, progress, options["resume"], token)
        else:
            in_parallel.simulate(config, directory, progress, options["resume"], options["jobs"])


def _recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the run or sweep to resume; an empty dict without --resume."""
    if not options["resume"]:
        return {}
    from collagebench.engine.resumed import recorded_config
    from collagebench.results.sweep import is_sweep

    directory, given = options["out"], given_options(options)
    if directory is None:
        raise UsageError("--resume needs the run to continue: name its directory with --out")
    if not is_sweep(directory):
        recorded = from_json(recorded_config(directory))
        for name in (name for name, value in given.items() if isinstance(value, tuple) and name not in REPEATED):
            if name not in FIELDS:
                raise UsageError(f"--resume takes the variants from the run: leave --{option(name)} out")
            if name not in LISTS:
                raise UsageError(f"{directory} is not a sweep: give --{option(name)} a single value, or leave it out")
        return recorded
    from collagebench.study.sweep import recorded_values

    values = recorded_values(directory)
    single = [name for name, value in values.items() if isinstance(value, tuple) and name in given]
    single = [name for name in single if name in FIELDS and not isinstance(given[name], tuple)]
    if single:
        raise UsageError(
            f"{directory} was begun with several values of --{option(single[0])}: give all of them, or leave it out"
        )
    return values


def _gates(texts: Sequence[str], config: Config) -> list[Gate]:
    """Parse the gates before anything is run; UsageError if one is malformed or names an unknown scheme."""
    from collagebench.report.expression import check, parse

    gates = [parse(text) for text in texts]
    for gate in gates:
        check(gate, [scheme.variant for scheme in config.schemes])
    return gates

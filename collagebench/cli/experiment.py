"""From the options of `run` or `simulate` to the printed report: what both verbs do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from collagebench.cli.resolve import given_options, profile_of, resolve, run_directory
from collagebench.config import Config, from_json
from collagebench.errors import Interrupted, UsageError
from collagebench.fleet.bearer import take_token
from collagebench.profile import located

if TYPE_CHECKING:
    from collagebench.report.expression import Gate


def conduct(verb: str, options: Mapping[str, Any]) -> int:
    """Run the experiment, print its report and return the exit code."""
    config = resolve(options, _recorded(options))
    gates = _gates(options["fail_if"], config)
    token = take_token(options.get("token_file"), config.fleet == "endpoint")
    directory = run_directory(options["out"], verb)
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.cli.live_view import LiveView
    from collagebench.engine import experiment
    from collagebench.report import print_report
    from collagebench.results.writer import HEADER

    try:
        with located(profile_of(options), given_options(options)), LiveView(options["verbose"]) as progress:
            if verb == "run":
                experiment.run(config, directory, progress, options["resume"], token)
            else:
                experiment.simulate(config, directory, progress, options["resume"])
    except Interrupted:
        if (directory / HEADER).exists():  # it had begun
            print_report([directory], options["form"], fail_if=gates)
        raise
    code = print_report([directory], options["form"], fail_if=gates)
    click.echo(f"records: {directory}", err=True)
    return code


def _recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the run that is to be resumed, none where none is."""
    from collagebench.engine.resumed import recorded_config

    if not options["resume"]:
        return {}
    if options["out"] is None:
        raise UsageError("--resume needs the run that it goes on with: name its directory with --out")
    return from_json(recorded_config(options["out"]))


def _gates(texts: Sequence[str], config: Config) -> list[Gate]:
    """Read the gates before anything is run; UsageError if one makes no sense or names no scheme of the config."""
    from collagebench.report.expression import check, parse

    gates = [parse(text) for text in texts]
    for gate in gates:
        check(gate, [scheme.variant for scheme in config.schemes])
    return gates

"""From the options of `run` or `simulate` to the printed report: what both verbs do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from collagebench.cli.options import resolve, run_directory
from collagebench.errors import Interrupted


def conduct(verb: str, options: Mapping[str, Any]) -> int:
    """Run the experiment, print its report and return the exit code."""
    config = resolve(options)
    directory = run_directory(options["out"], verb)
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.cli.progress import ProgressBar
    from collagebench.engine import experiment
    from collagebench.report import print_report

    try:
        with ProgressBar() as progress:
            (experiment.run if verb == "run" else experiment.simulate)(config, directory, progress)
    except Interrupted:
        print_report([directory], options["form"])
        raise
    code = print_report([directory], options["form"])
    click.echo(f"records: {directory}", err=True)
    return code

"""`collagebench simulate`: the same experiment in virtual time, with the same schemes, arrivals and slowdowns."""

from __future__ import annotations

from typing import Any

import click

from collagebench.cli.experiment import conduct
from collagebench.cli.options import ExperimentCommand, experiment_options


@click.command("simulate", cls=ExperimentCommand)
@experiment_options
def command(**options: Any) -> int:
    """Do the same experiment in virtual time, with the same schemes, arrivals and slowdowns.

    Nothing travels and nobody computes: service takes the time that the straggler model gives. The models classify
    afterwards what was answered.
    """
    return conduct("simulate", options)

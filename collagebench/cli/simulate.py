"""`collagebench simulate`: the same experiment in virtual time, with the same schemes, arrivals and slowdowns."""

from __future__ import annotations

from typing import Any

import click

from collagebench.cli.experiment import conduct
from collagebench.cli.options import NATURAL_OPTIONS, SECTIONS, ExperimentCommand, section_options, side_by_side


@click.command("simulate", cls=ExperimentCommand)
@section_options(*(title for title in SECTIONS if title != NATURAL_OPTIONS))
@side_by_side
@click.option(
    "--on-ray", metavar="ADDRESS", help="Simulate a sweep on a Ray cluster: auto, host:port, ray://host:port."
)
def command(**options: Any) -> int:
    """Run the same experiment in virtual time, with the same schemes, arrivals and slowdowns.

    Nothing is sent and no worker computes: a service takes the time that the straggler model gives. Afterwards the
    models classify the images that were answered.

    Several values separated by commas, as in --utilisation 0.1,0.3,0.5, make a sweep: one experiment for each value or
    combination, in parallel, as are the runs of a single large one. Several values of a scheme's option, as in --grid
    2,3, make a variant for each.
    """
    return conduct("simulate", options)

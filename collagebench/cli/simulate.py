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
    """Do the same experiment in virtual time, with the same schemes, arrivals and slowdowns.

    Nothing travels and nobody computes: service takes the time that the straggler model gives. The models classify
    afterwards what was answered.

    Several values with commas between them, as in --utilisation 0.1,0.3,0.5, make a sweep: an experiment for each of
    them, or for each combination. Several values of a scheme's option, as in --grid 2,3, make a variant for each, and
    these run side by side.
    """
    return conduct("simulate", options)

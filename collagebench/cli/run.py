"""`collagebench run`: measure redundancy schemes side by side on real worker processes."""

from __future__ import annotations

from typing import Any

import click

from collagebench.cli.experiment import conduct
from collagebench.cli.options import ExperimentCommand, experiment_options, fleet_options


@click.command("run", cls=ExperimentCommand)
@experiment_options
@fleet_options
@click.option(
    "--compute",
    type=click.Choice(["real", "emulated"]),
    help="real runs the model, emulated only takes its time. [real]",
)
def command(**options: Any) -> int:
    """Measure redundancy schemes side by side on real worker processes.

    Without options, it compares none, replication, hedge, hedge-idle and collage on ten local workers. They classify
    generated images under the latencies that the authors of collage inference measured, sped up five times. That takes
    a minute and a half.

    Several values separated by commas, as in --utilisation 0.1,0.3, make a sweep: one experiment for each value or
    combination, one after the other. Several values of a scheme's option, as in --grid 2,3, make a variant for each.
    """
    return conduct("run", options)

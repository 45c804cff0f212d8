"""`collagebench record`: watch real workers without injection, and record when they are slow and by how much."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from collagebench.cli.answer import give
from collagebench.cli.completion import complete_stragglers
from collagebench.cli.options import (
    FLEET,
    NATURAL_OPTIONS,
    PATH,
    SECTIONS,
    USUAL_DATASET,
    data_directory,
    fleet_options,
    may_download,
    models_directory,
    parameter,
    section_options,
    table_or_json,
)
from collagebench.cli.resolve import fleet_of
from collagebench.cli.sectioned import SectionedCommand
from collagebench.cli.standard_streams import say
from collagebench.config import option
from collagebench.errors import FleetError, Interrupted, UsageError
from collagebench.fleet.bearer import take_token
from collagebench.fleet.where import FLEETS
from collagebench.workload.dataset import NAMES, chosen

WATCHED = ("dataset", "data", "download", "models", "arrivals", "rate", "duration", "seed", "stragglers")
"""Options with the same names as fields of `Recording`."""


class RecordCommand(SectionedCommand):
    """Lists the fleet, the load, the models and the disturbances in separate sections."""

    sections = (
        ("Fleet", ("workers", *map(parameter, FLEET))),
        ("Load", ("arrivals", "rate", "duration", "seed")),
        ("Images and models", ("dataset", "data", "download", "models")),
        ("Disturbances", ("stragglers", "slow_workers", *map(parameter, SECTIONS[NATURAL_OPTIONS]))),
    )
    own = ("Profile", False)


@click.command("record", cls=RecordCommand)
@click.option("--workers", type=int, help="Number of workers to watch. [10]")
@fleet_options
@click.option("--dataset", help=f"{', '.join(NAMES)}. [{USUAL_DATASET}]")
@data_directory
@may_download
@models_directory
@click.option("--arrivals", default="poisson", show_default=True, help="Arrival process: poisson or constant.")
@click.option(
    "--rate", type=float, help="Requests per second to each worker. [what keeps the machine at most 10 % busy]"
)
@click.option("--duration", type=float, default=60.0, show_default=True, metavar="S", help="Seconds to watch.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of arrivals, images and the choice of disturbed workers.",
)
@click.option(
    "--stragglers",
    default="none",
    metavar="NAME",
    shell_complete=complete_stragglers,
    help="Disturb workers: stop, corunner, throttle, traffic. [none]",
)
@click.option("--slow-workers", type=int, help="Number of disturbed workers. [1]")
@section_options(NATURAL_OPTIONS)
@click.option("--samples", is_flag=True, help="Also write every service, to watched.csv.gz beside watched.json.")
@table_or_json
@click.option("--out", type=PATH, metavar="FILE", help="The profile, JSON. [a new file in runs/]")
def command(
    workers: int | None,
    samples: bool,
    form: str,
    out: Path | None,
    **parameters: Any,
) -> None:
    """Watch real workers, with nothing injected, and write a profile of how slow they are.

    Each worker gets requests at a rate of its own. The profile holds the quantiles of its service times, how long it
    stays slow, and the family of stragglers that matches. `run --stragglers FILE` replays it. Ctrl-C keeps what was
    seen. While `record` runs, watched.partial.csv beside watched.json holds the services; it stays if that is killed.
    """
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.cli.progress import counted
    from collagebench.engine.recording import Recording, all_lost, record
    from collagebench.report.output import see_that_it_can_be_written
    from collagebench.report.recorded import print_recorded

    fleet, watched = ({name: parameters.pop(name) for name in names} for names in (map(parameter, FLEET), WATCHED))
    watched["dataset"] = chosen(watched["dataset"], watched["data"])
    where, count = fleet_of({**fleet, "workers": workers})
    take_token(None, wanted=False)
    several = [name for name, value in parameters.items() if isinstance(value, tuple)]
    if several:
        raise UsageError(f"--{option(several[0])} must have a single value: workers are disturbed in only one way")
    asked = Recording(
        workers=count,
        where=where,
        **watched,
        parameters={name: value for name, value in parameters.items() if value is not None},
    )
    path = out or Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-record.json"
    see_that_it_can_be_written(path)
    if path.exists():
        raise UsageError(f"{path} exists, and a recording cannot be repeated; choose another --out")
    with counted("preparing") as report:
        profile = record(asked, path, samples, report, say)

    try:
        give(profile, form, lambda console: print_recorded(profile, path, console))
    finally:
        say(f"profile: {path}")
    gone = all_lost([machine["lost"] for machine in profile["machines"]])
    if gone:
        raise FleetError(f"{gone}; what was recorded until then is in the profile")
    if not profile["complete"]:
        raise Interrupted("interrupted; what was recorded until then is in the profile")


for asked in command.params:  # hidden, but parsed: the error then explains why servers cannot be watched
    if isinstance(asked, click.Option) and asked.name in FLEETS["endpoint"]:
        asked.hidden = True

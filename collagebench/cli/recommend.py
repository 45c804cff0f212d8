"""`collagebench recommend`: recommend a scheme for a fleet, models, load and SLO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from collagebench.cli.answer import give
from collagebench.cli.options import LOADS, PATH, ExperimentCommand, section_options, side_by_side, table_or_json
from collagebench.cli.standard_streams import say
from collagebench.cli.values import INT
from collagebench.config import option
from collagebench.errors import EXIT_DONE, EXIT_INVALID, EXIT_THRESHOLD, UsageError

if TYPE_CHECKING:
    from collagebench.study.recommend import Asked

REQUESTS = 500
"""Default number of requests in each run."""


class RecommendCommand(ExperimentCommand):
    """Lists the options of the question first in the help."""

    own = ("Question", True)
    its = ("slo_ms", "form", "out")


@click.command("recommend", cls=RecommendCommand)
@click.option(
    "--slo", "slo_ms", type=float, metavar="MS", help="Latency that must not be exceeded. [none: the fastest wins]"
)
@click.option(
    "--slo-quantile", default="p99", show_default=True, help="Quantile that must meet the SLO: p50, p90, p95 or p99."
)
@click.option("--accuracy-floor", type=float, metavar="SHARE", help="Least share of right answers.")
@click.option(
    "--accuracy-loss",
    type=float,
    metavar="SHARE",
    help="Share of answers that redundancy may make wrong. [0.01 unless there is a floor]",
)
@click.option(
    "--budget", type=float, metavar="SHARE", help="Extra worker time allowed, relative to no redundancy. [no limit]"
)
@click.option("--validate", is_flag=True, help="Also run the choice and the runner-up on real workers.")
@side_by_side
@table_or_json
@click.option(
    "--out",
    type=PATH,
    help="Directory of the answer and its simulations; reuse it to ask more. [a new one in runs/]",
)
@section_options("Experiment", "Load", "Stragglers", "Images and models", without=("requests", "out", "resume"))
@click.option("--requests", type=INT, help=f"Requests per run. [{REQUESTS}]")
def command(**options: Any) -> int:
    """Recommend a redundancy scheme, and say why.

    It simulates the schemes, each with its important options and those in the profile's [[scheme]] tables, on the
    fleet, stragglers, models and load that you describe. It drops what misses the SLO, the accuracy or the budget, and
    recommends the cheapest of the rest, which may be no redundancy. With several loads, separated by commas, a scheme
    must meet the requirements at each of them. The whole answer is kept in --out, as answer.json and as a page; another
    question with the same --out DIR simulates only what is missing. The exit code is 3 if nothing meets the
    requirements.

    \b
    collagebench recommend --utilisation 0.3,0.5 --slo 70 --out answer
    collagebench recommend --utilisation 0.3,0.5 --slo 90 --out answer
    """
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.cli.live_view import LiveView
    from collagebench.cli.progress import counted
    from collagebench.cli.run_directory import run_directory
    from collagebench.report.recommendation import print_recommendation
    from collagebench.study.recommend import PAGE, recommend, save
    from collagebench.study.validated import validate

    asked = _asked(options)
    directory = run_directory(options["out"], "recommend")
    with counted("preparing") as report:
        answer = recommend(asked, directory, options["jobs"], report)
    save(answer, directory)
    if options["validate"] and answer["choice"]:
        with LiveView() as progress:
            answer["validation"] = validate(asked, answer, directory, progress)
        save(answer, directory)

    try:
        give(answer, options["form"], lambda console: print_recommendation(answer, console))
    finally:
        say(f"answer: {directory}, its page: {directory / PAGE}")
    validation = answer["validation"]
    if validation and not validation["valid"]:
        return EXIT_INVALID
    return EXIT_DONE if answer["choice"] and not (validation and validation["refuted"]) else EXIT_THRESHOLD


def _asked(options: Mapping[str, Any]) -> Asked:
    """Make a question of the options; UsageError if they do not make sense."""
    from collagebench.cli.resolve import profile_of, resolve_grid, written_schemes
    from collagebench.profile import located
    from collagebench.study.candidates import NONE
    from collagebench.study.recommend import Asked
    from collagebench.study.wishes import Wishes

    grid = resolve_grid({**options, "schemes": options["schemes"] or ("none",)})
    for axis in grid.axes:
        if axis.name not in LOADS:
            raise UsageError(f"--{option(axis.name)} must have a single value here: only loads may have several")
    config, profile = grid.cells[0].config, profile_of(options)
    written = written_schemes(profile, options["schemes"]) if profile else ()
    own = tuple(one for one in written if one.name != NONE.name)
    with located(profile, ()):
        replace(config, schemes=(NONE, *own))  # says so if two of them have one name
    wishes = Wishes(
        None if config.slo_ms is None else config.slo_ms / 1e3,  # the profile may have one
        options["slo_quantile"],
        options["accuracy_floor"],
        options["accuracy_loss"],
        options["budget"],
    )
    if options["requests"] is None and not options["profile"]:
        config = replace(config, requests=REQUESTS)
    load = {"rate": config.rate} if config.rate is not None else {"utilisation": config.utilisation or 0.5}
    loads = tuple(dict(cell.values) for cell in grid.cells) if grid.axes else (load,)
    return Asked(config, loads, wishes, options["schemes"], own)

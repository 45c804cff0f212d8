"""`collagebench crossover`: find where along an axis the better of two schemes changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from collagebench.cli.answer import give
from collagebench.cli.options import LOADS, PATH, ExperimentCommand, section_options, side_by_side, table_or_json
from collagebench.cli.standard_streams import say

if TYPE_CHECKING:
    from collagebench.study.crossover_question import Question


class CrossoverCommand(ExperimentCommand):
    """Lists the options of the question first in the help."""

    own = ("Question", True)
    its = ("form", "out")


@click.command("crossover", cls=CrossoverCommand)
@click.option(
    "--over",
    default="utilisation",
    show_default=True,
    metavar="OPTION",
    help="The axis: a numeric option of the fleet, the load or the stragglers.",
)
@click.option("--from", "low", type=float, help="Lowest value of the axis. [utilisation: 0.05]")
@click.option("--to", "high", type=float, help="Highest value of the axis. [utilisation: 0.9]")
@click.option("--metric", default="p99", show_default=True, help="What to compare: p50, p90, p95, p99, p999 or mean.")
@click.option("--steps", type=int, default=6, show_default=True, help="Number of values to begin with.")
@click.option("--tolerance", type=float, help="Precision of a crossing. [a hundredth of the range; --log: 5 %]")
@click.option("--log", is_flag=True, help="Space the values by equal ratios; --tolerance is then a share of the value.")
@side_by_side
@table_or_json
@click.option(
    "--out",
    type=PATH,
    help="Directory of the answer and its simulations; reuse it to ask more. [a new one in runs/]",
)
@section_options(
    "Experiment",
    "Load",
    "Stragglers",
    "Images and models",
    "Schemes that copy",
    "Schemes with groups",
    without=("out", "resume"),
)
def command(**options: Any) -> int:
    """Find where the better of two schemes changes, along the load, the share of stragglers or another number.

    It compares every pair of the chosen schemes by simulation, first coarsely and then by bisection, on the same
    arrivals, images and slowdowns. A crossing comes with its 95 % range. If there is none, the answer says which scheme
    is better, or that the two cannot be told apart. The answer is kept in --out, as crossover.json and as a page;
    another question with the same --out DIR simulates only what is missing.

    \b
    collagebench crossover --scheme hedge --scheme collage --from 0.1 --to 0.8
    collagebench crossover --over persistence --from 0 --to 2 --stragglers markov
    collagebench crossover --over workers --from 4 --to 64 --log
    """
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.cli.progress import counted
    from collagebench.cli.run_directory import run_directory
    from collagebench.report.crossover import print_crossovers
    from collagebench.report.crossover_page import crossover_page
    from collagebench.study.crossover import FILE, PAGE, find
    from collagebench.study.points import keep_answer

    question = _question(options)
    directory = run_directory(options["out"], "crossover")
    with counted("preparing") as report:
        answer = find(question, directory, options["jobs"], report)
    keep_answer(answer, crossover_page(answer, directory.resolve().name), directory, (FILE, PAGE))

    try:
        give(answer, options["form"], lambda console: print_crossovers(answer, console))
    finally:
        say(f"answer: {directory}, its page: {directory / PAGE}")
    return 0


def _question(options: Mapping[str, Any]) -> Question:
    """Make a question of the options; UsageError if they do not make sense."""
    from collagebench.cli.resolve import resolve
    from collagebench.errors import UsageError
    from collagebench.study.crossover_question import AXES, Question, check_axis

    over = options["over"].replace("-", "_")
    check_axis(over)
    low, high = options["low"], options["high"]
    for other in LOADS:
        if over in LOADS and other != over and options[other] is not None:
            raise UsageError(f"the axis is --{over}: leave --{other} out, or use --over {other} with --from and --to")
    if over == "utilisation":
        low, high = 0.05 if low is None else low, 0.9 if high is None else high
    if low is None or high is None:
        raise UsageError(f"give the range of --{options['over']} to search, with --from and --to")
    if options.get(over) is not None:
        raise UsageError(f"--{options['over']} is the axis, so --from and --to set its range: leave it out")
    whole = AXES[over].startswith("int") and low.is_integer()
    begun = {**options, over: int(low) if whole else low} if over in options else dict(options)
    asked = (options["metric"], options["steps"], options["tolerance"], options["log"])
    return Question(resolve(begun), over, low, high, *asked)

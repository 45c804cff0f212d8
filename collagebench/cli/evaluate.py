"""`collagebench evaluate`: measure the accuracy and speed of each model, on the files that workers serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from collagebench.cli.answer import give
from collagebench.cli.options import PATH, USUAL_DATASET, data_directory, may_download, models_directory, table_or_json
from collagebench.cli.sectioned import SectionedCommand
from collagebench.cli.standard_streams import say
from collagebench.config import option
from collagebench.errors import UsageError
from collagebench.terms import ROLES
from collagebench.workload.dataset import NAMES, chosen


class EvaluateCommand(SectionedCommand):
    """Lists the options of coded models in a section of their own."""

    sections = (
        ("Images and models", ("dataset", "data", "download", "models", "grid", "images", "split")),
        ("Coded models", ("coded_k", "coded_s", "smooth_encode", "smooth_decode", "tune")),
    )
    own = ("Report", False)


@click.command("evaluate", cls=EvaluateCommand)
@click.argument("roles", metavar="[ROLE]...", nargs=-1, type=click.Choice(ROLES))
@click.option("--dataset", help=f"{', '.join(NAMES)}. [{USUAL_DATASET}]")
@data_directory
@may_download
@models_directory
@click.option("--grid", type=int, metavar="W", help="Only collages with W cells along one side. [all]")
@click.option(
    "--images",
    metavar="N",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Most images to measure on.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "train"]),
    help="test images, or the training images that training holds out. [test; train with --tune]",
)
@click.option(
    "--coded-k", metavar="K", type=click.IntRange(min=1), default=8, show_default=True, help="Images per group."
)
@click.option(
    "--coded-s", metavar="S", type=click.IntRange(min=0), default=1, show_default=True, help="Lost shares of the k + s."
)
@click.option("--smooth-encode", metavar="F", type=click.FloatRange(min=0), help="Smoothing of NeRCC's encoder. [3e-5]")
@click.option("--smooth-decode", metavar="F", type=click.FloatRange(min=0), help="Smoothing of NeRCC's decoder. [1e-4]")
@click.option("--tune", is_flag=True, help="Only find the smoothing with the highest accuracy.")
@table_or_json
@click.option("--out", type=PATH, metavar="FILE", help="Write to FILE instead of printing.")
def command(
    roles: tuple[str, ...],
    split: str | None,
    coded_k: int,
    coded_s: int,
    smooth_encode: float | None,
    smooth_decode: float | None,
    tune: bool,
    form: str,
    out: Path | None,
    dataset: str | None,
    data: Path | None,
    **measured: Any,
) -> None:
    """Measure accuracy, latency and cost of each model for a dataset; of all roles if no ROLE is named.

    ROLE is single, collage, backup, parity or coded. Collages are measured by cell and with blank cells, parities by
    the answers decoded from them, coded models by the answers reconstructed when shares are lost.
    """
    if tune and roles != ("coded",):
        raise UsageError("--tune finds the smoothing of coded answers: use collagebench evaluate coded --tune")
    if tune and split == "test":
        raise UsageError("smoothing tuned on test images would look better than it is; drop --split test")
    if tune and (smooth_encode is not None or smooth_decode is not None):
        raise UsageError("--tune finds --smooth-encode and --smooth-decode; drop them")
    context = click.get_current_context()
    for role, names in (
        ("collage", ("grid",)),
        ("coded", ("coded_k", "coded_s", "smooth_encode", "smooth_decode")),
    ):
        for name in names:
            if roles and role not in roles and context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
                raise UsageError(
                    f"--{option(name)} has no effect on {' and '.join(roles)}, only on {role}: leave it out"
                )
    # Imported here, because they are heavy and no help text needs them.
    from collagebench.cli.progress import counted
    from collagebench.measurement.coded import Code
    from collagebench.measurement.evaluate import Evaluation, evaluate, tuned
    from collagebench.report.models import print_models, print_tuned
    from collagebench.report.output import see_that_it_can_be_written

    smoothing = {"smooth_encode": smooth_encode, "smooth_decode": smooth_decode}
    code = Code(coded_k, coded_s, **{name: value for name, value in smoothing.items() if value is not None})
    measured |= {
        "dataset": chosen(dataset, data),
        "data": data,
        "split": split or ("train" if tune else "test"),
    }
    asked = Evaluation(roles=roles, code=code, **measured)
    if out is not None:
        see_that_it_can_be_written(out)
    with counted("reading images") as report:
        found = (tuned if tune else evaluate)(asked, report)

    give(found, form, lambda console: (print_tuned if tune else print_models)(found, console), out)
    for warning in found.get("warnings", ()):
        say(warning)

"""What `train` and `export` share: some options, and the output directory of the models."""

from __future__ import annotations

import re
from pathlib import Path

import click

from collagebench.errors import OutputError, UsageError


def _checked_name(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(
            f"{name!r} is not a valid name for a dataset; use letters, digits, '.', '_' and '-', at most 100"
        )
    return name


dataset_name = click.option(
    "--as",
    "name",
    metavar="NAME",
    callback=_checked_name,
    help="Name of the dataset in the manifest.  [default: the dataset]",
)
own_network = click.option("--network", metavar="MODULE:CALLABLE", help="A network of your own: what CALLABLE returns.")
models_go_to = click.option(
    "--out", default=Path("models"), show_default=True, type=click.Path(path_type=Path), help="Directory of the models."
)


def see_that_the_name_is_free(name: str | None, dataset: str) -> None:
    """Refuse the name of the bundled dataset for other images; UsageError if it is asked for."""
    if name == "shapes" and dataset != name:
        raise UsageError("the name shapes is taken by the bundled dataset; choose another --as")


def make_directory(out: Path) -> None:
    """Create the output directory of the models; OutputError if that is impossible."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the directory {out} ({error.strerror}); choose another --out") from None

"""`collagebench export`: turn checkpoints into ONNX models, measure them, and list them in a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from collagebench.errors import ModelError, OutputError
from collagebench.models import require_torch


@click.command()
@click.argument("roles", metavar="[ROLE]...", nargs=-1, type=click.Choice(["single", "collage", "parity", "backup"]))
@click.option("--dataset", metavar="NAME", help="Only models of this dataset.  [default: all]")
@click.option("--data", type=click.Path(path_type=Path), help="Where the images to measure on are; imagefolder: test/.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="This checkpoint.  [default: all in --out]")
@click.option("--grid", type=int, help="Only collages with so many cells along a side.  [default: all]")
@click.option("--head", type=click.Choice(["grid", "detection"]), help="Only collages with this head.  [default: all]")
@click.option("--k", type=int, help="Only parities of so many images.  [default: all]")
@click.option("--single", type=click.Path(path_type=Path), help="Checkpoint of parities' single.  [default: in --out]")
@click.option("--int8", is_flag=True, help="Also quantise each model but the coded ones, and say what that costs.")
@click.option("--out", default=Path("models"), show_default=True, type=click.Path(path_type=Path), help="Directory.")
def command(
    roles: tuple[str, ...],
    dataset: str | None,
    data: Path | None,
    checkpoint: Path | None,
    grid: int | None,
    head: str | None,
    k: int | None,
    single: Path | None,
    int8: bool,
    out: Path,
) -> None:
    """Export trained networks of ROLE (single, collage, parity, backup; all if none is named) to ONNX.

    Each model is checked against its network, measured on the test images, and added to manifest.json in --out. A
    single is exported twice: for images, and as `coded` for the float32 images that codes make.
    """
    require_torch()
    from collagebench.training.checkpoint import load
    from collagebench.training.export import export, export_int8, images_of, single_of

    paths = [checkpoint] if checkpoint else sorted(out.glob("*.pt"))
    checkpoints = {path: load(path) for path in paths}
    chosen = {
        path: found
        for path, found in checkpoints.items()
        if (not roles or found.architecture.role in roles)
        and (dataset is None or found.recipe.dataset == dataset)
        and (grid is None or found.architecture.grid == grid)
        and (head is None or found.architecture.head == head)
        and (k is None or found.architecture.k == k)
    }
    if not chosen:
        names = ", ".join(found.name for found in checkpoints.values()) or "none"
        raise ModelError(
            f"no such checkpoint in {checkpoint or out} (it holds: {names}); `collagebench train` makes one"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made a directory ({error.strerror}); choose another --out") from None
    for path, found in chosen.items():
        images = images_of(found, path, data, "test")
        own = single_of(found, path, single, images) if found.architecture.k else None
        model, line = export(found, images, out, own)
        click.echo(line)
        if int8:
            click.echo(export_int8(found, model, images, images_of(found, path, data, "train"), own))
        if found.architecture.role == "single":
            _, line = export(replace(found, architecture=replace(found.architecture, role="coded")), images, out)
            click.echo(line)

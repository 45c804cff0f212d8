"""`collagebench train`: make a single or a collage network from a dataset and a seed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collagebench.errors import OutputError, UsageError
from collagebench.models import require_torch
from collagebench.workload.dataset import NAMES, open_dataset
from collagebench.workload.imagefolder import ImageFolder

if TYPE_CHECKING:
    from collagebench.training.checkpoint import Checkpoint
    from collagebench.training.loop import Report

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@click.command()
@click.argument("role", type=click.Choice(["single", "collage"]))
@click.option("--dataset", default="shapes", show_default=True, type=click.Choice(NAMES), help="Images to train on.")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of an imagefolder; holds train/ and test/.")
@click.option("--as", "name", metavar="NAME", help="Name the dataset goes by in the manifest.  [default: the dataset]")
@click.option("--grid", type=int, help="Cells along one side of the collage.  [default: 3]")
@click.option("--epochs", default=20, show_default=True, help="How often every training image is used.")
@click.option("--seed", default=0, show_default=True, help="Fixes weights, order, collages and augmentation.")
@click.option("--width", default=16, show_default=True, help="Channels of the first stage; each later one has twice.")
@click.option("--stages", default=3, show_default=True, help="Stages of residual blocks, each at half the resolution.")
@click.option("--blocks", default=1, show_default=True, help="Residual blocks in each stage.")
@click.option("--stride", type=int, help="Stride of the stem.  [default: 1 for a single, 4 for a collage]")
@click.option("--batch", type=int, help="Inputs in one step.  [default: 64 images or 16 collages]")
@click.option("--rate", default=0.1, show_default=True, help="Peak of the one-cycle learning rate.")
@click.option("--crop", type=int, help="Shift images by up to so many pixels.  [default: 0 for shapes, else 1/8 side]")
@click.option("--flip/--no-flip", default=True, show_default=True, help="Mirror half of the images.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch; another number rounds differently.")
@click.option("--out", default=Path("models"), show_default=True, type=click.Path(path_type=Path), help="Directory.")
@click.option("--resume", is_flag=True, help="Go on from the last finished epoch, if there is one.")
def command(
    role: str,
    dataset: str,
    data: Path | None,
    name: str | None,
    grid: int | None,
    epochs: int,
    seed: int,
    width: int,
    stages: int,
    blocks: int,
    stride: int | None,
    batch: int | None,
    rate: float,
    crop: int | None,
    flip: bool,
    threads: int,
    out: Path,
    resume: bool,
) -> None:
    """Train the network of ROLE (single or collage).

    Leaves a checkpoint (.pt), which `collagebench export` turns into a model, and a log (.csv) in --out.
    """
    require_torch()
    from collagebench.models.network import Architecture
    from collagebench.training.checkpoint import load, name_of
    from collagebench.training.loop import train
    from collagebench.training.recipe import Recipe

    grid = 3 if role == "collage" and grid is None else grid
    if name is not None and not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a dataset; use letters, digits, '.', '_' and '-'")
    images = open_dataset(dataset, data, "train")
    if isinstance(images, ImageFolder) and images.split is None:
        raise UsageError(
            f"{data} is not divided into train/ and test/; training needs both, so that accuracy is measured on images "
            "that the model has not seen"
        )
    side = min(images.size[:2])
    architecture = Architecture(
        role=role,
        classes=len(images.classes),
        image=images.size[:2],
        grid=grid,
        width=width,
        stages=stages,
        blocks=blocks,
        stride=stride if stride is not None else (4 if grid else 1),
    )
    recipe = Recipe(
        dataset=name or dataset,
        seed=seed,
        epochs=epochs,
        batch=batch if batch is not None else (16 if grid else 64),
        rate=rate,
        crop=crop if crop is not None else (0 if dataset == "shapes" else side // 8),
        flip=flip,
        threads=threads,
    )
    path = out / f"{name_of(recipe, architecture)}.pt"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made a directory ({error.strerror}); choose another --out") from None
    checkpoint = None
    if path.exists():
        if not resume:
            raise UsageError(f"{path} exists; add --resume to go on from it, or remove it first")
        checkpoint = load(path)
        same_training(checkpoint, architecture.as_dict() | recipe.as_dict(), path)
        if checkpoint.classes != images.classes:
            raise UsageError(f"{path} was trained on other classes ({', '.join(checkpoint.classes)}); use its own data")
    with progress() as report:
        checkpoint = train(architecture, recipe, images, path, checkpoint, report)
    accuracy = checkpoint.log[-1]["held_out_accuracy"]
    click.echo(f"{path}: {checkpoint.epoch} epochs, {accuracy:.1%} of the held-out training images")


def same_training(checkpoint: Checkpoint, asked: dict[str, Any], path: Path) -> None:
    """Refuse to resume a training under other arguments than it began with.

    Raises:
        UsageError: an argument differs; names the first.
    """
    began = checkpoint.architecture.as_dict() | checkpoint.recipe.as_dict()
    for key, value in asked.items():
        if began[key] != value:
            raise UsageError(f"{path} was begun with {key} {began[key]}, not {value}; resume it with the same options")


@contextmanager
def progress() -> Iterator[Report]:
    """Show a bar with the time left on stderr, or nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, line: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("reading images", total=None)
        yield lambda done, total, line: bar.update(task, description=line, total=total, completed=done)

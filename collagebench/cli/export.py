"""`collagebench export`: turn networks into ONNX models, measure them, and list them in a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collagebench.cli.making import dataset_name, make_directory, models_go_to, own_network, see_that_the_name_is_free
from collagebench.cli.options import may_download
from collagebench.cli.sectioned import SectionedCommand
from collagebench.cli.standard_streams import say
from collagebench.errors import CollagebenchError, DataError, ModelError, UsageError
from collagebench.interrupts import as_ctrl_c
from collagebench.models import require_torch
from collagebench.terms import TRAINED
from collagebench.workload.dataset import NAMES, chosen
from collagebench.zoo import MANIFEST
from collagebench.zoo.seen import seen_in_training

if TYPE_CHECKING:
    from collagebench.training.checkpoint import Checkpoint


class ExportCommand(SectionedCommand):
    """Lists the options of external networks in a section of their own."""

    sections = (
        ("Which models", ("dataset", "checkpoint", "grid", "head", "k", "single")),
        ("Images", ("data", "download")),
        (
            "An external network",
            ("torchvision", "weights", "network", "given", "name", "size", "resize", "crop", "mean", "std"),
        ),
    )
    own = ("Output", False)


@click.command(cls=ExportCommand)
@click.argument("roles", metavar="[ROLE]...", nargs=-1, type=click.Choice(TRAINED))
@click.option("--dataset", metavar="NAME", help="Only models of this dataset.  [default: all]")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of the images: test/, and train/ for --int8.")
@may_download
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Only this checkpoint.  [default: all in --out]")
@click.option("--grid", type=int, help="Only collages with this many cells along one side.  [default: all]")
@click.option("--head", type=click.Choice(["grid", "detection"]), help="Only collages with this head.  [default: all]")
@click.option("--k", type=int, help="Only parities of this many images.  [default: all]")
@click.option(
    "--single",
    type=click.Path(path_type=Path),
    help="Checkpoint or .onnx of the parities' single.  [default: in --out]",
)
@click.option("--int8", is_flag=True, help="Also quantise each model except the coded ones, and print what that costs.")
@click.option("--torchvision", metavar="NAME", help="A torchvision classifier, such as resnet18.")
@click.option(
    "--weights", type=click.Choice(["default", "none"]), help="Weights of --torchvision; default downloads them."
)
@own_network
@click.option("--onnx", "given", type=click.Path(path_type=Path), help="A classifier of your own, as an ONNX file.")
@dataset_name
@click.option(
    "--size",
    type=int,
    help="Pixels along one side of the images sent to it.  [default: --resize, or that of the images]",
)
@click.option("--resize", type=int, help="In the model, resize the shorter side to this many pixels.")
@click.option("--crop", type=int, help="In the model, then crop a square of this many pixels.")
@click.option("--mean", type=(float, float, float), help="In the model, subtract these from red, green, blue (0 to 1).")
@click.option("--std", type=(float, float, float), help="In the model, then divide by these.")
@models_go_to
@as_ctrl_c()
def command(
    roles: tuple[str, ...],
    dataset: str | None,
    data: Path | None,
    download: bool,
    checkpoint: Path | None,
    grid: int | None,
    head: str | None,
    k: int | None,
    single: Path | None,
    int8: bool,
    torchvision: str | None,
    weights: str | None,
    network: str | None,
    given: Path | None,
    name: str | None,
    out: Path,
    **before: Any,
) -> None:
    """Export trained networks of ROLE (single, collage, parity, backup; all if none is named) to ONNX.

    Each model is checked against its network, measured on the test images, and added to manifest.json in --out. A
    single is exported twice: for images, and as `coded` for the float32 images that codes produce.

    With --torchvision, --network (whose state dict is --checkpoint) or --onnx, a classifier that was not trained here
    becomes the single or the backup of a dataset. It takes pixels like all other models: its preprocessing becomes part
    of the model.
    """
    require_torch()
    if torchvision or network or given:
        if len(roles) != 1 or roles[0] not in ("single", "backup"):
            raise UsageError("an external network is exported as ROLE single or backup: name one")
        if any(value is not None for value in (grid, head, k, single)):
            raise UsageError("--grid, --head, --k and --single choose among networks trained here; drop them")
        images = chosen(dataset, data)
        if images not in NAMES:
            raise UsageError(f"unknown dataset {images!r}; the datasets are {', '.join(NAMES)}")
        see_that_the_name_is_free(name, images)
        from collagebench.training.foreign import Brought, bring

        asked = Brought(
            role=roles[0],
            dataset=images,
            called=name or images,
            data=data,
            download=download,
            torchvision=torchvision,
            network=network,
            onnx=given,
            weights=weights,
            checkpoint=checkpoint,
            size=before.pop("size"),
            before=tuple((key, value) for key, value in before.items() if value is not None),
        )
        _make_ready(out)
        for line in bring(asked, out, int8):
            say(line, err=False)
        return
    if weights or name or any(value is not None for value in before.values()):
        raise UsageError(
            "--weights, --as, --size, --resize, --crop, --mean and --std are for --torchvision, --network or --onnx; "
            "drop them"
        )
    _export_trained(roles, dataset, data, checkpoint, grid, head, k, single, int8, out, download)


def _make_ready(out: Path) -> None:
    """Create the directory of the models; OutputError if that is impossible, or if no manifest can be written there."""
    from collagebench.report.output import see_that_it_can_be_written

    make_directory(out)
    see_that_it_can_be_written(out / MANIFEST)


def _export_trained(
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
    download: bool,
) -> None:
    """Export the checkpoints that the options select; raise the first failure after trying all of them."""
    from collagebench.measurement.accuracy import draw
    from collagebench.training.checkpoint import open_checkpoint
    from collagebench.training.export import (
        export,
        exported_int8,
        forget_parities,
        forget_quantised,
        images_of,
        single_of,
    )

    paths = [checkpoint] if checkpoint else sorted(out.glob("*.pt"))
    checkpoints: dict[Path, Checkpoint] = {}
    digests: dict[Path, str] = {}
    failures: list[CollagebenchError] = []
    for path in paths:
        try:
            checkpoints[path], digests[path] = open_checkpoint(path)
        except ModelError as error:
            failures.append(error)
    if checkpoint and failures:
        raise failures[0]
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
        if failures:
            raise failures[0]
        if checkpoint:
            name = checkpoints[checkpoint].name
            raise ModelError(f"checkpoint {checkpoint} is of {name}, not of what is asked for: give --checkpoint alone")
        names = ", ".join(found.name for found in checkpoints.values()) or "none"
        raise ModelError(f"no such checkpoint in {out} (it has: {names}); `collagebench train` makes one")
    _make_ready(out)
    done = 0
    # Singles come first: exporting one removes the parities of the single that it replaces from the manifest.
    for path, found in sorted(chosen.items(), key=lambda one: one[1].architecture.role != "single"):
        try:
            images = images_of(found, path, data, "test", download)
            training = images_of(found, path, data, "train", download) if int8 else None
            own = single_of(found, path, single, images, out) if found.architecture.k else None
            model, line = export(found, digests[path], images, out, own)
            say(line, err=False)
            if seen := seen_in_training([model], images):
                say(seen)
            gone = list(forget_quantised(model))
            for line in () if training else gone:
                say(line, err=False)
            if training:
                say(exported_int8(found.restored(), model, draw(images, len(images)), training, own), err=False)
            if found.architecture.role == "single":
                coded = replace(found, architecture=replace(found.architecture, role="coded"))
                _, line = export(coded, digests[path], images, out)
                say(line, err=False)
                for line in forget_parities(model):
                    say(line, err=False)
            done += 1
        except (DataError, ModelError, UsageError) as error:
            failures.append(error if str(path) in str(error) else type(error)(f"{path}: {error}"))
    for failure in failures[1:] if done else ():
        say(str(failure))
    if failures:  # even if others were exported: the one that matters may be among them
        raise failures[0]

"""`collagebench train`: train a network of any role from a dataset and a seed."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from collagebench.cli.making import dataset_name, make_directory, models_go_to, own_network, see_that_the_name_is_free
from collagebench.cli.options import USUAL_DATASET, may_download
from collagebench.cli.sectioned import SectionedCommand
from collagebench.cli.standard_streams import say
from collagebench.errors import Interrupted, UsageError
from collagebench.interrupts import as_ctrl_c
from collagebench.models import require_torch
from collagebench.results.environment import cores
from collagebench.terms import CODES, HEADS, TRAINED
from collagebench.training.asked import own_layers, training_images
from collagebench.training.recipe import VIEWS
from collagebench.workload.dataset import HELD_OUT, NAMES, chosen, fingerprint

if TYPE_CHECKING:
    from collagebench.training.checkpoint import Checkpoint

FURTHER = 0.02
"""Peak of the learning rate of an external network, which is mostly pretrained."""
ENDLESS = 1_000_000
"""Limit of epochs if --minutes limits the training instead."""


class TrainCommand(SectionedCommand):
    """Lists the options by topic; images, network and duration come first."""

    sections = (
        ("Images", ("dataset", "data", "download", "name", "size")),
        ("Collages and parities", ("grid", "canvas", "head", "k", "code")),
        ("Duration and output", ("epochs", "minutes", "every", "seed", "threads", "out", "resume")),
        ("An external network", ("torchvision", "weights", "network", "resize", "mean", "std")),
        ("Shape of the built-in network", ("stem", "stride", "widths", "depths", "layers", "start")),
        ("Learning from a single", ("singles", "distil", "distillation", "temperature", "teacher_sees", "rounds")),
        ("Optimisation", ("batch", "rate", "muon", "warmup", "weight_decay", "label_smoothing", "bias_rate", "ema")),
        ("Augmentation", ("cutout", "mix", "cutmix", "crop", "flip", "blanks")),
    )


@click.command(cls=TrainCommand)
@click.argument("role", type=click.Choice(TRAINED))
@click.option("--dataset", type=click.Choice(NAMES), help=f"Images to train on.  [default: {USUAL_DATASET}]")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Directory of the images; an imagefolder holds train/ and test/."
)
@may_download
@dataset_name
@click.option(
    "--size", type=int, help="Bring an imagefolder's images to this many pixels a side.  [default: the first image's]"
)
@click.option(
    "--torchvision", metavar="NAME", help="A torchvision classifier instead of the built-in network, such as resnet18."
)
@click.option(
    "--weights",
    type=click.Choice(["default", "none"]),
    help="Initial weights of --torchvision; default downloads them.",
)
@own_network
@click.option(
    "--resize",
    type=int,
    help="Pixels to which the model resizes the shorter side.  [default: that of its weights]",
)
@click.option(
    "--mean",
    type=(float, float, float),
    help="What the model subtracts from red, green, blue (0 to 1).",
)
@click.option("--std", type=(float, float, float), help="What the model then divides red, green, blue by.")
@click.option("--grid", type=int, help="Cells along one side of the collage.  [default: 3]")
@click.option(
    "--input", "canvas", type=int, help="Pixels a side of a collage.  [default: grid x image; less for large images]"
)
@click.option("--head", type=click.Choice(HEADS), help="Head of the collage network.  [default: grid]")
@click.option("--k", type=int, help="Images per parity.  [default: 2]")
@click.option("--code", type=click.Choice(CODES), help="Code of the parity.  [default: addition]")
@click.option(
    "--single",
    "singles",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Checkpoint or .onnx model of the single to learn from; repeat it to learn from the mean of several.  "
    "[default: the checkpoint, or else the model, in --out; for a single none]",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Checkpoint of the initial weights, where they fit.  [default: for a parity, a checkpoint of --single]",
)
@click.option(
    "--distil/--no-distil",
    default=True,
    show_default=True,
    help="Learn from the single's answers as well as from labels.",
)
@click.option(
    "--distillation", default=0.8, show_default=True, help="Weight of the single's answers; labels have the rest."
)
@click.option("--temperature", default=2.0, show_default=True, help="Divides logits before they are compared.")
@click.option(
    "--teacher-sees",
    default="image",
    show_default=True,
    type=click.Choice(VIEWS),
    help="What the single classifies: each image and its mirror image, once; every shift too (for a GPU); or the "
    "very inputs, at every step.",
)
@click.option(
    "--rounds",
    default=0,
    show_default=True,
    help="Alter each image in only this many ways, in turn, and ask the single about all of them beforehand; 0: ask at "
    "every step.",
)
@click.option("--epochs", type=int, help="Passes over the training images.  [default: 20; with --minutes: no limit]")
@click.option(
    "--minutes",
    type=float,
    help="Stop training after this time and measure held-out accuracy. The learning rate follows the clock, so a "
    "resumed training may end in other weights.",
)
@click.option(
    "--every", default=1, show_default=True, help="Epochs between checkpoints and measurements of held-out accuracy."
)
@click.option("--seed", default=0, show_default=True, help="Seed of weights, order, collages and augmentation.")
@click.option("--stem", type=int, help="Channels of the first convolution.  [default: depends on the role]")
@click.option("--stride", type=int, help="Stride of the first convolution.  [default: depends on the role]")
@click.option("--widths", metavar="N,N,...", help="Channels of each stage.  [default: depends on the role]")
@click.option(
    "--depths", metavar="N,N,...", help="Residual convolutions in each stage.  [default: depends on the role]"
)
@click.option("--layers", help="Kind of layers: residual, or whitened for a short training.  [default: residual]")
@click.option(
    "--batch",
    type=int,
    help="Inputs per step.  [default: as many as hold about 256 images, or 64 of more than 64 pixels; at least 8]",
)
@click.option("--rate", type=float, help="Peak of the learning rate.  [default: 0.2; external network: 0.02]")
@click.option(
    "--muon", default=0.0, show_default=True, help="Train filters by Muon, at this rate; 0: by SGD, like the rest."
)
@click.option("--warmup", default=0.2, show_default=True, help="Share of the steps in which learning rates rise.")
@click.option("--weight-decay", default=5e-4, show_default=True, help="Weight decay.")
@click.option(
    "--label-smoothing", default=0.1, show_default=True, help="Label smoothing, if there is no single to learn from."
)
@click.option(
    "--bias-rate", default=1.0, show_default=True, help="Learning rate of biases, relative to that of weights."
)
@click.option("--ema", default=0.0, show_default=True, help="Decay of a moving average of the weights; 0: none.")
@click.option("--cutout", default=0, show_default=True, help="Hide a square of this many pixels a side in every image.")
@click.option("--mix", default=0.0, show_default=True, help="Share of images blended from two, pixel by pixel.")
@click.option("--cutmix", default=0.0, show_default=True, help="Share of images with a rectangle of another pasted in.")
@click.option(
    "--crop", type=int, help="Shift images by up to this many pixels.  [default: 0 for shapes, else 1/8 side]"
)
@click.option("--flip/--no-flip", default=True, show_default=True, help="Mirror every image in every second epoch.")
@click.option("--blanks", type=float, help="Share of inputs that are not full.  [default: 0.5; parities: 0.1]")
@click.option(
    "--threads",
    type=int,
    help="Threads of torch; the number affects rounding.  [default: OMP_NUM_THREADS, or one per core]",
)
@models_go_to
@click.option("--resume", is_flag=True, help="Continue from the last finished epoch, if there is one.")
@as_ctrl_c()
def command(
    role: str,
    dataset: str | None,
    data: Path | None,
    download: bool,
    name: str | None,
    size: int | None,
    torchvision: str | None,
    weights: str | None,
    network: str | None,
    resize: int | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    grid: int | None,
    canvas: int | None,
    head: str | None,
    k: int | None,
    code: str | None,
    singles: tuple[Path, ...],
    start: Path | None,
    distil: bool,
    teacher_sees: str,
    rounds: int,
    epochs: int | None,
    minutes: float | None,
    stem: int | None,
    stride: int | None,
    widths: str | None,
    depths: str | None,
    layers: str | None,
    batch: int | None,
    rate: float | None,
    muon: float,
    crop: int | None,
    blanks: float | None,
    threads: int | None,
    out: Path,
    resume: bool,
    **others: Any,
) -> None:
    """Train the network of ROLE: single, collage, parity or backup.

    Collages and backups learn from the labels and from the answers of the single (with --no-distil, from the labels
    alone). A single can learn from another --single in the same way. A parity learns the answers of the single and
    needs one. Training leaves a checkpoint (.pt), which `collagebench export` turns into a model, and a log (.csv) in
    --out. With --torchvision or --network, a single or a backup is an external network, which may be pretrained.
    """
    begun = time.perf_counter()
    require_torch()
    from collagebench.cli.progress import counted
    from collagebench.models.architecture import LARGE, Architecture
    from collagebench.models.foreign import Borrowed
    from collagebench.models.onnx_export import tried
    from collagebench.report.output import see_that_it_can_be_written
    from collagebench.training.checkpoint import Checkpoint, name_of, open_checkpoint
    from collagebench.training.foreign import borrow
    from collagebench.training.loop import train
    from collagebench.training.recipe import Recipe
    from collagebench.training.resuming import begun_at, without_effect
    from collagebench.training.teacher import lessons, open_teacher, singles_for

    dataset = chosen(dataset, data)
    images = training_images(dataset, data, size, download)
    see_that_the_name_is_free(name, dataset)
    if name not in (None, dataset) and dataset != "imagefolder":
        raise UsageError(f"--as names an imagefolder, but {dataset} already has a name; drop it")
    if not distil and (singles or role == "parity"):
        raise UsageError(
            "--no-distil learns from no single; drop --single"
            if singles
            else "a parity learns from the single's outputs; drop --no-distil"
        )
    image = images.size[:2]
    called = name or dataset
    found = singles_for(role, singles, out, called) if distil else ()
    teachers = [open_teacher(one, images.classes, image) for one in found]
    exported = [one for one, (teacher, _) in zip(found, teachers, strict=True) if not isinstance(teacher, Checkpoint)]
    if exported and teacher_sees == "inputs" and not rounds:
        raise UsageError(
            f"{exported[0]} is not a checkpoint (.pt), and is too slow to be asked at every step; add --rounds, "
            "such as 96"
        )
    source = click.get_current_context().get_parameter_source
    if distil and not teachers and source("distil") is not ParameterSource.DEFAULT:
        raise UsageError(
            f"--distil learns from a single, but there is none in {out}; name it with --single, or drop --distil"
        )
    for option in () if resume else without_effect(role, head, bool(teachers)):
        if source(option) is not ParameterSource.DEFAULT:
            raise UsageError(f"--{option.replace('_', '-')} {_why_without_effect(option, role, head, bool(teachers))}")
    if role == "parity" and len(teachers) > 1:
        raise UsageError("a parity estimates the outputs of one single; name only one --single")
    if role == "parity" and not isinstance(teachers[0][0], Checkpoint) and teachers[0][0].precision == "int8":
        raise UsageError(
            f"{found[0]} is quantised, and the float32 single decodes a parity's answers; name that one with --single"
        )
    shape = {"stem": stem, "stride": stride, "widths": whole(widths), "depths": whole(depths), "layers": layers}
    kind = {"grid": grid, "canvas": canvas, "head": head, "k": k, "code": code}
    before = {"resize": resize, "mean": mean, "std": std}
    architecture: Architecture | Borrowed
    begin: dict[str, Any] | None
    if torchvision or network:
        if any(value is not None for value in (*shape.values(), *kind.values())) or muon:
            raise UsageError(
                "--stem, --stride, --widths, --depths, --layers and --muon are for the built-in network, --grid, "
                "--input, --head, --k and --code for roles other than single; drop them, or --torchvision and --network"
            )
        architecture, begin, digest = borrow(role, images, torchvision, network, weights, start, before)
    else:
        if any(value is not None for value in (weights, *before.values())):
            raise UsageError("--weights, --resize, --mean and --std are for --torchvision or --network; drop them")
        first, digest = open_checkpoint(start) if start else (None, None)
        single = teachers[0][0] if role == "parity" else None
        like = single if isinstance(single, Checkpoint) and isinstance(single.architecture, Architecture) else None
        layered = any(value is not None for value in shape.values())
        architecture = own_layers(role, images, kind, shape, None if layered else like)
        first = first or like
        begin = first.weights_for(architecture) if first else None
    seen = architecture.resized if isinstance(architecture, Borrowed) else image
    recipe = Recipe(
        dataset=called,
        epochs=epochs if epochs is not None else (ENDLESS if minutes is not None else 20),
        minutes=minutes,
        teacher_sees=teacher_sees,
        rounds=rounds,
        batch=batch if batch is not None else max((256 if min(seen) <= LARGE else 64) // architecture.images, 8),
        rate=rate if rate is not None else (FURTHER if isinstance(architecture, Borrowed) else 0.2),
        muon=muon,
        crop=crop if crop is not None else (0 if dataset == "shapes" else min(image) // 8),
        blanks=blanks if blanks is not None else (0.1 if role == "parity" else 0.5),
        teacher="+".join(sorted(sha256 for _, sha256 in teachers)) or None,
        start=digest,
        threads=threads if threads is not None else usual_threads(),
        images=fingerprint(images),
        **others,
    )
    if recipe.crop >= min(image):
        raise UsageError(f"--crop {recipe.crop} is too large a shift for images of {min(image)} pixels")
    if recipe.cutout > min(image):
        raise UsageError(f"--cutout {recipe.cutout} is larger than images of {min(image)} pixels; choose a smaller one")
    path = out / f"{name_of(recipe, architecture)}.pt"
    make_directory(out)
    see_that_it_can_be_written(path)
    checkpoint = begun_at(path, resume, architecture.as_dict() | recipe.as_dict(), images.classes)
    if checkpoint is None and isinstance(architecture, Borrowed):
        tried(architecture.made())  # so that a network that cannot be exported fails now, not after the training
    try:
        with counted("reading images") as report:
            taught, live, foretold = lessons(teachers, role, images, out, recipe, report)
            spent = time.perf_counter() - begun
            checkpoint = train(
                architecture, recipe, images, path, checkpoint, report, taught, begin, live, foretold, spent
            )
    except KeyboardInterrupt:
        kept = f"{path} holds what was learnt: continue with --resume" if path.exists() else "nothing was saved yet"
        raise Interrupted(f"interrupted; {kept}") from None
    say(_result(path, checkpoint, -(-len(images) // HELD_OUT), found), err=False)


def _why_without_effect(option: str, role: str, head: str | None, taught: bool) -> str:
    """Return the rest of a sentence about an option that has no effect on a training: why, and what to do."""
    if option == "label_smoothing":
        return "applies to labels where no single is asked; drop it, or add --no-distil"
    if option == "teacher_sees":
        return "applies to a single to learn from, but there is none; drop it, or add --single"
    if option == "blanks":
        return f"applies to images missing from an input, but a {role} has only one; drop it"
    if option == "temperature" and head and taught:
        return "is not used when boxes are learnt; drop it"
    return "is for a single's answers and labels together, but this training learns from only one; drop it"


def usual_threads() -> int:
    """Return the first number of OMP_NUM_THREADS, as torch by itself does; without one, the number of cores."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(given) if given.isdecimal() and int(given) > 0 else cores()


def _result(path: Path, checkpoint: Checkpoint, held_out: int, singles: tuple[Path, ...]) -> str:
    """Return a line on the finished training: epochs, held-out accuracy, and what it learnt from."""
    together = checkpoint.architecture.images
    judged = held_out // together * together  # only full inputs are measured
    accuracy = checkpoint.log[-1]["held_out_accuracy"]
    right = (
        f"{accuracy:.1%} of the {judged} held-out training image{'s' if judged != 1 else ''}"
        if math.isfinite(accuracy)
        else "too few images to measure accuracy"
    )
    source = f"learnt from {' and '.join(map(str, singles))}" if singles else "learnt from labels alone"
    return f"{path}: {checkpoint.epoch} epoch{'s' if checkpoint.epoch != 1 else ''}, {right}, {source}"


def whole(numbers: str | None) -> tuple[int, ...] | None:
    """Return the whole numbers in a text such as `64,128`; None if it is None.

    Raises:
        UsageError: the text is not a list of whole numbers.
    """
    if numbers is None:
        return None
    try:
        return tuple(int(number) for number in numbers.split(","))
    except ValueError:
        raise UsageError(f"{numbers!r} is not a list of whole numbers separated by commas, such as 64,128") from None

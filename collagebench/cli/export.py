"""`collagebench export`: turn checkpoints into ONNX models, measure them, and list them in a manifest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collagebench import zoo
from collagebench.errors import ModelError, OutputError, UsageError
from collagebench.models import require_torch
from collagebench.workload.dataset import open_dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from collagebench.training.checkpoint import Checkpoint
    from collagebench.workload.dataset import Dataset


HALF_TOLERANCE = 0.05
"""How far a logit may move when the weights are rounded to half precision; more would be a broken export."""
CHECKED = 1000
"""Images on which an exported model is compared with its network."""


@click.command()
@click.argument("roles", metavar="[ROLE]...", nargs=-1, type=click.Choice(["single", "collage", "parity", "backup"]))
@click.option("--dataset", metavar="NAME", help="Only models of this dataset.  [default: all]")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of the imagefolder whose test/ to measure on.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="This checkpoint.  [default: all in --out]")
@click.option("--grid", type=int, help="Only collages with so many cells along a side.  [default: all]")
@click.option("--k", type=int, help="Only parities of so many images.  [default: all]")
@click.option("--single", type=click.Path(path_type=Path), help="Checkpoint of parities' single.  [default: in --out]")
@click.option("--out", default=Path("models"), show_default=True, type=click.Path(path_type=Path), help="Directory.")
def command(
    roles: tuple[str, ...],
    dataset: str | None,
    data: Path | None,
    checkpoint: Path | None,
    grid: int | None,
    k: int | None,
    single: Path | None,
    out: Path,
) -> None:
    """Export trained networks of ROLE (single, collage, parity, backup; all if none is named) to ONNX.

    Each model is checked against its network, measured on the test images, and added to manifest.json in --out. A
    single is exported twice: for images, and as `coded` for the float32 images that codes make.
    """
    require_torch()
    from collagebench.training.checkpoint import load

    paths = [checkpoint] if checkpoint else sorted(out.glob("*.pt"))
    checkpoints = {path: load(path) for path in paths}
    chosen = {
        path: found
        for path, found in checkpoints.items()
        if (not roles or found.architecture.role in roles)
        and (dataset is None or found.recipe.dataset == dataset)
        and (grid is None or found.architecture.grid == grid)
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
        images = test_images(found, path, data)
        if found.architecture.k:
            export(found, images, out, single_of(found, path, single, images))
            continue
        export(found, images, out)
        if found.architecture.role == "single":
            export(replace(found, architecture=replace(found.architecture, role="coded")), images, out)


def test_images(checkpoint: Checkpoint, path: Path, data: Path | None) -> Dataset:
    """Open the test split of what a checkpoint was trained on.

    Raises:
        UsageError: an imagefolder's directory is not given, or holds other classes.
    """
    if checkpoint.recipe.dataset == "shapes":
        images = open_dataset("shapes")
    elif data is None:
        raise UsageError(f"{path} was trained on an imagefolder; give its --data DIR to measure it, or name --dataset")
    else:
        images = open_dataset("imagefolder", data, "test", checkpoint.architecture.image)
    if images.classes != checkpoint.classes:
        raise UsageError(f"{path} knows {', '.join(checkpoint.classes)}, but {data} holds {', '.join(images.classes)}")
    return images


def single_of(parity: Checkpoint, path: Path, single: Path | None, images: Dataset) -> NDArray[np.float32]:
    """Return what the single that a parity network learned from says of all test images: [images, classes].

    Raises:
        ModelError: there is no such checkpoint.
        UsageError: it is another single.
    """
    from collagebench.models import onnx_export
    from collagebench.training.evaluation import single_logits
    from collagebench.training.teacher import open_teacher

    found = single or path.with_name(f"{parity.recipe.dataset}-single.pt")
    teacher, digest = open_teacher(found, parity.classes, parity.architecture.image)
    if digest != parity.recipe.teacher:
        raise UsageError(f"{path} was trained with another single than {found}; name its own with --single")
    content = onnx_export.halve(onnx_export.to_onnx(teacher.restored())).SerializeToString()
    return single_logits(onnx_export.session(content), images)


def export(checkpoint: Checkpoint, images: Dataset, out: Path, singles: NDArray[np.float32] | None = None) -> None:
    """Export one checkpoint into `out` and say how good and fast the model is; `singles` as `accuracy` wants them."""
    from collagebench.models import cost, onnx_export
    from collagebench.training.checkpoint import write_whole
    from collagebench.training.evaluation import accuracy, groups, latency, load_inputs

    architecture = checkpoint.architecture
    network = checkpoint.restored()
    proto = onnx_export.halve(onnx_export.to_onnx(network))
    bare = onnx_export.describe(proto, {})
    chosen = groups(images, architecture.images)
    samples = load_inputs(images, chosen[: -(-CHECKED // architecture.images)], architecture)
    difference = onnx_export.check(network, bare, samples, HALF_TOLERANCE)
    session = onnx_export.session(bare)
    share, asked = accuracy(session, images, architecture, singles=singles)
    facts: dict[str, Any] = {
        "role": architecture.role,
        "grid": architecture.grid,
        "k": architecture.k,
        "code": architecture.code,
        "dataset": checkpoint.recipe.dataset,
        "classes": checkpoint.classes,
        "image": (*architecture.image, 3),
        "accuracy": share,
        "accuracy_images": asked,
        "recipe": architecture.as_dict() | checkpoint.recipe.as_dict() | {"epoch": checkpoint.epoch},
    }
    content = onnx_export.describe(proto, facts)
    model = zoo.Model(
        name=checkpoint.name,
        input=architecture.input,
        file=f"{checkpoint.name}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        parameters=cost.count_parameters(network),
        macs=cost.count_macs(network, architecture.input),
        directory=out,
        **facts,
    )
    write_whole(model.path, content)
    others = zoo.load(out) if (out / zoo.MANIFEST).exists() else []
    zoo.save(sorted([m for m in others if m.name != model.name] + [model], key=lambda m: m.name), out)
    click.echo(
        f"{model.path}: {share:.2%} of {asked} test images, {model.macs / 1e6:.1f} MMAC, "
        f"{latency(session, samples[:1]) * 1e3:.2f} ms, {len(content) / 1e3:.0f} kB, {difference:.1g} from torch"
    )

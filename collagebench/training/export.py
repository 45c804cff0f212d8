"""Export of a checkpoint to ONNX files, in float32 and in int8, which are measured and listed in a manifest."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench import zoo
from collagebench.claims import let_go, locked
from collagebench.engine.evaluation import scores
from collagebench.errors import UsageError
from collagebench.measurement.accuracy import Sample, draw, encoded, infer, measured, together
from collagebench.measurement.latency import interleaved
from collagebench.models import cost, onnx_export
from collagebench.models.foreign import Foreign
from collagebench.models.given import given_in
from collagebench.models.int8 import to_int8
from collagebench.models.network import Network
from collagebench.onnx_session import open_session
from collagebench.statistics.accuracy import Share
from collagebench.training.checkpoint import Checkpoint
from collagebench.training.teacher import open_teacher, single_in
from collagebench.workload.dataset import Dataset, open_dataset
from collagebench.workload.imagefolder import ImageFolder
from collagebench.workload.public import TORCHVISION
from collagebench.zoo.advice import some_of
from collagebench.zoo.seen import decodes, network_of

CHECKED = 1000
"""Images on which an exported model is compared with its network."""
CHECKED_FOREIGN = 100
"""The same for foreign networks, which are larger."""
CALIBRATED = 500
"""Training images on which a quantised model is calibrated."""
INT8 = "-int8"
"""The suffix of a quantised model's name."""
FACTS = (
    "role", "grid", "head", "boxes", "k", "code", "precision", "dataset", "classes", "image", "accuracy",
    "accuracy_images", "recipe",
)  # fmt: skip
"""The fields that are written into a model's file."""


def images_of(checkpoint: Checkpoint, path: Path, data: Path | None, split: str, download: bool) -> Dataset:
    """Open a split of the dataset that a checkpoint was trained on; a missing public one is downloaded if `download`.

    Raises:
        UsageError: the directory of an image folder is not given, or holds other classes.
    """
    name = checkpoint.recipe.dataset
    folders = [data / split, data / checkpoint.classes[0]] if data else []
    if name == "shapes":
        images = open_dataset("shapes", split=split)
    elif name in TORCHVISION and not any(folder.is_dir() for folder in folders):
        images = open_dataset(name, data, split, checkpoint.architecture.image, download)
    elif data is None:
        raise UsageError(f"{path} was trained on an imagefolder; give its --data DIR to measure it, or name --dataset")
    else:
        images = open_dataset("imagefolder", data, split, checkpoint.architecture.image)
    if images.classes != checkpoint.classes:
        raise other_classes(path, checkpoint.classes, images, data)
    return divided(images, data) if split == "train" else images


def other_classes(path: Path, classes: tuple[str, ...], images: Dataset, data: Path | None) -> UsageError:
    """Return the error about a checkpoint at `path` that was trained on other classes than those of the images."""
    known, held = some_of(classes, images.classes), some_of(images.classes, classes)
    return UsageError(f"{path} knows {known}, but {data or images.name} holds {held}; use images of its own classes")


def divided(images: Dataset, data: Path | None) -> Dataset:
    """Return the images for the calibration of a quantised model, after checking that they are training images.

    Raises:
        UsageError: the folder is not divided into train/ and test/.
    """
    if isinstance(images, ImageFolder) and images.split is None:
        raise UsageError(
            f"--int8 is calibrated on training images, but {data} is not divided into train/ and test/; name the "
            "directory that holds both"
        )
    return images


def single_of(parity: Checkpoint, path: Path, single: Path | None, images: Dataset, out: Path) -> NDArray[np.float32]:
    """Return the logits of a parity's single, its teacher, for the sampled test images: [images, classes].

    Raises:
        ModelError: there is no such checkpoint.
        UsageError: the single found is not the teacher, or `out` lists another single.
    """
    listed = zoo.load(out) if (out / zoo.MANIFEST).exists() else []
    for model in listed:
        if (model.role, model.dataset, model.precision) == ("single", parity.recipe.dataset, "float32") and not decodes(
            model, parity.recipe.teacher
        ):
            raise UsageError(
                f"{path} was trained with another single than {model.path}, which would decode its answers; export its "
                "own there first, or choose another --out"
            )
    called = parity.recipe.dataset
    found = single or single_in(path.parent, called) or path.with_name(f"{called}-single.pt")
    teacher, digest = open_teacher(found, parity.classes, parity.architecture.image)
    noted = {digest, teacher.sha256} if isinstance(teacher, zoo.Model) else {digest}  # older versions: the file's
    if parity.recipe.teacher not in noted:
        raise UsageError(f"{path} was trained with another single than {found}; name its own with --single")
    if isinstance(teacher, zoo.Model):
        content = zoo.verified(teacher)
    else:
        network = teacher.restored()
        proto = onnx_export.to_onnx(network)
        content = (proto if isinstance(network, Foreign) else onnx_export.compact(proto)[0]).SerializeToString()
    return infer(open_session(content), draw(images, len(images)).pixels)


def export(
    checkpoint: Checkpoint, digest: str, images: Dataset, out: Path, own: NDArray[np.float32] | None = None
) -> tuple[zoo.Model, str]:
    """Export a checkpoint into `out`; return the model, and a line with its accuracy and time.

    `digest` is the checkpoint's sha256; `own` is as in `measured`.
    """
    architecture = checkpoint.architecture
    network = checkpoint.restored()
    model = zoo.Model(
        name=checkpoint.name,
        role=architecture.role,
        grid=architecture.grid,
        head=architecture.head,
        boxes=len(network.detect.corners) if architecture.head == "detection" else None,
        k=architecture.k,
        code=architecture.code,
        dataset=checkpoint.recipe.dataset,
        classes=checkpoint.classes,
        input=architecture.input,
        image=(*architecture.image, 3),
        file=f"{checkpoint.name}.onnx",
        parameters=cost.count_parameters(network, architecture.input),
        macs=cost.count_macs(network, architecture.input),
        recipe=architecture.as_dict() | checkpoint.recipe.as_dict() | {"epoch": checkpoint.epoch, "checkpoint": digest},
        directory=out,
    )
    return exported(network, model, draw(images, len(images)), own)


def exported(
    network: Network | Foreign,
    model: zoo.Model,
    sample: Sample,
    own: NDArray[np.float32] | None = None,
    ordered: bool = True,
) -> tuple[zoo.Model, str]:
    """Export a network into the model's directory and measure it; return the model and a line about it.

    Weights of the built-in networks are rounded (`onnx_export.compact`), those of foreign networks are not. `ordered`
    says whether its classes are known to be in the order of the images' classes. `own` is as in `measured`.
    """
    whole = onnx_export.to_onnx(network)
    exact = onnx_export.describe(whole, {})
    foreign = isinstance(network, Foreign)
    checked = np.stack(inputs_of(model, sample, CHECKED_FOREIGN if foreign else CHECKED))
    difference = onnx_export.check(network, exact, checked)
    far = f"at most {difference:.1g} from {'the file given' if given_in(network) else 'torch'}"
    if foreign:
        proto, bare = whole, exact
        far += f" on {len(checked)} image{'s' if len(checked) != 1 else ''}"
    else:
        proto, rounded = onnx_export.compact(whole)
        bare = onnx_export.describe(proto, {})
        read = partial(scores, model=model)
        _, changed, of = onnx_export.moved(exact, bare, checked, read, skipped=5 if model.boxes else 0)
        far += f", then rounded to {rounded}: {changed} of {of:,} classes changed"
    session = open_session(bare)
    accuracy = measured(session, model, sample, own)
    model = listed(model, proto, accuracy)
    (timed,) = interleaved({model.name: (session, checked[:1])}).values()
    return model, (
        f"{model.path}: {model.accuracy:.2%} of {model.accuracy_images} test images, {model.macs / 1e6:.1f} MMAC, "
        f"{np.median(timed.processor) * 1e3:.2f} ms, {model.bytes / 1e3:.0f} kB; {far}"
        + _doubt(model, accuracy, sample, ordered)
    )


def _doubt(model: zoo.Model, accuracy: Share, sample: Sample, ordered: bool) -> str:
    """Return a caveat about a model that is worse than guessing, or not shown to be better; empty for others."""
    most = float(np.bincount(sample.labels).max() / len(sample.labels))
    low, high = accuracy.ci95 or (0.0, 1.0)
    if model.role == "coded" or low > most:  # a coded model has the weights of the single
        return ""
    if high < 1 / len(model.classes) and not ordered:
        first = ", ".join(model.classes[:3]) + ("" if len(model.classes) <= 3 else ", …")
        return f"; worse than guessing: are its classes in the order of the sorted folders, {first}?"
    return f"; not shown to be better than always giving the most frequent class, which is right in {most:.2%}"


def exported_int8(
    network: Network | Foreign,
    model: zoo.Model,
    sample: Sample,
    training: Dataset,
    own: NDArray[np.float32] | None = None,
) -> str:
    """Quantise an exported model, calibrated on training images; return a line about its accuracy and time.

    Its name is that of the exported model with the suffix `-int8`.
    """
    quiet = inputs_of(model, draw(training, CALIBRATED), CALIBRATED)
    proto = onnx_export.to_onnx(network)
    kept = onnx_export.after_convolutions(proto) if model.head == "detection" else []
    proto = to_int8(proto, [image[np.newaxis] for image in quiet], kept)
    name = f"{model.name}{INT8}"
    small = replace(model, name=name, file=f"{name}.onnx", precision="int8")
    session = open_session(onnx_export.describe(proto, {}))
    small = listed(small, proto, measured(session, small, sample, own))
    image = inputs_of(model, sample, 1)[0][np.newaxis]
    base = open_session(zoo.verified(model))
    timed = interleaved({"float32": (base, image), "int8": (session, image)})
    seconds = {precision: float(np.median(times.processor)) for precision, times in timed.items()}
    return (
        f"{small.path}: {small.accuracy:.2%} of {small.accuracy_images} test images, "
        f"{100 * (small.accuracy - model.accuracy):+.2f} points from float32, {seconds['int8'] * 1e3:.2f} ms, "
        f"{seconds['int8'] / seconds['float32']:.2f}x the time, {small.bytes / 1e3:.0f} kB"
    )


def inputs_of(model: zoo.Model, sample: Sample, images: int) -> list[NDArray[Any]]:
    """Return inputs of a model, [height, width, 3] each, made of about `images` images."""
    groups, _ = sample.groups(together(model))
    return [encoded(model, list(group)) for group in groups[: -(-images // together(model))]]


def forget_parities(single: zoo.Model) -> Iterator[str]:
    """Remove parities with another teacher than this single from the manifest; yield a line about each.

    A parity's output fits only the single that it was trained with.
    """
    for model in _dropped(
        single.directory,
        lambda model: (
            (model.role, model.dataset) == ("parity", single.dataset)
            and not decodes(single, model.recipe.get("teacher"))
        ),
    ):
        yield f"{model.path}: no longer listed, as it was trained with another single; train it again"


def forget_coded(single: zoo.Model) -> Iterator[str]:
    """Remove the coded model of another network than this single from the manifest; yield a line about it."""
    for model in _dropped(single.directory, lambda model: (model.role, model.dataset) == ("coded", single.dataset)):
        yield f"{model.path}: no longer listed, as it is of another network than the single"


def forget_quantised(model: zoo.Model) -> Iterator[str]:
    """Remove the quantised version of another network of this model's name from the manifest; yield a line about it."""
    own = network_of(model)
    for other in _dropped(
        model.directory, lambda other: other.name == f"{model.name}{INT8}" and (own is None or network_of(other) != own)
    ):
        yield f"{other.path}: no longer listed, as it is of another network; add --int8 to quantise this one"


def _dropped(directory: Path, goes: Callable[[zoo.Model], bool]) -> list[zoo.Model]:
    """Remove the models for which `goes` is true from a manifest; return them."""
    with _only_writer(directory):
        models = zoo.load(directory)
        gone = [model for model in models if goes(model)]
        if gone:
            zoo.save([model for model in models if model not in gone], directory)
    return gone


def listed(model: zoo.Model, proto: Any, accuracy: Share) -> zoo.Model:
    """Write a model's file, with its facts inside, and add it to the manifest; return the completed entry.

    Models whose file is missing are no longer listed.
    """
    model = replace(model, accuracy=accuracy.count / accuracy.of, accuracy_images=accuracy.of)
    facts = {fact: getattr(model, fact) for fact in FACTS}
    if "epoch" in model.recipe:  # the checkpoint's log holds times, so its digest is only in the manifest
        facts["recipe"] = {name: value for name, value in model.recipe.items() if name != "checkpoint"}
    content = onnx_export.describe(proto, facts)
    model = replace(model, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), macs=max(model.macs, 1))
    out = model.directory
    with _only_writer(out):
        others = zoo.load(out) if (out / zoo.MANIFEST).exists() else []
        models = [other for other in others if other.name != model.name and other.is_there] + [model]
        zoo.save(sorted(models, key=lambda one: one.name), out, {model.path: content})
    return model


@contextlib.contextmanager
def _only_writer(directory: Path) -> Iterator[None]:
    """Keep other exports from changing the models of a directory, after waiting for one that does."""
    lock = locked(directory, wait=True)
    try:
        yield
    finally:
        let_go(lock)

"""Foreign classifiers: exported, measured and listed like the built-in ones, or trained here first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from collagebench import zoo
from collagebench.errors import ModelError, UsageError
from collagebench.measurement.accuracy import draw
from collagebench.models import cost
from collagebench.models.foreign import (
    Borrowed,
    Foreign,
    Preprocessing,
    from_path,
    from_torchvision,
    logits_of,
)
from collagebench.models.given import Given
from collagebench.models.hugging_face import channels_beside, labels_beside, preprocessing_beside
from collagebench.models.weights import bare, fill, preprocessing_in, weights_in
from collagebench.training.export import (
    divided,
    exported,
    exported_int8,
    forget_coded,
    forget_parities,
    forget_quantised,
    other_classes,
)
from collagebench.workload.dataset import Dataset, open_dataset
from collagebench.workload.public import UNFRAMED
from collagebench.zoo.advice import some_of

MEASURED = 5000
"""The most test images that a foreign model is measured on."""
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""The normalisation of colours in torchvision's own recipes."""


@dataclass(frozen=True, slots=True)
class Brought:
    """The network to export, and its purpose."""

    role: str
    """`single` or `backup`."""
    dataset: str
    """One of the names of `open_dataset`."""
    called: str
    """The name of the dataset in the manifest."""
    data: Path | None = None
    download: bool = False
    torchvision: str | None = None
    """The name of a torchvision classifier; None if one of the next two is given instead."""
    network: str | None = None
    """The import path of what returns a network."""
    onnx: Path | None = None
    """An ONNX file."""
    weights: str | None = None
    """Weights of a torchvision classifier: `default` or `none`."""
    checkpoint: Path | None = None
    """A file with a state dict."""
    size: int | None = None
    """Pixels along one side of the square images that are sent; None for the size of the weights or images."""
    before: tuple[tuple[str, Any], ...] = ()
    """Options that set the preprocessing: `resize`, `crop`, `mean`, `std`."""

    def __post_init__(self) -> None:
        if [self.torchvision, self.network, self.onnx].count(None) != 2:
            raise UsageError("name one network, with --torchvision, --network or --onnx")
        if self.onnx and (self.weights or self.checkpoint):
            raise UsageError("an ONNX file holds its weights: drop --weights and --checkpoint")
        if self.network and self.checkpoint is None:
            raise UsageError("--network needs its weights: --checkpoint F, a state dict")
        if self.network and self.weights:
            raise UsageError("--weights are torchvision's; those of --network are in --checkpoint")
        if self.torchvision and not self.weights and not self.checkpoint:
            raise UsageError(
                "choose the weights: --weights default (downloaded if missing), --checkpoint F, or --weights none for "
                "random ones"
            )
        if self.size is not None and self.size < 1:
            raise UsageError(f"--size must be a number of pixels from 1 up, not {self.size}")
        if self.size is not None and self.dataset != "imagefolder":
            raise UsageError(
                f"images of {self.dataset} already have a size; drop --size, or --resize them in the model"
            )
        if self.weights == "default" and self.checkpoint:
            raise UsageError("--weights default and --checkpoint both set the weights: give only one of them")


def borrow(
    role: str,
    images: Dataset,
    torchvision: str | None,
    network: str | None,
    weights: str | None,
    start: Path | None,
    before: dict[str, Any],
) -> tuple[Borrowed, dict[str, Tensor] | None, str | None]:
    """Return the architecture of a foreign network to train, its initial weights, and their name.

    Either `torchvision`, a classifier's name, or `network`, an import path, is given. `weights` are torchvision's,
    `default` or `none`. `start` is a file with other weights, used where they fit; their name is its sha256. A network
    from `network` may come with weights. `before` sets the preprocessing: `resize`, `mean`, `std`; by default it is
    that of torchvision's weights.

    Raises:
        MissingExtra: torchvision is not installed.
        UsageError: options contradict each other, or there is no such network.
        ModelError: the weights cannot be obtained.
    """
    if torchvision and network:
        raise UsageError("name one network, with --torchvision or with --network")
    if network and weights:
        raise UsageError("--weights are torchvision's; those of --network are as it makes them, or in --start")
    if torchvision and not weights and not start:
        raise UsageError(
            "choose the weights to start with: --weights default (downloaded if missing), --start F, or --weights none "
            "for random ones"
        )
    if weights and start:
        raise UsageError("--weights and --start both set the weights to start with: give only one of them")
    found, called, wanted = None, None, dict(IMAGENET) if torchvision else {}
    if torchvision and weights == "default":
        pretrained, its, _, called = from_torchvision(torchvision, "default", len(images.classes))
        found = Foreign(pretrained, Preprocessing(images.size[:2])).state_dict()
        wanted = {"resize": its["crop"], **{key: its[key] for key in ("mean", "std", "interpolation")}}
        if getattr(pretrained, "transform_input", False):  # with weights, it converts its input to these itself
            wanted |= {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    elif start:
        found, called = weights_in(start)
        found = {bare(key): value for key, value in found.items()} | found  # with and without wrappers' prefixes
        found = {f"network.{key}": value for key, value in found.items()}
    said = {key: value for key, value in before.items() if value is not None}
    return (
        Borrowed(
            image=images.size[:2],
            role=role,
            classes=len(images.classes),
            torchvision=torchvision,
            network=network,
            **(wanted | said),
        ),
        found,
        called,
    )


def bring(asked: Brought, out: Path, int8: bool) -> Iterator[str]:
    """Export the requested network, a single also as `coded` if it can be; yield a line about each file.

    Raises:
        UsageError: the classes of network and dataset differ, or options contradict each other.
        ModelError: the network or its weights cannot be obtained, or do not fit each other.
        DataError: images cannot be read.
    """
    images = open_dataset(asked.dataset, asked.data, "test", download=asked.download)
    network, before, categories, recipe = _network(asked, len(images.classes))
    # A network that was trained here keeps its own preprocessing.
    trained = _trained(asked.checkpoint, images, asked.data) if asked.checkpoint else {}
    seen = trained.pop("image", None)
    if isinstance(network, Given):
        assert asked.onnx
        if int8 and network.quantised:
            raise UsageError(f"{asked.onnx} is quantised already: drop --int8")
        if network.pixels and {"mean", "std"} & dict(asked.before).keys():
            raise UsageError(f"{asked.onnx} takes pixels, uint8, and normalises them itself: drop --mean and --std")
        own = ("mean", "std") if network.pixels else ()
        before, line = preprocessing_beside(asked.onnx, {*dict(asked.before), *own})
        if line:
            yield line
        if network.size and not {"resize", "crop"} & {*before, *dict(asked.before)}:
            if asked.dataset == "imagefolder" and asked.size is None:
                seen = network.size
            elif network.size[0] == network.size[1]:
                framed = asked.dataset == "fashion-mnist" and network.size == UNFRAMED
                before["crop" if framed else "resize"] = network.size[0]
    before = {**before, **trained, **dict(asked.before)}
    side = before.get("resize") if asked.size is None else asked.size
    size = images.size[:2]
    if asked.dataset == "imagefolder":
        if seen and asked.size is None:
            size = seen
        elif side is not None:
            size = side, side
    images = open_dataset(asked.dataset, asked.data, "test", size)
    architecture = Preprocessing(size, **before)
    logits = logits_of(network, architecture)  # this also initialises lazy layers
    digest = fill(network, asked.checkpoint) if asked.checkpoint else getattr(network, "digest", None)
    picked, named = _picked(asked, logits, images, categories)
    if asked.onnx and categories and not named:
        yield f"config.json does not name the classes as the folders: logits of {asked.onnx} are taken in their order"
    training = _training(asked, size) if int8 else None
    sample = draw(images, MEASURED)
    only_pixels = isinstance(network, Given) and network.pixels  # and coded images leave their range
    coded = asked.role == "single" and not only_pixels
    for role, dtype in [(asked.role, "uint8"), *([("coded", "float32")] if coded else [])]:
        wrapped = Foreign(network, replace(architecture, dtype=dtype), picked).eval()
        name = f"{asked.called}-{role}"
        model = zoo.Model(
            name=name,
            role=role,
            grid=None,
            dataset=asked.called,
            classes=images.classes,
            input=architecture.input,
            image=architecture.input,
            file=f"{name}.onnx",
            parameters=cost.count_parameters(wrapped, architecture.input),
            macs=cost.count_macs(wrapped, architecture.input),
            recipe=recipe | {"checkpoint": digest} | architecture.as_dict(),
            directory=out,
        )
        model, line = exported(wrapped, model, sample, ordered=named)
        yield line
        if role == "single":
            yield from forget_parities(model)
            if not coded:
                yield from forget_coded(model)
                yield "no coded model is made, as this network takes only pixels: approxifer and nercc need another one"
        gone = list(forget_quantised(model))
        if not int8:
            yield from gone
        if training and role != "coded":
            yield exported_int8(wrapped, model, sample, training)


def _trained(checkpoint: Path, images: Dataset, data: Path | None) -> dict[str, Any]:
    """Return what `preprocessing_in` does.

    Raises:
        ModelError: it makes no sense.
        UsageError: the network was trained on other classes than the images'.
    """
    found, classes = preprocessing_in(checkpoint)
    if classes and classes != images.classes:
        raise other_classes(checkpoint, classes, images, data)
    try:
        if found and len(Preprocessing(**found).image) != 2:
            raise ValueError
    except Exception:  # a damaged value may raise anything
        raise ModelError(
            f"checkpoint {checkpoint} has a size or a preprocessing that makes no sense; train it again"
        ) from None
    return found


def _network(asked: Brought, classes: int) -> tuple[nn.Module, dict[str, Any], Sequence[str], dict[str, Any]]:
    """Return the network, without the checkpoint, its preprocessing, its weights' categories, and its recipe."""
    if asked.onnx:
        given = Given(asked.onnx, channels_beside(asked.onnx))
        return given, {}, labels_beside(asked.onnx), {"onnx": asked.onnx.name}
    if asked.torchvision:
        network, before, categories, weights = from_torchvision(asked.torchvision, asked.weights or "none", classes)
        before = before or IMAGENET
        recipe: dict[str, Any] = {"torchvision": asked.torchvision, "weights": weights}
    else:
        assert asked.network
        network, before, categories, recipe = from_path(asked.network), {}, (), {"network": asked.network}
    return network.eval(), dict(before), categories, recipe


def _picked(asked: Brought, logits: int, images: Dataset, categories: Sequence[str]) -> tuple[list[int] | None, bool]:
    """Return the indices of the logits of the images' classes, None for all in their order; and whether names say so.

    `categories` are the names of the logits, as far as they are known.

    Raises:
        UsageError: only some of the classes are known, or the number of logits is another.
    """
    source, missing = asked.onnx or asked.torchvision or asked.network, ""
    unknown = [name for name in images.classes if name not in categories]
    if len(categories) == logits and not unknown:
        if twice := [name for name in images.classes if categories.count(name) > 1]:
            raise UsageError(f"{source} has several classes called {twice[0]!r}: leave out the images of that class")
        places = [categories.index(name) for name in images.classes]
        return None if places == list(range(logits)) else places, True
    if len(unknown) < len(images.classes):
        missing = f" (it has {some_of(categories, images.classes)}, not {unknown[0]})" if unknown else ""
        if missing and logits == len(images.classes):
            wrong = "config.json and the folders" if asked.onnx else "the folders and its classes"
            raise UsageError(
                f"the classes of {source} are not those of {asked.data or asked.dataset}{missing}; make {wrong} agree"
            )
    if logits == len(images.classes):
        return None, False
    raise UsageError(
        f"{source} has {logits} classes, but {asked.data or asked.dataset} has {len(images.classes)} "
        f"({some_of(images.classes)}){missing}; use images of its own classes, or train its last layer for these"
    )


def _training(asked: Brought, size: tuple[int, int]) -> Dataset:
    """Return the images for the calibration of a quantised model."""
    return divided(open_dataset(asked.dataset, asked.data, "train", size), asked.data)

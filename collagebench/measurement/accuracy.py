"""Accuracy of a model, by role: on images, in the cells of collages, and of answers decoded from parities.

Inputs are encoded as a client encodes them. The images of one collage or parity are chosen at random; those left over
at the end are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.cells import NO_ANSWER, classes
from collagebench.coding.mosaic import mosaic
from collagebench.coding.parity import add, concatenate, recover
from collagebench.engine.evaluation import scores
from collagebench.errors import DataError
from collagebench.statistics.accuracy import Share
from collagebench.statistics.clusters import effective
from collagebench.workload.dataset import Dataset
from collagebench.zoo import Model

BATCH = 32
"""The most inputs in one call of a model."""

Advance = Callable[[int], None]
"""Called with the number of inputs that a model has just answered."""


def unwatched(inputs: int) -> None:
    """Ignore the progress."""


class TooFewImages(DataError):
    """There are too few images for one input, or one group, of a model."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some images of a dataset, in shuffled order."""

    pixels: NDArray[np.uint8]
    """[n, height, width, 3]"""
    labels: NDArray[np.int64]
    """[n]"""

    def groups(self, together: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the images and labels in groups, [groups, together, ...]; leftovers are dropped.

        Raises:
            TooFewImages: there are too few for one group.
        """
        count = len(self.labels) // together
        if count == 0:
            raise TooFewImages(
                f"{len(self.labels)} images are too few, because {together} go into one input or group; use more images"
            )
        used = slice(count * together)
        shape = (count, together)
        return (
            self.pixels[used].reshape(*shape, *self.pixels.shape[1:]),
            self.labels[used].reshape(shape),
        )


def draw(dataset: Dataset, images: int, among: NDArray[np.int64] | None = None) -> Sample:
    """Return a sample of `images` images, or all if there are fewer, the same at every call.

    `among` [n] holds the indices to choose from; None for all.

    Raises:
        DataError: there are no images, one cannot be read, or they do not fit in memory.
    """
    indices = np.arange(len(dataset)) if among is None else among
    if len(indices) == 0:
        raise DataError(f"dataset {dataset.name} has no images to measure on")
    chosen = np.random.default_rng(0).permutation(indices)[:images]
    try:
        return Sample(dataset.load(chosen), dataset.labels[chosen])
    except MemoryError:
        size = len(chosen) * float(np.prod(dataset.size)) / 1e9
        raise DataError(f"{len(chosen)} images need {size:.1f} GB of memory; use fewer with --images") from None


def infer(
    session: Any, inputs: Iterable[NDArray[Any]], advance: Advance = unwatched, model: Model | None = None
) -> NDArray[np.float32]:
    """Return a model's outputs, [n, ...], for inputs [height, width, 3].

    The iterable is consumed batch by batch, so that inputs need not be in memory together. If `model` is given, boxes
    are turned into scores of classes.
    """
    inputs, parts = iter(inputs), []
    while batch := list(islice(inputs, BATCH)):
        outputs = session.run(["logits"], {"image": np.stack(batch)})[0]
        parts.append(scores(outputs, model) if model else outputs)
        advance(len(batch))
    return np.concatenate(parts)


def encoded(model: Model, images: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
    """Encode images into one input of a model, [height, width, 3]; if it holds more, the last cells stay blank."""
    if model.role == "collage":
        assert model.grid is not None
        return mosaic(images, model.grid, model.input[:2])
    if model.role == "parity":
        assert model.k is not None
        return add(images) if model.code == "addition" else concatenate(images, model.k)
    (image,) = images
    return image.astype(model.dtype, copy=False)


def together(model: Model) -> int:
    """Return how many images one input of a model holds."""
    return model.grid**2 if model.grid else model.k or 1


def right(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where the class of logits [..., classes] is the label [...]; no answer counts as wrong."""
    mask: NDArray[np.bool_] = classes(logits) == labels
    return mask


def share(mask: NDArray[np.bool_]) -> Share:
    """Return the share that is true of a mask: [n], or [inputs, images] if images of one input may be correlated."""
    inputs = np.repeat(np.arange(len(mask)), mask.size // len(mask))
    return Share(int(mask.sum()), mask.size, effective(mask.ravel(), inputs))


def singles(session: Any, model: Model, sample: Sample, advance: Advance = unwatched) -> NDArray[np.float32]:
    """Return the logits [n, classes] of a model that takes single images."""
    return infer(session, (encoded(model, [image]) for image in sample.pixels), advance)


def by_cell(session: Any, model: Model, sample: Sample, advance: Advance = unwatched) -> NDArray[np.bool_]:
    """Return which images of full collages are classified correctly, each in every cell in turn: [images, cells].

    Raises:
        DataError: there are too few images for one collage.
    """
    pixels, labels = sample.groups(together(model))
    places = np.random.default_rng(0).permutation(together(model))  # so that an image's neighbours change
    masks = []
    for turn in range(together(model)):
        images = np.argsort(np.roll(places, turn))
        logits = infer(session, (encoded(model, list(group[images])) for group in pixels), advance, model)
        masks.append(right(logits, labels[:, images]))
    return np.concatenate(masks)


def with_blanks(
    session: Any, model: Model, sample: Sample, blanks: int, advance: Advance = unwatched
) -> NDArray[np.bool_]:
    """Return which images are classified correctly if the last `blanks` cells are empty: [collages, filled cells].

    A group that is sent before it is full leaves the same cells blank.

    Raises:
        DataError: there are too few images for one collage.
    """
    pixels, labels = sample.groups(together(model) - blanks)
    logits = infer(session, (encoded(model, list(group)) for group in pixels), advance, model)
    return right(logits[:, : labels.shape[1]], labels)


def silent(session: Any, model: Model, sample: Sample, advance: Advance = unwatched) -> NDArray[np.bool_]:
    """Return the images of full collages for which a model has no answer: [collages, cells].

    Raises:
        DataError: there are too few images for one collage.
    """
    pixels, _ = sample.groups(together(model))
    logits = infer(session, (encoded(model, list(group)) for group in pixels), advance, model)
    mask: NDArray[np.bool_] = classes(logits) == NO_ANSWER
    return mask


def decoded(
    session: Any, model: Model, sample: Sample, own: NDArray[np.float32], advance: Advance = unwatched
) -> NDArray[np.bool_]:
    """Return which answers decoded from full parities are right, if each image is lost in turn: [parities, k].

    `own` holds the single's logits for the sample's images, [n, classes].

    Raises:
        DataError: there are too few images for one parity.
    """
    assert model.k is not None
    pixels, labels = sample.groups(model.k)
    parities = infer(session, (encoded(model, list(group)) for group in pixels), advance)
    outputs = own[: labels.size].reshape(*labels.shape, -1).swapaxes(0, 1)
    answers = [recover(parities, np.delete(outputs, lost, axis=0)) for lost in range(model.k)]
    return right(np.stack(answers, axis=1), labels)


def measured(session: Any, model: Model, sample: Sample, own: NDArray[np.float32] | None = None) -> Share:
    """Return a model's accuracy as manifests state it: each image in one input, collages and parities full.

    `own` holds the single's logits for the images, [n, classes], with which a parity's answers are decoded.

    Raises:
        DataError: there are too few images for one input.
    """
    if model.role == "parity":
        assert own is not None
        return share(decoded(session, model, sample, own))
    if model.role == "collage":
        return share(with_blanks(session, model, sample, 0))
    return share(right(singles(session, model, sample), sample.labels))

"""How good and how fast an exported model is: measured on the ONNX file itself, as a worker would run it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.training.batches import assemble
from collagebench.workload.dataset import Dataset

if TYPE_CHECKING:
    import onnxruntime

    from collagebench.models.network import Architecture

BATCH = 32


def groups(dataset: Dataset, together: int) -> NDArray[np.int64]:
    """Divide a dataset's images, in a shuffled order, into inputs of `together` images [n, together]; leftovers drop.

    Raises:
        DataError: there are too few images for one input.
    """
    order = np.random.default_rng(0).permutation(len(dataset))
    if len(order) < together:
        raise DataError(f"{len(order)} test images do not fill one input of {together}; use more images")
    return order[: len(order) // together * together].reshape(-1, together)


def load_inputs(
    dataset: Dataset, chosen: NDArray[np.int64], architecture: Architecture, filled: int | None = None
) -> NDArray[Any]:
    """Return model inputs [n, height, width, 3] of the images `chosen` [n, images an input].

    Of each only the first `filled` images are there (None: all), the others are black.
    """
    images = dataset.load(chosen.reshape(-1))
    if filled is not None:
        images[np.arange(len(images)) % architecture.images >= filled] = 0
    return np.ascontiguousarray(assemble(images, architecture), architecture.dtype)


def logits(session: onnxruntime.InferenceSession, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a model says of inputs [n, height, width, 3]."""
    answers: NDArray[np.float32] = session.run(["logits"], {"image": inputs})[0]
    return answers


def accuracy(
    session: onnxruntime.InferenceSession,
    dataset: Dataset,
    architecture: Architecture,
    filled: int | None = None,
    singles: NDArray[np.float32] | None = None,
) -> tuple[float, int]:
    """Return the share of a dataset's images that a model classifies rightly, and how many it was asked.

    Collages and parities are full, of random images, or hold `filled` of them; only those count. An image of a parity
    is classified by what the model says less what the single says of all others: `singles` [images, classes].
    """
    right = asked = 0
    chosen = groups(dataset, architecture.images)
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        answers = logits(session, load_inputs(dataset, part, architecture, filled))
        counted = part[:, :filled]
        if architecture.k:
            assert singles is not None
            own = singles[counted]
            answers = answers[:, None] - own.sum(1, keepdims=True) + own
        answers = answers.reshape(len(part), -1, len(dataset.classes))[:, :filled]
        right += int((answers.argmax(-1) == dataset.labels[counted]).sum())
        asked += counted.size
    return right / asked, asked


def single_logits(session: onnxruntime.InferenceSession, dataset: Dataset) -> NDArray[np.float32]:
    """Return what a single says of every image of a dataset: [images, classes]."""
    parts = [np.arange(start, min(start + BATCH, len(dataset))) for start in range(0, len(dataset), BATCH)]
    return np.concatenate([logits(session, dataset.load(part)) for part in parts])


def latency(session: onnxruntime.InferenceSession, inputs: NDArray[Any], repeats: int = 100) -> float:
    """Return the median seconds of one inference of `inputs`, after a tenth as many to warm up."""
    times = []
    for _ in range(repeats + repeats // 10):
        start = time.perf_counter()
        session.run(["logits"], {"image": inputs})
        times.append(time.perf_counter() - start)
    return float(np.median(times[repeats // 10 :]))

"""How good and how fast an exported model is: measured on the ONNX file itself, as a worker would run it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.mosaic import mosaic
from collagebench.errors import DataError
from collagebench.workload.dataset import Dataset

if TYPE_CHECKING:
    import onnxruntime


def inputs(dataset: Dataset, grid: int | None) -> list[NDArray[np.int64]]:
    """Divide a dataset's images into model inputs: one index each, or grid * grid in a shuffled order; leftovers drop.

    Raises:
        DataError: there are too few images for one input.
    """
    order = np.random.default_rng(0).permutation(len(dataset))
    cells = grid**2 if grid else 1
    if len(order) < cells:
        raise DataError(f"{len(order)} test images do not fill one collage of {cells} cells; use more images")
    return list(order[: len(order) // cells * cells].reshape(-1, cells))


def assemble(
    dataset: Dataset, group: NDArray[np.int64], grid: int | None, size: tuple[int, int], filled: int | None = None
) -> NDArray[np.uint8]:
    """Return one model input [1, height, width, 3]; of a collage only the first `filled` cells (None: all)."""
    images = dataset.load(group)
    if grid is None:
        return images
    cells = [image if filled is None or cell < filled else None for cell, image in enumerate(images)]
    return mosaic(cells, grid, size)[None]


def accuracy(
    session: onnxruntime.InferenceSession,
    dataset: Dataset,
    grid: int | None,
    size: tuple[int, int],
    filled: int | None = None,
) -> tuple[float, int]:
    """Return the share of a dataset's images that a model classifies rightly, and how many it was asked.

    Collages are full, of random images, or hold `filled` of them and blanks; only filled cells count.
    """
    right = asked = 0
    for group in inputs(dataset, grid):
        logits = session.run(["logits"], {"image": assemble(dataset, group, grid, size, filled)})[0]
        counted = group[:filled]
        right += int((logits.reshape(len(group), -1).argmax(1)[: len(counted)] == dataset.labels[counted]).sum())
        asked += len(counted)
    return right / asked, asked


def latency(session: onnxruntime.InferenceSession, size: tuple[int, int], repeats: int = 200) -> float:
    """Return the median seconds of one inference of batch size one, after a tenth as many to warm up."""
    image = np.random.default_rng(0).integers(256, size=(1, *size, 3), dtype=np.uint8)
    times = []
    for _ in range(repeats + repeats // 10):
        start = time.perf_counter()
        session.run(["logits"], {"image": image})
        times.append(time.perf_counter() - start)
    return float(np.median(times[repeats // 10 :]))

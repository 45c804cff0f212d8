"""Turn the boxes that a collage model detects into one answer per cell.

For each of many anchors, a detection head predicts a box, the probability that the box holds an object (its
objectness), and the object's class (YOLOv3, arXiv 1804.02767). Collage inference (arXiv 1904.12222; public code
krishnagirinarra/collage-inference) turns boxes into answers as follows:

1. Boxes whose objectness, or whose most probable class's probability, is 0.3 or less are dropped.
2. Of two boxes of one class that overlap by more than 0.45 (intersection over union, IoU), the one of the lower score,
   objectness x probability, is dropped: non-maximum suppression.
3. Each remaining box belongs to the cell with which its IoU is largest.
4. A cell's answer is the class of its box with the highest score.

A cell to which no box belongs has no answer. A box outside the picture, or with values that describe no box, belongs to
no cell.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_OBJECTNESS: Final = 0.3
LEAST_PROBABILITY: Final = 0.3
MOST_OVERLAP: Final = 0.45
STEEPEST: Final = 60.0
"""Logits are clipped to plus or minus this, so that exp does not overflow."""


def answers(outputs: NDArray[np.float32], grid: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the score of each class in each cell, float32 [batch, grid * grid, classes], cells in row-major order.

    `outputs` is [batch, boxes, 5 + classes]: a box's centre (x, y), width and height in pixels of the mosaic, then the
    logits of its objectness and of each class. `size` is the height and width of the mosaic in pixels. The score of a
    class is the highest among its boxes that belong to the cell, or 0 without such a box. A cell without an answer is
    all NaN.
    """
    places = cell_boxes(grid, size)
    classes = outputs.shape[-1] - 5
    scores = np.full((len(outputs), grid * grid, classes), np.nan, np.float32)
    for cells, each in zip(scores, outputs.astype(np.float64), strict=True):
        boxes, kinds, sure = _suppressed(*_credible(each))
        shares = overlaps(boxes, places)
        # From the lowest score to the highest, so that the highest is written last.
        for box in reversed(range(len(boxes))):
            cell = int(shares[box].argmax())
            if shares[box, cell] > 0:
                if np.isnan(cells[cell, 0]):
                    cells[cell] = 0
                cells[cell, kinds[box]] = sure[box]
    return scores


def cell_boxes(grid: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the boxes of the cells of a mosaic of `size`, (height, width): [cells, left, top, right, bottom]."""
    height, width = size[0] / grid, size[1] / grid
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    return np.stack([columns * width, rows * height, (columns + 1) * width, (rows + 1) * height], axis=1)


def overlaps(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of each of some boxes [n, 4] with each of others [m, 4] (left, top, right, bottom): [n, m]."""
    a, b = some[:, None], others[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    shares: NDArray[np.float64] = shared / np.maximum(areas - shared, np.finfo(np.float64).tiny)  # 0 / 0 gives 0
    return shares


def _credible(
    outputs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return boxes [n, 4] (left, top, right, bottom), classes [n] and scores [n] above both thresholds, best first."""
    outputs = outputs[np.isfinite(outputs).all(axis=1) & (outputs[:, 2:4] > 0).all(axis=1)]
    sure = 1 / (1 + np.exp(-np.clip(outputs[:, 4:], -STEEPEST, STEEPEST)))
    objectness, kinds = sure[:, 0], sure[:, 1:].argmax(axis=1)
    probability = sure[np.arange(len(sure)), 1 + kinds]
    kept = np.flatnonzero((objectness > LEAST_OBJECTNESS) & (probability > LEAST_PROBABILITY))
    scores = objectness[kept] * probability[kept]
    order = np.argsort(-scores, kind="stable")
    kept = kept[order]
    centres, halves = outputs[kept, :2], outputs[kept, 2:4] / 2
    return np.concatenate([centres - halves, centres + halves], axis=1), kinds[kept], scores[order]


def _suppressed(
    boxes: NDArray[np.float64], kinds: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Apply non-maximum suppression to boxes that are sorted best first; return the boxes kept."""
    rivals = (overlaps(boxes, boxes) > MOST_OVERLAP) & (kinds[:, None] == kinds)
    kept: list[int] = []
    for box in range(len(boxes)):
        if not rivals[box, kept].any():
            kept.append(box)
    return boxes[kept], kinds[kept], scores[kept]

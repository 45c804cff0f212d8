"""A collage: the images of a group side by side in a square grid, scaled down to the size a collage model takes.

The images are pasted at full size, cell k at row k // grid and column k % grid, and the whole picture is then resampled
with a triangle filter as wide as the scale (antialiased bilinear, as Pillow and torchvision do it); so near a border
between two cells the neighbours mix.

The filter is separable: one matrix for the rows, one for the columns. Each output depends on a few inputs only, so a
matrix is cut into small dense blocks along its diagonal, and each block is one product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError

_BLOCK = 16


def mosaic(
    images: Sequence[NDArray[np.uint8] | None],
    grid: int,
    size: tuple[int, int],
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Return the collage of up to `grid` * `grid` images, uint8 [size[0], size[1], 3].

    `images` are uint8 [height, width, 3], all of one size; None, or nothing at the end, leaves a cell blank (zeros).
    `out`, of the result's shape, is filled and returned instead of a new array.

    Raises:
        DataError: the images do not fit each other, the grid or `out`.
    """
    if grid < 1 or min(size) < 1:
        raise DataError(f"a collage needs a grid and a size of at least 1, not {grid} and {size[0]}x{size[1]}")
    if len(images) > grid * grid:
        raise DataError(f"a {grid}x{grid} collage holds {grid * grid} images, not {len(images)}")
    if out is None:
        out = np.empty((*size, 3), np.uint8)
    elif out.shape != (*size, 3) or out.dtype != np.uint8:
        raise DataError(f"the collage is uint8 {(*size, 3)}, `out` is {out.dtype} {out.shape}")
    shape = _common_shape(images)
    if shape is None:
        out.fill(0)
        return out
    height, width = shape[:2]
    if size == (grid * height, grid * width):
        _paste(images, grid, out)
        return out
    whole = np.empty((grid * height, grid * width, 3), np.float32)
    _paste(images, grid, whole)
    rows = np.empty((size[0], grid * width * 3), np.float32)
    for outputs, inputs, weights in _bands(grid * height, size[0]):
        np.matmul(weights, whole.reshape(grid * height, -1)[inputs], out=rows[outputs])
    rows = rows.reshape(size[0], grid * width, 3)
    for outputs, inputs, weights in _bands(grid * width, size[1]):
        out[:, outputs] = np.matmul(weights, rows[:, inputs]) + 0.5
    return out


def _common_shape(images: Sequence[NDArray[np.uint8] | None]) -> tuple[int, ...] | None:
    shape = None
    for k, image in enumerate(images):
        if image is None:
            continue
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise DataError(f"image {k} of a collage is {image.dtype} {image.shape}, not uint8 (height, width, 3)")
        if shape is None:
            shape = image.shape
        elif image.shape != shape:
            raise DataError(f"the images of a collage must have one size; image {k} is {image.shape}, not {shape}")
    return shape


def _paste(images: Sequence[NDArray[np.uint8] | None], grid: int, out: NDArray[Any]) -> None:
    height, width = out.shape[0] // grid, out.shape[1] // grid
    for k in range(grid * grid):
        row, column = divmod(k, grid)
        image = images[k] if k < len(images) else None
        cell = out[row * height : (row + 1) * height, column * width : (column + 1) * width]
        cell[...] = 0 if image is None else image


@lru_cache(maxsize=64)
def _weights(inputs: int, outputs: int) -> NDArray[np.float64]:
    """Return what each output takes of each input, [outputs, inputs]: a triangle around its centre, of sum 1."""
    ratio = inputs / outputs
    centres = (np.arange(outputs) + 0.5) * ratio
    distances = np.abs(centres[:, None] - (np.arange(inputs) + 0.5))
    weights: NDArray[np.float64] = np.maximum(0.0, 1.0 - distances / max(ratio, 1.0))
    return weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=64)
def _bands(inputs: int, outputs: int) -> list[tuple[slice, slice, NDArray[np.float32]]]:
    weights = _weights(inputs, outputs)
    bands = []
    for start in range(0, outputs, _BLOCK):
        rows = weights[start : start + _BLOCK]
        used = np.flatnonzero(rows.any(axis=0))
        lo, hi = used[0], used[-1] + 1
        bands.append((slice(start, start + len(rows)), slice(lo, hi), rows[:, lo:hi].astype(np.float32)))
    return bands

"""Collages: the images of a group side by side in a grid, scaled down to the input size of a collage model.

The images are pasted at full size, cell k at row k // columns and column k % columns. Then the whole picture is
resampled with a triangle filter as wide as the scale (antialiased bilinear, as in Pillow and torchvision). So pixels of
neighbouring cells mix near a border, as they do in the paper's own code.

The filter is separable: one matrix along the rows, one along the columns. Each output depends on only a few inputs, so
each matrix is cut into small dense blocks along its diagonal (bands), and each band takes one matrix product. The
picture is resampled some rows at a time and never exists as a whole at full size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.linear import PRODUCT
from collagebench.errors import DataError

LARGEST_GRID = 16
"""The most cells along one side of a collage."""
_BAND = 8
"""Outputs per band: more of them waste multiplications by zero, fewer need more calls."""


def mosaic(images: Sequence[NDArray[np.uint8] | None], grid: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the collage of up to `grid` * `grid` images, uint8 [size[0], size[1], 3]: `tiled` with a square grid."""
    return tiled(images, (grid, grid), size)


def tiled(
    images: Sequence[NDArray[np.uint8] | None], grid: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return images in `grid`, (rows, columns) of cells, scaled to uint8 [size[0], size[1], 3].

    `images` are uint8 [height, width, 3], all of one size. An image that is None, or missing at the end, leaves its
    cell blank (zeros). A `size` larger than the pasted picture enlarges it (bilinear), as Pillow and torchvision would.
    Each value is rounded once, to the nearest; Pillow also rounds between its two passes, so its values may differ by
    1.

    Raises:
        DataError: the images do not fit each other or the grid.
    """
    if min(*grid, *size) < 1:
        cells = " by ".join(str(side) for side in grid)
        raise DataError(f"a collage needs a grid and a size of at least 1, not {cells} and {size[0]}x{size[1]}")
    if len(images) > grid[0] * grid[1]:
        raise DataError(f"a {grid[0]}x{grid[1]} collage holds {grid[0] * grid[1]} images, not {len(images)}")
    shape = _common_shape(images)
    if shape is None:
        return np.zeros((*size, 3), np.uint8)
    out = np.empty((*size, 3), np.uint8)
    height, width = shape[:2]
    whole = (grid[0] * height, grid[1] * width)
    if size == whole:
        _paste(images, grid[1], height, 0, out)
        return out
    down, across = _bands(whole[0], size[0]), _bands(whole[1], size[1], channels=3)
    step = max(1, PRODUCT // (_BAND * max(band.weights.size for band in across)))
    for start in range(0, len(down), step):
        _resample(images, grid[1], height, width, down[start : start + step], across, out)
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
            raise DataError(f"the images of a collage must have the same size; image {k} is {image.shape}, not {shape}")
    return shape


def _paste(
    images: Sequence[NDArray[np.uint8] | None], columns: int, height: int, first: int, rows: NDArray[Any]
) -> None:
    """Fill `rows`, [n, columns * width, 3], with n rows of the full-size collage, from row `first` on."""
    width = rows.shape[1] // columns
    last = first + len(rows)
    for row in range(first // height, -(-last // height)):
        top, bottom = max(first, row * height), min(last, (row + 1) * height)
        for column in range(columns):
            k = row * columns + column
            image = images[k] if k < len(images) else None
            cell = rows[top - first : bottom - first, column * width : (column + 1) * width]
            cell[...] = 0 if image is None else image[top - row * height : bottom - row * height]


def _resample(
    images: Sequence[NDArray[np.uint8] | None],
    columns: int,
    height: int,
    width: int,
    down: Sequence[_Band],
    across: Sequence[_Band],
    out: NDArray[np.uint8],
) -> None:
    """Fill the rows of `out` that the bands `down` give."""
    top, bottom = down[0].outputs.start, down[-1].outputs.stop
    first, last = down[0].inputs.start, down[-1].inputs.stop
    pasted = np.empty((last - first, columns * width * 3), np.float32)
    _paste(images, columns, height, first, pasted.reshape(last - first, columns * width, 3))
    rows = np.empty((bottom - top, pasted.shape[1]), np.float32)
    for band in down:
        inputs = pasted[band.inputs.start - first : band.inputs.stop - first]
        outputs = rows[band.outputs.start - top : band.outputs.stop - top]
        step = max(1, PRODUCT // band.weights.size)
        for start in range(0, rows.shape[1], step):
            part = slice(start, start + step)
            np.matmul(band.weights, inputs[:, part], out=outputs[:, part])
    resampled = np.empty((bottom - top, out.shape[1] * 3), np.float32)
    for band in across:
        np.matmul(rows[:, band.inputs], band.weights.T, out=resampled[:, band.outputs])
    # Weights sum to 1, so values stay from 0 to 255. Adding 0.5 and truncating rounds to the nearest.
    np.add(resampled.reshape(out[top:bottom].shape), 0.5, out=out[top:bottom], casting="unsafe")


@dataclass(frozen=True, slots=True)
class _Band:
    """Some neighbouring outputs, the inputs they depend on, and their weights [outputs, inputs]."""

    outputs: slice
    inputs: slice
    weights: NDArray[np.float32]


@lru_cache(maxsize=64)
def _bands(inputs: int, outputs: int, channels: int = 1) -> tuple[_Band, ...]:
    """Return the filter along one axis, from `inputs` to `outputs` pixels of `channels` adjacent values each.

    Each output is a weighted mean of inputs. The weights form a triangle around its centre, which reaches one output
    pixel to either side (one input pixel if the picture is enlarged).
    """
    ratio = inputs / outputs
    reach = max(ratio, 1.0)
    bands = []
    for start in range(0, outputs, _BAND):
        stop = min(start + _BAND, outputs)
        centres = (np.arange(start, stop) + 0.5) * ratio
        lo, hi = max(0, int(centres[0] - reach)), min(inputs, math.ceil(centres[-1] + reach))
        distances = np.abs(centres[:, None] - (np.arange(lo, hi) + 0.5))
        triangles = np.maximum(0.0, 1.0 - distances / reach)
        weights = np.kron(triangles / triangles.sum(axis=1, keepdims=True), np.eye(channels)).astype(np.float32)
        bands.append(_Band(slice(start * channels, stop * channels), slice(lo * channels, hi * channels), weights))
    return tuple(bands)

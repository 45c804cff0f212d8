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
    raise NotImplementedError

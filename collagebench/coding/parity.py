"""Parity of images, as in ParM: one extra input for k images, from which any one missing output can be recovered.

A parity model is trained so that its output for the parity of k images is the sum of the k outputs of the single. A
late output is then estimated as the parity model's output minus the other outputs. The parity of images is either their
sum, pixel by pixel (addition), or the images scaled down side by side in one picture of the size of one image
(concatenation). A group that is not full is filled up with black images. They add nothing to the sum of pixels, and the
model is trained so that they add nothing to the sum of outputs.

Source: J. Kosaian, K. V. Rashmi, S. Venkataraman, "Parity Models: Erasure-Coded Resilience for Prediction Serving
Systems", SOSP 2019, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.mosaic import tiled
from collagebench.errors import DataError

GRIDS: Final = {2: (1, 2), 4: (2, 2)}
"""The numbers of images that a concatenation can hold, and its (rows, columns) for each: halves or quadrants."""
LARGEST_K = 8
"""The most images that one parity stands for."""


def add(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the sum of the images, uint8 [height, width, 3] of one size, as float32 of their shape, 0 to 255 * k.

    Raises:
        DataError: there is no image, the images differ in size, or an array is not an image.
    """
    if not images:
        raise DataError("a parity needs at least one image")
    total = np.zeros(images[0].shape, np.float32)  # integers below 2**24 are exact
    for i, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape != total.shape:
            shape = f"{image.dtype} {image.shape}"
            raise DataError(f"image {i} of a parity is {shape}, not uint8 {total.shape} like the first")
        total += image
    return total


def concatenate(images: Sequence[NDArray[np.uint8]], k: int) -> NDArray[np.uint8]:
    """Return up to `k` images, uint8 [height, width, 3], scaled down into one picture of the same shape.

    Two images are halved in width and stand side by side; four become quadrants, row by row. Images missing at the end
    leave their parts black. The filter is the one of `mosaic`, so neighbouring parts mix near a border (in the authors'
    code each image is scaled separately).

    Raises:
        DataError: `k` is neither 2 nor 4, there is no image or more than `k`, or the images differ in size or type.
    """
    if k not in GRIDS:
        raise DataError(f"a parity by concatenation holds 2 or 4 images, not {k}: use addition")
    if not images:
        raise DataError("a parity needs at least one image")
    height, width = images[0].shape[:2]
    return tiled(images, GRIDS[k], (height, width))


def concatenate_many(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the concatenations, uint8 [n, height, width, 3], of n groups of k, uint8 [n, k, height, width, 3].

    Each equals the output of `concatenate` for its group, pixel for pixel. Black images stand for missing ones.

    Raises:
        DataError: k is neither 2 nor 4, or the array does not hold groups of images.
    """
    if images.ndim != 5:
        raise DataError(f"groups of images are uint8 (n, k, height, width, 3), not {images.dtype} {images.shape}")
    parities = np.empty((len(images), *images.shape[2:]), np.uint8)
    for group, parity in zip(images, parities, strict=True):
        parity[...] = concatenate(list(group), images.shape[1])
    return parities


def recover(parity: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the missing output, [classes]: the parity model's, [classes], minus those of the others, [m, classes].

    Raises:
        DataError: the shapes do not fit each other.
    """
    if others.ndim != parity.ndim + 1 or others.shape[1:] != parity.shape:
        raise DataError(f"the others' outputs are {others.shape}, the parity model's is {parity.shape}")
    lost: NDArray[np.float32] = parity - others.sum(axis=0)
    return lost

"""Linear codes over images: coded images are weighted sums of images, and answers weighted sums of coded answers.

Each code chooses its own weights. This module applies them and checks the inputs. The codes place their k images and n
coded images on the line from -1 to 1, denser towards the ends, as interpolation needs: the images at Chebyshev points
of the first kind, the coded images at those of the second.

With n = k + 1, each inner point of the second kind lies midway between two of the first. Each such coded image is then
half one image and half another, the hardest input for a model. The authors' code, which produced the published
accuracies (github.com/Mahdi-Soleymani/Approxifer, WorkStation-CIFAR.py), instead takes n of n + 1 points and leaves out
the last end. Their offset from the images' points varies along the line, so most coded images resemble one image.
`ends` says how many ends of the line hold a coded image: 2 as in the paper, 1 as in that code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError

PRODUCT = 1 << 18
"""The most multiplications in one matrix product. OpenBLAS splits larger products among threads that spin while they
wait. On a busy machine that took ten times the processor time, and made single calls a hundred times slower."""


def image_nodes(images: int) -> NDArray[np.float64]:
    """Return the places of k images: cos((2j + 1) pi / 2k) for j = 0 … k - 1, from right to left."""
    return np.cos((2 * np.arange(images) + 1) * np.pi / (2 * images))


def share_nodes(shares: int, ends: int) -> NDArray[np.float64]:
    """Return the places of n coded images from right to left: cos(i pi / (n - 1)) with 2 `ends`, cos(i pi / n) with 1.

    Raises:
        DataError: `ends` is neither 1 nor 2.
    """
    if ends not in (1, 2):
        raise DataError(f"coded images must stand at 1 or 2 ends of the line, not at {ends}")
    nodes = np.cos(np.arange(shares) * np.pi / max(shares + 1 - ends, 1))
    if ends == 2 and shares > 1:
        nodes[-1] = -1.0  # NumPy 1.24 is off by a rounding error here
    return nodes


def combine(weights: NDArray[np.float32], images: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return n weighted sums, float32 [n, *shape], of k arrays of one shape and any real type; `weights` is [n, k].

    Raises:
        DataError: the arrays differ in shape.
    """
    shape = images[0].shape
    for i, image in enumerate(images):
        if image.shape != shape:
            raise DataError(f"images coded together must have the same size; image {i} is {image.shape}, not {shape}")
    flat = [image.reshape(-1) for image in images]
    sums = np.empty((len(weights), flat[0].size), np.float32)
    step = max(1, PRODUCT // weights.size)
    inputs = np.empty((len(flat), min(step, flat[0].size)), np.float32)
    for start in range(0, flat[0].size, step):
        part = inputs[:, : flat[0].size - start]
        for row, image in zip(part, flat, strict=True):
            row[:] = image[start : start + step]
        np.matmul(weights, part, out=sums[:, start : start + step])
    return sums.reshape(len(weights), *shape)


def returned(outputs: Mapping[int, NDArray[np.float32]], shares: int) -> tuple[int, ...]:
    """Return the shares that have an output, in order.

    Raises:
        DataError: there is no output, or one of a share that does not exist.
    """
    if not outputs:
        raise DataError("there is nothing to decode: no coded image has an output")
    present = tuple(sorted(outputs))
    if present[0] < 0 or present[-1] >= shares:
        wrong = present[0] if present[0] < 0 else present[-1]
        raise DataError(f"there is no coded image {wrong}: the {shares} are numbered from 0")
    return present


def check_sizes(images: int, shares: int) -> None:
    """Raise DataError unless there is at least one image and one share."""
    if images < 1 or shares < 1:
        raise DataError(f"a code needs at least 1 image and 1 coded image, not {images} and {shares}")

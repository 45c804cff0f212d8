"""ApproxIFER: k images become n coded ones for the unmodified model, and any k of its outputs give all k answers back.

The images are treated as the values of a function at k places on a line. Berrut's rational function interpolates them,
and its values at n other places are the coded images. The model's output along that line is another function. The same
interpolation through the outputs that returned, evaluated at the images' places, estimates the answers:

    r(z) = sum_i (-1)^i / (z - x_i) y_i  /  sum_i (-1)^i / (z - x_i)

Because the signs alternate along the line, r has no pole. When outputs are missing, the signs therefore alternate over
those that returned, not over all. At k = 8 and n = 9, with both ends, the absolute weights of an answer then add up to
at most 3.73, against 22.6 with the signs of the full set. Where z equals an x_i, the formula would divide by zero, and
r(z) is y_i.

The weights add up to 1, so equal images are restored exactly, and an affine scaling of pixels makes no difference.
Otherwise the answers are estimates, even for a linear model and with every output: for k of 3 or more, the interpolant
of an interpolant is another function. Only k = 2 is exact for linear models, from any two outputs.

Sources: M. Soleymani, R. E. Ali, H. Mahdavifar, A. S. Avestimehr, "ApproxIFER: A Model-Agnostic Approach to Resilient
and Robust Prediction Serving Systems", arXiv 2109.09868; J.-P. Berrut, "Rational functions for guaranteed and
experimentally well-conditioned global interpolation", Computers & Mathematics with Applications 15 (1988).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.linear import check_sizes, combine, image_nodes, returned, share_nodes

_COINCIDE = 1e-12
"""Places closer than this differ only by rounding; distinct places are farther apart for all n * k < 100,000."""


def encode(images: Sequence[NDArray[Any]], shares: int, ends: int = 1) -> NDArray[np.float32]:
    """Return the coded images, float32 [shares, height, width, 3], of images [height, width, 3] of any real type.

    They have the scale of the images but may leave their range: with 8 images and 9 shares, by at most 0.8 times its
    width on either side. `ends` is explained in `coding.linear`.

    Raises:
        DataError: there is no image or share, the images differ in size, or `ends` is neither 1 nor 2.
    """
    check_sizes(len(images), shares)
    return combine(encoder(len(images), shares, ends), images)


def decode(outputs: Mapping[int, NDArray[np.float32]], images: int, shares: int, ends: int = 1) -> NDArray[np.float32]:
    """Return an estimate of each image's output, float32 [images, classes], from the outputs, [classes], by share.

    The method expects at least as many outputs as images. Fewer, down to one, are decoded too, but less accurately.
    `ends` must be the value used to encode.

    Raises:
        DataError: there is no output, or one of a share that does not exist, or `ends` is neither 1 nor 2.
    """
    check_sizes(images, shares)
    present = returned(outputs, shares)
    return combine(decoder(images, shares, present, ends), [outputs[share] for share in present])


@lru_cache(maxsize=256)
def encoder(images: int, shares: int, ends: int) -> NDArray[np.float32]:
    """Return the weight of each image in each coded image, [shares, images]."""
    return interpolation(image_nodes(images), share_nodes(shares, ends)).astype(np.float32)


@lru_cache(maxsize=4096)
def decoder(images: int, shares: int, present: tuple[int, ...], ends: int) -> NDArray[np.float32]:
    """Return the weight of each `present` output in each answer, [images, len(present)]."""
    return interpolation(share_nodes(shares, ends)[list(present)], image_nodes(images)).astype(np.float32)


def interpolation(nodes: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Berrut's interpolant as a matrix [len(at), len(nodes)], for `nodes` in order along the line."""
    distances = at[:, np.newaxis] - nodes
    same = np.abs(distances) < _COINCIDE
    terms = (-1.0) ** np.arange(len(nodes)) / np.where(same, 1.0, distances)
    terms = np.where(same.any(axis=1, keepdims=True), same, terms)
    matrix: NDArray[np.float64] = terms / terms.sum(axis=1, keepdims=True)
    return matrix

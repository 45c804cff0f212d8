"""NeRCC: one smoothing spline turns k images into n coded ones, another turns any number of outputs into k answers.

As in Berrut's code, the images are the values of a function at k places on a line, and the coded images its values at n
other places. The answers are the values, at the images' places, of a function fitted to the outputs. Here both
functions are regressions: each is the natural cubic smoothing spline g that minimises

    sum_i (y_i - g(x_i))^2  +  lam * integral of g''(t)^2 dt

With lam = 0, g interpolates the values; with a large lam it is the least-squares line. It is cubic between its nodes
and straight beyond them. As g is linear in y, it is a matrix: g'' at the inner nodes solves (R + lam Q'Q) g'' = Q'y,
and g = y - lam Q g'' at the nodes, where Q' takes second differences and R is the matrix of the integral.

The places are those of Berrut's code, so that the two codes differ only in their functions. How much to smooth depends
on the model and the images: `schemes.coded` has defaults that suit CIFAR-10, and `evaluate coded --tune` finds values
for others.

Sources: P. Moradi, M. A. Maddah-Ali, "NeRCC: Nested-Regression Coded Computing for Resilient Distributed Prediction
Serving Systems", arXiv 2402.04377; P. J. Green, B. W. Silverman, "Nonparametric Regression and Generalized Linear
Models" (1994), sections 2.1 to 2.3, which is Reinsch's algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.linear import check_sizes, combine, image_nodes, returned, share_nodes
from collagebench.errors import DataError


def encode(images: Sequence[NDArray[Any]], shares: int, lam: float, ends: int = 1) -> NDArray[np.float32]:
    """Return the coded images, float32 [shares, height, width, 3], of images [height, width, 3] of any real type.

    They have the scale of the images but may leave their range a little. `lam` smooths over places from -1 to 1; `ends`
    is explained in `coding.linear`.

    Raises:
        DataError: there is no image or share, the images differ in size, `lam` is negative or `ends` not 1 or 2.
    """
    check_sizes(len(images), shares)
    return combine(encoder(len(images), shares, lam, ends), images)


def decode(
    outputs: Mapping[int, NDArray[np.float32]], images: int, shares: int, lam: float, ends: int = 1
) -> NDArray[np.float32]:
    """Return an estimate of each image's output, float32 [images, classes], from the outputs, [classes], by share.

    Any number of outputs will do; more outputs give a better estimate. `lam` smooths over places from -1 to 1; `ends`
    must be the value used to encode.

    Raises:
        DataError: there is no output or one of a share that does not exist, `lam` is negative or `ends` not 1 or 2.
    """
    check_sizes(images, shares)
    present = returned(outputs, shares)
    return combine(decoder(images, shares, present, lam, ends), [outputs[share] for share in present])


@lru_cache(maxsize=256)
def encoder(images: int, shares: int, lam: float, ends: int) -> NDArray[np.float32]:
    """Return the weight of each image in each coded image, [shares, images]."""
    return smoother(image_nodes(images), share_nodes(shares, ends), lam).astype(np.float32)


@lru_cache(maxsize=4096)
def decoder(images: int, shares: int, present: tuple[int, ...], lam: float, ends: int) -> NDArray[np.float32]:
    """Return the weight of each `present` output in each answer, [images, len(present)]."""
    return smoother(share_nodes(shares, ends)[list(present)], image_nodes(images), lam).astype(np.float32)


def smoother(nodes: NDArray[np.float64], at: NDArray[np.float64], lam: float) -> NDArray[np.float64]:
    """Return the smoothing spline as a matrix [len(at), len(nodes)]: from values at `nodes` to values `at`.

    Nodes may come in any order but must differ. One node gives a constant, two a straight line, whatever `lam` is.

    Raises:
        DataError: there is no node, two are the same, or `lam` is negative or not finite.
    """
    if not (math.isfinite(lam) and lam >= 0):
        raise DataError(f"a spline's smoothing must be 0 or a positive number, not {lam}")
    order = np.argsort(nodes)
    x = nodes[order]
    h = np.diff(x)
    if x.size == 0 or (h <= 0).any():
        raise DataError(f"a spline needs distinct nodes, not {nodes.tolist()}")
    if x.size == 1:
        return np.ones((at.size, 1))
    values, curvatures = _fit(h, lam)
    # The interval of each place; places beyond the nodes extend the interval at the nearest end.
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, h.size - 1)
    right = ((at - x[i]) / h[i])[:, np.newaxis]
    left = ((x[i + 1] - at) / h[i])[:, np.newaxis]
    bend = (h[i] ** 2 / 6)[:, np.newaxis]
    straight = right * values[i + 1] + left * values[i]
    # The correction to the chord: cubic inside; beyond an end, where g'' is 0, the change of slope at that end.
    inside = bend * (right * (right**2 - 1) * curvatures[i + 1] + left * (left**2 - 1) * curvatures[i])
    beyond = bend * (np.minimum(right, 0) * -curvatures[i + 1] + np.minimum(left, 0) * -curvatures[i])
    spline = np.empty((at.size, x.size))
    spline[:, order] = straight + np.where((right < 0) | (left < 0), beyond, inside)
    return spline


def _fit(h: NDArray[np.float64], lam: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the spline's values and second derivatives at its nodes, `h` apart, as matrices [nodes, nodes]."""
    n = h.size + 1
    inner = np.arange(n - 2)
    q = np.zeros((n, n - 2))
    q[inner, inner] = 1 / h[:-1]
    q[inner + 1, inner] = -1 / h[:-1] - 1 / h[1:]
    q[inner + 2, inner] = 1 / h[1:]
    r = (
        np.diag((h[:-1] + h[1:]) / 3) + np.diag(h[1:-1] / 6, 1) + np.diag(h[1:-1] / 6, -1)
        if n > 2
        else np.empty((0, 0))
    )
    curvatures = np.zeros((n, n))
    curvatures[1:-1] = np.linalg.solve(r + lam * q.T @ q, q.T)
    return np.eye(n) - lam * q @ curvatures[1:-1], curvatures

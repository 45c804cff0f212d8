"""Answers about the same image hang together: what they are worth, and a test that tosses one coin for each image.

A dataset has fewer images than a long experiment has requests, so every image is asked about many times, and a model
that is wrong about it is wrong each time. Intervals and tests that took such answers for independent would be too sure
of themselves: what is known about accuracy is limited by the images. Survey statistics calls the images clusters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.statistics.distributions import binomial_at_least

EXACT_UP_TO = 10_000
"""Sum of all sizes up to which `sign_flip` counts every outcome of coins of several sizes; beyond, the normal
distribution is as good."""


def effective(values: NDArray[Any], clusters: NDArray[np.int64]) -> float:
    """Return how many independent values the values [n] are worth, of which those of one cluster may be alike.

    That is n by the design effect (Kish, Survey Sampling, 1965): the variance of their mean if whole clusters are drawn
    over that if single values are. It is at most n, and n where no cluster comes twice. Values that are all equal tell
    nothing about how alike those of a cluster are: then it is the number of clusters.
    """
    _, of = np.unique(clusters, return_inverse=True)
    count = int(of.max()) + 1 if len(of) else 0
    if count == len(values):
        return float(count)
    apart = values - np.mean(values)
    alone = float(np.square(apart).sum())
    if alone == 0 or count == 1:
        return float(count)
    together = float(np.square(np.bincount(of, apart)).sum()) * count / (count - 1)
    return min(len(values) * alone / together, float(len(values))) if together > 0 else float(len(values))


def sums(values: NDArray[np.int64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the values [n] of each cluster: [clusters]."""
    _, of = np.unique(clusters, return_inverse=True)
    return np.rint(np.bincount(of, values)).astype(np.int64)


def sign_flip(differences: NDArray[np.int64]) -> float:
    """Return the two-sided p value of whole numbers [n] for lying about 0 as much on one side as on the other.

    If so, each might as well have had the other sign: p is how probable a sum so far from 0, or farther, is when a coin
    decides on every sign (Fisher's randomisation test, 1935). Where all are 1 or -1 it is the exact McNemar test.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    total, reached = int((sizes * counts).sum()), abs(int(differences.sum()))
    if reached == 0:
        return 1.0
    if len(sizes) == 1:
        return min(1.0, 2 * binomial_at_least((total + reached) // (2 * int(sizes[0])), int(counts[0]), 0.5))
    if total > EXACT_UP_TO:
        return math.erfc((reached - 1) / math.sqrt(2 * float((sizes**2 * counts).sum())))  # sums differ by 2
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        coins = np.zeros(size * count + 1)
        logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(count + 1)]
        coins[::size] = np.exp(np.array(logs) - count * math.log(2))
        chances = np.convolve(chances, coins)
    return min(1.0, 2 * float(chances[(total + reached) // 2 :].sum()))  # the sum of those with a plus

"""Answers that hang together: what they are worth, and a test that tosses one coin for each image.

A dataset has fewer images than a long experiment has requests, so every image is asked about many times, and a model
that is wrong about it is wrong each time. In one run more answers come from a less accurate model than in another,
because slowness and queues last. Intervals that took such answers for independent would be too sure of themselves: what
is known about accuracy is limited by the images, and by the runs. Survey statistics calls both clusters. What is meant
is the accuracy on images like these, not on these alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.statistics.distributions import binomial_at_least, student_t_quantile
from collagebench.statistics.intervals import Z95

RARE = 5
"""Clusters with anything but the commonest value, below which values do not show how alike those of a cluster are."""
EXACT_UP_TO = 10_000
"""Sum of all sizes up to which `sign_flip` counts every outcome of coins of several sizes, however many they are."""
FEW_COINS = 100
"""Coins up to which it does so whatever their sizes; beyond both, the normal distribution is as good."""


def effective(values: NDArray[Any], clusters: NDArray[np.int64], runs: NDArray[np.int64] | None = None) -> float:
    """Return how many independent values the values [n] are worth, of which those of a cluster, or run, may be alike.

    That is n by the design effect (Kish, Survey Sampling, 1965): the variance of their mean if whole clusters and whole
    runs are drawn (Cameron, Gelbach and Miller, Journal of Business & Economic Statistics 29, 2011) over that if single
    values are. It is at most n. Values that are all equal, or nearly all, tell nothing about how alike those of a
    cluster are: then they are taken to be as alike as can be. Runs are few, so what their variance is above that of
    single values is multiplied as Student's t is wider than the normal distribution that makes an interval of it.
    """
    n = len(values)
    if n == 0:
        return 0.0
    of = np.unique(clusters, return_inverse=True)[1]
    alike = n**2 / float(np.square(np.bincount(of)).sum())
    kinds, counts = np.unique(values, return_counts=True)
    if len(np.unique(of[values != kinds[counts.argmax()]])) < RARE:
        return alike
    apart = values - np.mean(values)
    alone = _variance(apart, np.arange(n))
    excess = 0.0
    if runs is not None and (by_run := _variance(apart, runs)) > alone:
        excess = (by_run - alone) * (student_t_quantile(0.975, len(np.unique(runs)) - 1) / Z95) ** 2
    return n * alone / (max(_variance(apart, of), alone) + excess)


def _variance(apart: NDArray[np.float64], clusters: NDArray[np.int64]) -> float:
    """Return the variance of a sum of values that lie so far from their mean, if whole clusters are drawn; 0 of one."""
    of = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(of, apart)
    return float(np.square(sums).sum()) * len(sums) / (len(sums) - 1) if len(sums) > 1 else 0.0


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
    if total > EXACT_UP_TO and counts.sum() > FEW_COINS:
        return math.erfc((reached - 1) / math.sqrt(2 * float((sizes**2 * counts).sum())))  # sums differ by 2
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        if count <= FEW_COINS:
            for _ in range(count):
                chances = (np.pad(chances, (0, size)) + np.pad(chances, (size, 0))) / 2
            continue
        coins = np.zeros(size * count + 1)
        logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(count + 1)]
        coins[::size] = np.exp(np.array(logs) - count * math.log(2))
        chances = np.convolve(chances, coins)
    return min(1.0, 2 * float(chances[(total + reached) // 2 :].sum()))  # the sum of those with a plus

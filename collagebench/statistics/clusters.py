"""Correlated answers: their effective number, and a test that flips signs by image.

A dataset has fewer images than a long experiment has requests, so every image is used many times, and a model that gets
it wrong does so each time. Also, some runs have more answers from a less accurate model than others, because slowness
and queues last. Intervals that treated such answers as independent would be too narrow: the numbers of images and of
runs limit what is known about accuracy. Survey statistics calls both clusters. The accuracy estimated here is that on
images like these, not only on these.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.statistics.distributions import binomial_at_least, student_t_quantile
from collagebench.statistics.intervals import Z95

RARE = 5
"""If fewer clusters than this have any other than the commonest value, correlation within clusters cannot be
estimated."""
EXACT_UP_TO = 10_000
"""`sign_flip` is exact up to this sum of all sizes, however many coins there are."""
FEW_COINS = 100
"""`sign_flip` is also exact up to this many coins, whatever their sizes. Beyond both, the normal distribution is as
good."""


def effective(values: NDArray[Any], clusters: NDArray[np.int64], runs: NDArray[np.int64] | None = None) -> float:
    """Return the effective number of independent values among values [n] that are correlated within clusters and runs.

    It is n divided by the design effect (Kish, Survey Sampling, 1965): the variance of the mean if whole clusters and
    whole runs are drawn (Cameron, Gelbach and Miller, Journal of Business & Economic Statistics 29, 2011), divided by
    the variance if single values are. It is at most n. If all values, or nearly all, are equal, they say nothing about
    the correlation within clusters, which is then taken to be complete. As there are few runs, but intervals use the
    normal distribution, the excess variance between runs is multiplied by the squared ratio of Student's t to the
    normal quantile.
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
    """Return the variance of the sum of deviations `apart` if whole clusters are drawn; 0 for one cluster."""
    of = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(of, apart)
    return float(np.square(sums).sum()) * len(sums) / (len(sums) - 1) if len(sums) > 1 else 0.0


def sums(values: NDArray[np.int64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the values [n] in each cluster: [clusters]."""
    _, of = np.unique(clusters, return_inverse=True)
    return np.rint(np.bincount(of, values)).astype(np.int64)


def sign_flip(differences: NDArray[np.int64]) -> float:
    """Return the two-sided p value of integers [n], under the hypothesis that they are symmetric about 0.

    Then each might as well have the opposite sign. p is the probability of a sum at least as far from 0 if a coin toss
    decides every sign (Fisher's randomisation test, 1935). If all are 1 or -1, it is the exact McNemar test.
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
    return min(1.0, 2 * float(chances[(total + reached) // 2 :].sum()))  # the sum of the positive ones

"""Two schemes that answered the same requests: is one right more often?

Requests that both get right, or both wrong, say nothing about the difference. The others are `won`, if only the scheme
is right, or `lost`, if only the other is. If neither scheme is better, the gain or loss of each image is as likely to
be the opposite, like the toss of a coin. If no image occurs twice, this is McNemar's test (1947), exact because the
binomial is summed; otherwise see `clusters`. If runs differ, whole runs are right or wrong together, which coins by
image do not account for. So the p value that belongs to the interval is used if it is larger.

The interval of the difference in accuracy, (won - lost) / pairs, is Tango's score interval (Statistics in Medicine 17,
1998, 891-908): it contains every difference that the data do not contradict, and is valid even if few requests
disagree. It uses the effective number of pairs, because images are repeated and runs differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.results.table import EMPTY, Table
from collagebench.statistics.clusters import effective, sign_flip, sums
from collagebench.statistics.intervals import Z95, Interval


@dataclass(frozen=True, slots=True)
class Matched:
    """Answers of two schemes to the same requests."""

    pairs: int
    """Requests after the warm-up that both answered with a known class."""
    won: int
    """Pairs in which only the scheme was right."""
    lost: int
    """Pairs in which only the other was right."""
    worth: float
    """The effective number of independent pairs."""
    p: float
    """Two-sided p value: of the exact McNemar test with one coin per image, or that of the interval if larger."""

    @property
    def difference(self) -> float:
        """Accuracy of the scheme minus that of the other, from -1 to 1; there must be pairs."""
        return (self.won - self.lost) / self.pairs

    @property
    def ci95(self) -> Interval:
        """95 % interval of the difference; there must be pairs."""
        share = self.worth / self.pairs
        return tango(self.won * share, self.lost * share, self.worth)


def match(own: Table, other: Table) -> Matched:
    """Compare the answers of two schemes, paired by run and request; unpaired answers are ignored."""
    (own_keys, own_right, images), (other_keys, other_right, _) = _answered(own), _answered(other)
    keys, mine, theirs = np.intersect1d(own_keys, other_keys, return_indices=True)
    better = own_right[mine].astype(np.int64) - other_right[theirs]
    return matched(better, images[mine], keys >> 32)


def matched(better: NDArray[np.int64], images: NDArray[np.int64], runs: NDArray[np.int64]) -> Matched:
    """Compare pairs of answers: `better` [n] is 1 if only the scheme was right, -1 if only the other was, else 0."""
    won, lost = int((better > 0).sum()), int((better < 0).sum())
    worth = effective(better, images, runs)
    coins = sign_flip(sums(better, images))
    if not won + lost:
        return Matched(len(better), won, lost, worth, coins)
    score = abs(won - lost) * math.sqrt(worth / len(better) / (won + lost))  # Tango's score of no difference
    return Matched(len(better), won, lost, worth, max(coins, math.erfc(score / math.sqrt(2))))


def tango(won: float, lost: float, pairs: float) -> Interval:
    """Return the 95 % score interval of (won - lost) / pairs (Tango 1998); `pairs` must not be 0."""
    difference = (won - lost) / pairs

    def score(delta: float) -> float:
        """Return by how many standard deviations the data exceed a true difference of `delta`."""
        # The most likely share of `lost` if the difference is delta: the larger root of a quadratic.
        b = (2 * pairs - won + lost) * delta - won - lost
        c = -lost * delta * (1 - delta)
        share = (math.sqrt(max(0.0, b * b - 8 * pairs * c)) - b) / (4 * pairs)
        variance = pairs * (2 * share + delta * (1 - delta))
        distance = won - lost - pairs * delta
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    def edge(inside: float, outside: float) -> float:
        """Return the end of the interval between a difference inside it and one that cannot be inside."""
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(score(middle)) <= Z95:
                inside = middle
            else:
                outside = middle
        return inside

    return edge(difference, -1.0), edge(difference, 1.0)


def _answered(requests: Table) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return for each request whose answer counts a key of run and request, whether it was right, and its image."""
    counts = ~requests["warmup"] & ~np.isnan(requests["latency"]) & (requests["predicted"] != EMPTY)
    keys = (requests["run"][counts] << 32) | requests["request"][counts]
    return keys, requests["predicted"][counts] == requests["label"][counts], requests["image"][counts]

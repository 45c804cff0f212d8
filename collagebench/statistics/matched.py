"""Two schemes that answered the same requests: is one right more often?

Requests that both answer rightly, or both wrongly, say nothing about the difference. What is left are the requests on
which they disagree: `won` that only the scheme got right, `lost` that only the other did. If neither were better, what
an image won or lost might as well have been the other way round, like the toss of a coin: where no image comes twice
that is McNemar's test (1947), exact because the binomial is summed; else see `clusters`. Where runs are unlike, whole
runs go right or wrong together, which no coin for each image knows of: the p value is that of the interval if it is
larger.

The interval of the difference in accuracy, (won - lost) / pairs, is Tango's score interval (Statistics in Medicine 17,
1998, 891-908): it holds every difference that the data do not contradict, and is sound where few requests disagree. It
counts as many pairs as those that there are are worth, images being repeated and runs being unlike.
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
    """Requests after the warm-up that both answered, with a class that is known."""
    won: int
    """Only the scheme was right."""
    lost: int
    """Only the other was right."""
    worth: float
    """How many independent pairs these are worth, images being repeated."""
    p: float
    """Two-sided p value: of the exact McNemar test with one coin for each image, or of the interval if that is more."""

    @property
    def difference(self) -> float:
        """Accuracy of the scheme less that of the other, from -1 to 1; there must be pairs."""
        return (self.won - self.lost) / self.pairs

    @property
    def ci95(self) -> Interval:
        """95 % interval of the difference; there must be pairs."""
        share = self.worth / self.pairs
        return tango(self.won * share, self.lost * share, self.worth)


def match(own: Table, other: Table) -> Matched:
    """Return how the answers of two schemes, paired by run and request, agree; those that only one has do not count."""
    (own_keys, own_right, images), (other_keys, other_right, _) = _answered(own), _answered(other)
    keys, mine, theirs = np.intersect1d(own_keys, other_keys, return_indices=True)
    better = own_right[mine].astype(np.int64) - other_right[theirs]
    return matched(better, images[mine], keys >> 32)


def matched(better: NDArray[np.int64], images: NDArray[np.int64], runs: NDArray[np.int64]) -> Matched:
    """Return the agreement of answers [n]: 1 where only the scheme was right, -1 where only the other was, else 0."""
    won, lost = int((better > 0).sum()), int((better < 0).sum())
    worth = effective(better, images, runs)
    coins = sign_flip(sums(better, images))
    if not won + lost:
        return Matched(len(better), won, lost, worth, coins)
    score = abs(won - lost) * math.sqrt(worth / len(better) / (won + lost))  # Tango's, of no difference
    return Matched(len(better), won, lost, worth, max(coins, math.erfc(score / math.sqrt(2))))


def tango(won: float, lost: float, pairs: float) -> Interval:
    """Return the 95 % score interval of (won - lost) / pairs (Tango 1998); `pairs` must not be 0."""
    difference = (won - lost) / pairs

    def score(delta: float) -> float:
        """Return how many standard deviations the data lie above a true difference of `delta`."""
        # The most likely share of `lost` if the difference is delta: the larger root of a quadratic.
        b = (2 * pairs - won + lost) * delta - won - lost
        c = -lost * delta * (1 - delta)
        share = (math.sqrt(max(0.0, b * b - 8 * pairs * c)) - b) / (4 * pairs)
        variance = pairs * (2 * share + delta * (1 - delta))
        distance = won - lost - pairs * delta
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    def edge(inside: float, outside: float) -> float:
        """Return where the score leaves the interval between a difference inside it and one that cannot be inside."""
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(score(middle)) <= Z95:
                inside = middle
            else:
                outside = middle
        return inside

    return edge(difference, -1.0), edge(difference, 1.0)


def _answered(requests: Table) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return a number that names each request whose answer counts, whether the answer was right, and its image."""
    counts = ~requests["warmup"] & ~np.isnan(requests["latency"]) & (requests["predicted"] != EMPTY)
    keys = (requests["run"][counts] << 32) | requests["request"][counts]
    return keys, requests["predicted"][counts] == requests["label"][counts], requests["image"][counts]

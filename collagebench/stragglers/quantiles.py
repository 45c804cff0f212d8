"""A distribution as a short table of quantiles, with linear interpolation between them.

A draw is the lookup of a uniform number. The distribution function of a table is piecewise linear, so a mixture of
tables, or a table truncated at a limit, is exactly such a table again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_TAIL = (0.0, 0.0004, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075)
PROBABILITIES = (*_TAIL, *(round(p, 3) for p in np.arange(0.1, 0.9001, 0.025)), *(round(1 - p, 4) for p in _TAIL[::-1]))
"""Those of the tables that are kept in files: close together at both ends."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A table of quantiles: a share `probabilities`, from 0 to 1, of the draws lies below `values`.

    Values rise strictly. Probabilities never fall; between two equal ones there are no draws.
    """

    probabilities: tuple[float, ...]
    values: tuple[float, ...]
    _slopes: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with np.errstate(invalid="ignore"):  # infinite values, which do not rise
            rises = np.diff(self.probabilities), np.diff(self.values)
        rising = all(rises[0] >= 0) and all(rises[1] > 0)  # False for NaN
        if (self.probabilities[0], self.probabilities[-1]) != (0, 1) or not rising:
            raise ValueError("a table of quantiles needs probabilities that rise from 0 to 1 and values that rise")
        slopes = np.divide(rises[1], rises[0], out=np.zeros(len(rises[0])), where=rises[0] > 0)
        object.__setattr__(self, "_slopes", tuple(slopes.tolist()))

    def at(self, probability: float) -> float:
        """Return the quantile at `probability`, inside [0, 1)."""
        i = bisect_right(self.probabilities, probability) - 1
        return self.values[i] + (probability - self.probabilities[i]) * self._slopes[i]

    def below(self, value: float) -> float:
        """Return the share of draws below `value`."""
        return float(np.interp(value, self.values, self.probabilities))

    @property
    def mean(self) -> float:
        """The mean of the draws."""
        p, q = np.array(self.probabilities), np.array(self.values)
        return float(np.dot(np.diff(p), q[1:] + q[:-1]) / 2)

    def lower_mean(self, share: float) -> float:
        """Return the mean of the lower `share`, inside (0, 1], of the draws."""
        i = bisect_left(self.probabilities, share)
        edge = self.values[i - 1] + (share - self.probabilities[i - 1]) * self._slopes[i - 1]
        p, q = np.array((*self.probabilities[:i], share)), np.array((*self.values[:i], edge))
        return float(np.dot(np.diff(p), q[1:] + q[:-1]) / (2 * share))

    def cut(self, limit: float) -> Quantiles:
        """Return the distribution of the draws up to `limit`, which must be above the smallest value."""
        share = self.below(limit)
        kept = sum(value < limit for value in self.values)
        if kept == len(self.values):
            return self
        return Quantiles((*(p / share for p in self.probabilities[:kept]), 1.0), (*self.values[:kept], limit))

    def scaled(self, factor: float) -> Quantiles:
        """Return the distribution of the draws times `factor`, above 0."""
        return Quantiles(self.probabilities, tuple(value * factor for value in self.values))


def mixture(tables: Sequence[Quantiles], weights: Sequence[float]) -> Quantiles:
    """Return the distribution of a draw from one of `tables`, chosen with a chance proportional to its weight."""
    values: NDArray[np.float64] = np.unique(np.concatenate([table.values for table in tables]))
    shares = np.array(weights, dtype=float) / sum(weights)
    probabilities = sum(
        share * np.interp(values, table.values, table.probabilities)
        for share, table in zip(shares, tables, strict=True)
    )
    # Rounding must not make the sums fall, or end at another value than 1.
    probabilities = np.maximum.accumulate(np.clip(probabilities, 0.0, 1.0))
    return Quantiles((*probabilities[:-1].tolist(), 1.0), tuple(values.tolist()))

"""Families of service times, each in closed form.

    family                  quantile function at p                                   mean
    ShiftedExponential      shift - tail ln(1 - p)                                   shift + tail
    Pareto                  scale (1 - p)^(-1/shape)                                 scale shape / (shape - 1)
    Lognormal               median exp(sigma z(p))                                   median exp(sigma^2 / 2)
    Bimodal                 base, or base x factor for the upper `share`             base (1 + share (factor - 1))
    Empirical               the value of rank p of a sample                          the sample's

z(p) is the normal quantile. Moments are those in Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions",
volume 1 (1994): chapters 14 (lognormal), 19 (exponential), 20 (Pareto). The mean of the lower share p tells how fast
the fleet would be without its stragglers. It is the Lorenz curve times mean / p, which these families also have in
closed form (Gastwirth, "A general definition of the Lorenz curve", Econometrica 39, 1971).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import NormalDist, fmean
from typing import Protocol

LEAST = 2.0**-53
"""The smallest value of `draws.uniform`; the largest is 1 minus this."""
_NORMAL = NormalDist()


class Distribution(Protocol):
    """The distribution of draws, which are seconds or factors."""

    @property
    def mean(self) -> float:
        """The mean draw."""

    def at(self, probability: float) -> float:
        """Return the quantile at `probability`, inside [0, 1): the value below which that share of the draws lies."""

    def lower_mean(self, share: float) -> float:
        """Return the mean of `at` over the probabilities below `share`, inside (0, 1]."""

    def scaled(self, factor: float) -> Distribution:
        """Return the distribution of the draws times `factor`, above 0."""


@dataclass(frozen=True, slots=True)
class ShiftedExponential:
    """At least `shift`, and an exponential part with mean `tail` on top."""

    shift: float
    tail: float

    @property
    def mean(self) -> float:
        """The mean draw."""
        return self.shift + self.tail

    def at(self, probability: float) -> float:
        """Return the quantile."""
        return self.shift - self.tail * math.log1p(-probability)

    def lower_mean(self, share: float) -> float:
        """Return the mean of the lower `share` of the draws: the integral of -ln(1 - u) is u + (1 - u) ln(1 - u)."""
        rest = 1.0 - share
        return self.shift + self.tail * (1.0 + (rest * math.log(rest) / share if rest > 0 else 0.0))

    def scaled(self, factor: float) -> ShiftedExponential:
        """Return the distribution of the draws times `factor`."""
        return ShiftedExponential(self.shift * factor, self.tail * factor)


@dataclass(frozen=True, slots=True)
class Pareto:
    """At least `scale`, with a power-law tail: a share x^-shape of the draws is above x times the scale."""

    scale: float
    shape: float
    """Above 1, so that the mean is finite."""

    @property
    def mean(self) -> float:
        """The mean draw."""
        return self.scale * self.shape / (self.shape - 1.0)

    def at(self, probability: float) -> float:
        """Return the quantile."""
        return self.scale * float((1.0 - probability) ** (-1.0 / self.shape))

    def lower_mean(self, share: float) -> float:
        """Return the mean of the lower `share` of the draws."""
        power = 1.0 - 1.0 / self.shape
        return self.scale * (1.0 - float((1.0 - share) ** power)) / (power * share)

    def scaled(self, factor: float) -> Pareto:
        """Return the distribution of the draws times `factor`."""
        return Pareto(self.scale * factor, self.shape)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """The median times the exponential of a normal draw with standard deviation `sigma`."""

    median: float
    sigma: float

    @property
    def mean(self) -> float:
        """The mean draw."""
        return self.median * math.exp(self.sigma**2 / 2.0)

    def at(self, probability: float) -> float:
        """Return the quantile; probability 0 counts as `LEAST`."""
        return self.median * math.exp(self.sigma * normal_quantile(probability))

    def lower_mean(self, share: float) -> float:
        """Return the mean of the lower `share` of the draws."""
        if share >= 1.0:
            return self.mean
        return self.mean * _NORMAL.cdf(normal_quantile(share) - self.sigma) / share

    def scaled(self, factor: float) -> Lognormal:
        """Return the distribution of the draws times `factor`."""
        return Lognormal(self.median * factor, self.sigma)


@dataclass(frozen=True, slots=True)
class Bimodal:
    """`base`, or `factor` times as much for a `share` of the draws; both parts are lognormal if `sigma` is above 0.

    The upper probabilities always give the slow draws, even if the spread is so wide that a fast draw can be longer.
    `at` rises within each part, and is the quantile function unless the parts overlap.
    """

    base: float
    factor: float
    share: float
    sigma: float = 0.0
    fast: Lognormal = field(init=False, repr=False, compare=False)
    slow: Lognormal = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fast", Lognormal(self.base, self.sigma))
        object.__setattr__(self, "slow", Lognormal(self.base * self.factor, self.sigma))

    @property
    def mean(self) -> float:
        """The mean draw."""
        return self.fast.mean * (1.0 + self.share * (self.factor - 1.0))

    def at(self, probability: float) -> float:
        """Return a fast draw for the lower probabilities, a slow one for the upper `share`."""
        ordinary = 1.0 - self.share
        slow = probability >= ordinary
        value = self.base * self.factor if slow else self.base
        if self.sigma == 0.0:
            return value
        inside = (probability - ordinary) / self.share if slow else probability / ordinary
        return value * math.exp(self.sigma * normal_quantile(inside))

    def lower_mean(self, share: float) -> float:
        """Return the mean of `at` over the probabilities below `share`."""
        ordinary = 1.0 - self.share
        if share <= ordinary:
            return self.fast.lower_mean(share / ordinary)
        upper = share - ordinary
        return (ordinary * self.fast.mean + upper * self.slow.lower_mean(upper / self.share)) / share

    def scaled(self, factor: float) -> Bimodal:
        """Return the distribution of the draws times `factor`."""
        return Bimodal(self.base * factor, self.factor, self.share, self.sigma)


@dataclass(frozen=True, slots=True)
class Empirical:
    """The values of a sample, all equally likely."""

    values: tuple[float, ...]
    """At least one, in ascending order."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Empirical:
        """Return the distribution of a sample in any order."""
        return cls(tuple(sorted(values)))

    @property
    def mean(self) -> float:
        """The mean draw."""
        return fmean(self.values)

    def at(self, probability: float) -> float:
        """Return the quantile, always a value of the sample."""
        return self.values[int(probability * len(self.values))]

    def lower_mean(self, share: float) -> float:
        """Return the mean of the lower `share` of the sample; the value at its edge counts in proportion."""
        kept = share * len(self.values)
        whole = int(kept)
        edge = self.values[whole] * (kept - whole) if kept > whole else 0.0
        return (math.fsum(self.values[:whole]) + edge) / kept

    def scaled(self, factor: float) -> Empirical:
        """Return the distribution of the draws times `factor`."""
        return Empirical(tuple(value * factor for value in self.values))


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile, limited to the range that `draws.uniform` can reach (about ±8.2)."""
    return _NORMAL.inv_cdf(min(max(probability, LEAST), 1.0 - LEAST))

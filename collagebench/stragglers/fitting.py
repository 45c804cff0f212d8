"""Fit the straggler families to recorded service times.

    family               what it draws                                  fitted by
    shifted-exponential  shift + Exp(mean tail)                         maximum likelihood: shift = min
    pareto               scale * U ** (-1 / shape), U uniform           maximum likelihood: scale = min
    lognormal            median * exp(N(0, sigma))                      maximum likelihood
    bimodal              a lognormal body; a share slow_share of it     maximum likelihood (expectation-maximisation,
                         takes slow_factor times as long                Dempster, Laird and Rubin 1977)
    structured           machine factor x request factor x excursions   each machine's median; the rest like bimodal

All times are in seconds. Each fit comes with the two-sided Kolmogorov-Smirnov distance between the recorded times and
the family's draws over all workers, with the log-likelihood, and with Akaike's criterion, AIC = 2 x parameters -
2 x log-likelihood: the smaller the better. The likelihood treats all times as independent. That of the structured fit
treats them as independent given their machine, and counts every machine's median as a parameter, so this fit wins if
the machines differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, pstdev

import numpy as np
from numpy.typing import NDArray

from collagebench.stragglers.structured import REQUEST_MEAN

Values = NDArray[np.float64]

SLOW = 2.0
"""A service, or a machine's median, is slow above this multiple of the fleet's median."""
ROUNDS = 500
"""Most rounds of expectation-maximisation."""
GROUPS = 2000
"""Groups of values on which expectation-maximisation runs first, before it runs on all values."""
LEAST_SIGMA = 1e-6
"""Smallest standard deviation of the logarithms: the likelihood of identical times would be infinite."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One family with the best parameters, and measures of how well it fits."""

    family: str
    parameters: dict[str, float]
    """Seconds, factors and shares, by their names on the command line."""
    ks: float
    """Kolmogorov-Smirnov distance, two-sided."""
    n: int
    """The number of service times to which it was fitted."""
    log_likelihood: float
    aic: float


@dataclass(frozen=True, slots=True)
class Bumps:
    """Two normal distributions of logarithms with the same width: most around `mean`, a `share` around mean + rise."""

    mean: float
    sigma: float
    share: float
    rise: float

    def below(self, x: Values, mean: float = 0.0, sigma: float | None = None) -> Values:
        """Return the share below each `x`, with the distribution shifted by `mean`, and with width `sigma` if given."""
        width = self.sigma if sigma is None else sigma
        body = normal_below((x - self.mean - mean) / width)
        if self.share == 0:
            return body
        return (1 - self.share) * body + self.share * normal_below((x - self.mean - mean - self.rise) / width)

    def log_likelihood(self, x: Values) -> float:
        """Return the log-likelihood of independent `x`."""
        return float(np.logaddexp(*_log_densities(x, self)).sum())


def ks_distance(values: Values, below: Callable[[Values], Values]) -> float:
    """Return the two-sided Kolmogorov-Smirnov distance of `values` [n] from the distribution function `below`."""
    x = np.sort(values)
    shares = below(x)
    steps = np.arange(len(x) + 1) / len(x)
    return float(max((steps[1:] - shares).max(), (shares - steps[:-1]).max()))


def normal_below(z: Values) -> Values:
    """Return the standard normal distribution function, which NumPy lacks."""
    return np.array([0.5 * math.erfc(-value) for value in (z / math.sqrt(2)).tolist()])


def fit_all(machines: Sequence[Values]) -> list[Fit]:
    """Fit every family to the recorded service times, seconds above 0, of each machine; the smallest AIC comes first.

    Machines without service times are left out; the structured family needs at least two others.

    Raises:
        ValueError: there are fewer than 2 times.
    """
    machines = [times for times in machines if len(times)]
    pooled = np.concatenate(machines) if machines else np.empty(0)
    if len(pooled) < 2:
        raise ValueError("a fit needs at least 2 times")
    fits = [shifted_exponential(pooled), pareto(pooled), lognormal(pooled), bimodal(pooled)]
    if len(machines) > 1:
        fits.append(structured(machines))
    return sorted(fits, key=lambda fit: fit.aic)


def shifted_exponential(values: Values) -> Fit:
    """Fit shift + Exp(mean tail) by maximum likelihood."""
    shift = float(values.min())
    tail = max(float(values.mean()) - shift, LEAST_SIGMA * shift)
    log_likelihood = -len(values) * math.log(tail) - float((values - shift).sum()) / tail
    found = {"shift": shift, "tail": tail}
    return _fit("shifted-exponential", found, values, lambda x: -np.expm1(-(x - shift) / tail), log_likelihood, 2)


def pareto(values: Values) -> Fit:
    """Fit a Pareto distribution above its scale by maximum likelihood."""
    scale = float(values.min())
    excess = np.log(values / scale)
    shape = 1 / max(float(excess.mean()), LEAST_SIGMA)
    log_likelihood = len(values) * math.log(shape / scale) - (shape + 1) * float(excess.sum())
    found = {"scale": scale, "shape": shape}
    return _fit("pareto", found, values, lambda x: 1 - (scale / x) ** shape, log_likelihood, 2)


def lognormal(values: Values) -> Fit:
    """Fit median * exp(N(0, sigma)) by maximum likelihood."""
    logs = np.log(values)
    bump = Bumps(float(logs.mean()), max(float(logs.std()), LEAST_SIGMA), 0.0, 0.0)
    log_likelihood = bump.log_likelihood(logs) - float(logs.sum())
    found = {"median": math.exp(bump.mean), "sigma": bump.sigma}
    return _fit("lognormal", found, values, lambda x: bump.below(np.log(x)), log_likelihood, 2)


def bimodal(values: Values) -> Fit:
    """Fit lognormal times around `base`, a share of which takes `slow_factor` times as long, by maximum likelihood."""
    logs = np.log(values)
    bumps = two_bumps(logs)
    log_likelihood = bumps.log_likelihood(logs) - float(logs.sum())
    found = {
        "base": math.exp(bumps.mean),
        "sigma": bumps.sigma,
        "slow_factor": math.exp(bumps.rise),
        "slow_share": bumps.share,
    }
    return _fit("bimodal", found, values, lambda x: bumps.below(np.log(x)), log_likelihood, 4)


def structured(machines: Sequence[Values]) -> Fit:
    """Fit the times of two or more machines as machine factor x request factor x excursions.

    A machine whose median is above twice the fleet's is slow throughout. The medians of the other machines give the
    machine factor. All times divided by their machine's median give requests and excursions.
    """
    pooled = np.concatenate(list(machines))
    medians = [float(np.median(times)) for times in machines]
    limit = SLOW * median_of(pooled)
    ordinary = [math.log(median) for median in medians if median <= limit]
    slow = [math.log(median) for median in medians if median > limit]
    rests = np.concatenate([np.log(times / median) for times, median in zip(machines, medians, strict=True)])
    bumps = two_bumps(rests)
    log_likelihood = bumps.log_likelihood(rests) - float(np.log(pooled).sum())
    body, machine_sigma = float(np.mean(ordinary)), pstdev(ordinary)
    share = len(slow) / len(machines)
    found = {
        "median": math.exp(body + bumps.mean - REQUEST_MEAN),
        "machine_sigma": machine_sigma,
        "request_sigma": bumps.sigma,
        "excursion_share": bumps.share,
        "excursion_factor": math.exp(bumps.rise),
        "slow_machines": share,
    }
    if slow:
        found["slow_machine"] = math.exp(float(np.mean(slow)) + bumps.mean - REQUEST_MEAN)
    width = math.hypot(machine_sigma, bumps.sigma)

    def below(x: Values) -> Values:
        shares = (1 - share) * bumps.below(np.log(x), body, width)
        return shares + share * bumps.below(np.log(x), float(np.mean(slow))) if slow else shares

    return _fit("structured", found, pooled, below, log_likelihood, len(machines) + 3)


def median_of(values: Values) -> float:
    """Return the lower median, which is always one of the values."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def two_bumps(x: Values) -> Bumps:
    """Fit two normal distributions of equal width to `x` [n] by expectation-maximisation; the upper one is smaller.

    There are two starts, with a rare and with a frequent upper part; the more likely result is returned. If no upper
    part is found, its share is 0.
    """
    middle = float(np.median(x))
    width = max(float(np.median(np.abs(x - middle))) / NormalDist().inv_cdf(0.75), LEAST_SIGMA)
    found = [_one_bump(x)]
    for least in (middle + max(4 * width, math.log(1.3)), float(np.quantile(x, 0.75))):
        upper = x[x > least]
        if len(upper):
            begin = Bumps(middle, width, len(upper) / len(x), float(upper.mean()) - middle)
            rough = _maximised(_groups(x), begin)
            found.append(_maximised(x, rough) if rough.share else rough)
    return max(found, key=lambda bumps: bumps.log_likelihood(x))


def _groups(x: Values) -> Values:
    """Return the means of about `GROUPS` groups of neighbouring values, few enough for many fast rounds."""
    size = max(1, len(x) // GROUPS)
    ordered = np.sort(x)[: len(x) // size * size]
    means: Values = ordered.reshape(-1, size).mean(axis=1)
    return means


def _one_bump(x: Values) -> Bumps:
    return Bumps(float(x.mean()), max(float(x.std()), LEAST_SIGMA), 0.0, 0.0)


def _maximised(x: Values, bumps: Bumps) -> Bumps:
    before = -math.inf
    for _ in range(ROUNDS):
        lower, upper = _log_densities(x, bumps)
        both = np.logaddexp(lower, upper)
        likelihood = float(both.sum())
        if likelihood - before < 1e-7 * len(x):
            break
        before = likelihood
        weights = np.exp(upper - both)
        share = float(weights.mean())
        if not 1 / len(x) <= share <= 0.5:  # the upper part has vanished or become the body
            return _one_bump(x)
        high = float(np.dot(weights, x) / weights.sum())
        low = float(np.dot(1 - weights, x) / (1 - weights).sum())
        variance = float(np.dot(weights, (x - high) ** 2) + np.dot(1 - weights, (x - low) ** 2)) / len(x)
        bumps = Bumps(low, max(math.sqrt(variance), LEAST_SIGMA), share, high - low)
    return bumps if bumps.rise > 0 else _one_bump(x)


def _log_densities(x: Values, bumps: Bumps) -> tuple[Values, Values]:
    """Return the logarithms of the densities of both parts at each `x`, each weighted with its share."""

    def part(share: float, mean: float) -> Values:
        if share == 0:
            return np.full(len(x), -np.inf)
        scale = math.log(share / (bumps.sigma * math.sqrt(2 * math.pi)))
        return np.asarray(scale - 0.5 * ((x - mean) / bumps.sigma) ** 2)

    return part(1 - bumps.share, bumps.mean), part(bumps.share, bumps.mean + bumps.rise)


def _fit(
    family: str,
    parameters: dict[str, float],
    values: Values,
    below: Callable[[Values], Values],
    log_likelihood: float,
    free: int,
) -> Fit:
    aic = 2 * free - 2 * log_likelihood
    return Fit(family, parameters, ks_distance(values, below), len(values), log_likelihood, aic)

"""Arrival times of requests: the schedule is computed before the run, so that slow answers cannot delay later requests.

This is an open loop. A closed loop, in which the next request waits for an answer, has no schedule.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import UsageError

KINDS = ("poisson", "constant")
LONGEST = 1e9
"""Longest schedule in seconds, about thirty years. In a longer one, 64-bit floats cannot resolve a microsecond."""


def arrivals(kind: str, rate: float, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the times of `n` arrivals of one of KINDS at `rate` per second: float64 [n], ascending seconds from 0.

    Raises:
        UsageError: the kind is unknown, the rate is not a number above 0, `n` is below 1, or the schedule would be
            longer than LONGEST.
    """
    if kind == "poisson":
        return poisson(rate, n, generator)
    if kind == "constant":
        return constant(rate, n)
    raise UsageError(f"there are no arrivals called {kind!r}; there are {', '.join(KINDS)}")


def poisson(rate: float, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return `n` arrivals of a Poisson process from time 0: independent exponential gaps of mean 1 / `rate`."""
    _check(rate, n)
    return np.cumsum(generator.standard_exponential(n)) / rate


def constant(rate: float, n: int) -> NDArray[np.float64]:
    """Return `n` arrivals `1 / rate` seconds apart, the first at 0."""
    _check(rate, n)
    return np.arange(n) / rate


def _check(rate: float, n: int) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"the arrival rate must be above 0 requests a second, not {rate}")
    if n < 1:
        raise UsageError(f"a run needs at least 1 request, not {n}")
    if n / rate > LONGEST:
        long = f"{n:,} requests take more than thirty years at {rate:.3g} a second"
        raise UsageError(f"{long}: raise --rate or --utilisation")

"""Arrival times of requests: the schedule is computed before the run, so that slow answers cannot delay later requests.

This is an open loop. A closed loop, in which the next request waits for an answer, has no schedule.

Requests arrive at random (`poisson`), evenly (`constant`), or in the pattern of a log of real arrivals, at its own rate
or another. Each run then begins at another place of the log, chosen at random, and goes on at its beginning where it
ends. So intervals cover which part of the log a run meets, but say nothing of days that are not in it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import UsageError, nearest
from collagebench.workload.arrival_log import read_arrivals

KINDS = ("poisson", "constant")
LONGEST = 1e9
"""Longest schedule in seconds, about thirty years. In a longer one, 64-bit floats cannot resolve a microsecond."""


def arrivals(kind: str, rate: float, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the times of `n` arrivals at `rate` per second: float64 [n], ascending seconds from 0.

    `kind` is one of KINDS or the path of a log of arrivals.

    Raises:
        UsageError: the kind is unknown, the rate is not a number above 0, `n` is below 1, or the schedule would be
            longer than LONGEST.
        DataError: the log cannot be read; see `read_arrivals`.
    """
    if is_log(kind):
        return replayed(read_arrivals(Path(kind)).times, rate, n, generator)
    if kind == "poisson":
        return poisson(rate, n, generator)
    if kind == "constant":
        return constant(rate, n)
    others = f"give the path of a file of times, such as ./{kind}, or one of"
    raise UsageError(f"there are no arrivals called {kind!r}{nearest(kind, KINDS, others)}")


def is_log(kind: str) -> bool:
    """Return whether a kind of arrivals is the path of a log: it has a dot or a slash."""
    return "." in kind or os.sep in kind


def facts_of(kind: str) -> dict[str, Any] | None:
    """Return what a run records about the log of its arrivals, as plain JSON values; None without a log."""
    if not is_log(kind):
        return None
    log = read_arrivals(Path(kind))
    return {"count": len(log.times), "rate": log.rate, "whole_seconds": log.whole_seconds, "sha256": log.sha256}


def poisson(rate: float, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return `n` arrivals of a Poisson process from time 0: independent exponential gaps of mean 1 / `rate`."""
    _check(rate, n)
    return np.cumsum(generator.standard_exponential(n)) / rate


def constant(rate: float, n: int) -> NDArray[np.float64]:
    """Return `n` arrivals `1 / rate` seconds apart, the first at 0."""
    _check(rate, n)
    return np.arange(n) / rate


def replayed(log: NDArray[np.float64], rate: float, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return `n` arrivals with the gaps of a log, stretched to a mean of 1 / `rate` over the whole log, the first at 0.

    `log` holds ascending seconds, float64 [m], from 0 to above 0. The first arrival is a random one of the log. After
    the log's last arrival comes its first, a mean gap later.
    """
    _check(rate, n)
    mean = log[-1] / (len(log) - 1)
    gaps = np.append(np.diff(log), mean) / mean
    following = (int(generator.integers(len(log))) + np.arange(n - 1)) % len(log)
    times: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(gaps[following])]) / rate
    return times


def _check(rate: float, n: int) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"the arrival rate must be above 0 requests a second, not {rate}")
    if n < 1:
        raise UsageError(f"a run needs at least 1 request, not {n}")
    if n / rate > LONGEST:
        long = f"{n:,} requests take more than thirty years at {rate:.3g} a second"
        raise UsageError(f"{long}: raise --rate or --utilisation")

"""Arrival times of requests: the schedule is computed before the run, so that slow answers cannot delay later requests.

This is an open loop. A closed loop, in which the next request waits for an answer, has no schedule.

Requests arrive at random (`poisson`), evenly (`constant`), at random with a rate that changes (`bursts`), or in the
pattern of a log of real arrivals, at its own rate or another. Each run then begins at another place of the log, chosen
at random, and goes on at its beginning where it ends. So intervals cover which part of the log a run meets, but say
nothing of days that are not in it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import UsageError, nearest
from collagebench.workload.arrival_log import read_arrivals

PARAMETERS: dict[str, dict[str, float]] = {
    "poisson": {},
    "constant": {},
    "bursts": {"burst_factor": 5.0, "burst_share": 0.2, "burst_for": 2.0},
}
"""The parameters of each kind of arrivals that is not a log, and their defaults."""
KINDS = tuple(PARAMETERS)
MOST = 1e6
"""Largest factor or duration of bursts, and the inverse of their smallest share. A larger one is a typing error."""
LONGEST = 1e9
"""Longest schedule in seconds, about thirty years. In a longer one, 64-bit floats cannot resolve a microsecond."""


def arrivals(
    kind: str, rate: float, n: int, generator: np.random.Generator, parameters: Mapping[str, float | None] = {}
) -> NDArray[np.float64]:
    """Return the times of `n` arrivals at `rate` per second: float64 [n], ascending seconds from 0.

    `kind` is one of KINDS or the path of a log of arrivals. `parameters` may contain any of `parameters_of(kind)`;
    missing ones, and those that are None, have their defaults.

    Raises:
        UsageError: the kind is unknown, the rate is not a number above 0, `n` is below 1, the schedule would be longer
            than LONGEST, or a parameter is not valid.
        DataError: the log cannot be read; see `read_arrivals`.
    """
    used = _with_defaults(kind, parameters)
    if is_log(kind):
        return replayed(read_arrivals(Path(kind)).times, rate, n, generator)
    if kind == "poisson":
        return poisson(rate, n, generator)
    if kind == "constant":
        return constant(rate, n)
    return bursts(rate, n, generator, **used)


def parameters_of(kind: str) -> Mapping[str, float]:
    """Return the parameters of a kind of arrivals, with defaults; a log has none.

    Raises:
        UsageError: the kind is unknown.
    """
    if is_log(kind):
        return {}
    if kind == "closed":
        raise UsageError(
            "there is no closed loop, in which a late answer delays the next request and so hides what it costs: use "
            f"{', '.join(KINDS[:-1])} or {KINDS[-1]}, or give the path of a file of times"
        )
    if kind not in PARAMETERS:
        others = f"give the path of a file of times, such as ./{kind}, or one of"
        raise UsageError(f"there are no arrivals called {kind!r}{nearest(kind, KINDS, others)}")
    return PARAMETERS[kind]


def is_log(kind: str) -> bool:
    """Return whether a kind of arrivals is the path of a log: it has a dot or a slash."""
    return "." in kind or os.sep in kind


def facts_of(kind: str, parameters: Mapping[str, float | None] = {}) -> dict[str, Any] | None:
    """Return what a run records about its arrivals, as plain JSON values: facts about the log, or all parameters.

    None if they are of a kind that has no parameters. `parameters` are those of `arrivals`.
    """
    if not is_log(kind):
        used = _with_defaults(kind, parameters)
        return {"parameters": used} if used else None
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


def bursts(
    rate: float, n: int, generator: np.random.Generator, burst_factor: float, burst_share: float, burst_for: float
) -> NDArray[np.float64]:
    """Return `n` arrivals of a Poisson process whose rate alternates between two values, with a mean of `rate`.

    In a burst the rate is `burst_factor` times that between bursts. A burst lasts `burst_for` seconds on average, and
    bursts make up a share of `burst_share` of the time; all lengths are exponentially distributed. The first arrival
    may be in a burst. This is the Markov-modulated Poisson process with two states (Fischer and Meier-Hellstern,
    "The Markov-modulated Poisson process (MMPP) cookbook", Performance Evaluation 18, 1993).

    Another rate or factor does not change when bursts are, and fewer arrivals are the first of more.

    Raises:
        UsageError: a parameter is not valid, a burst would have less than one request on average, or the schedule would
            be longer than LONGEST.
    """
    _check(rate, n)
    if not 1 <= burst_factor <= MOST:
        raise UsageError(f"--burst-factor must be a number from 1 to {MOST:,.0f}, not {burst_factor:g}")
    if not 1 / MOST <= burst_share < 1:
        raise UsageError(f"--burst-share must be a share of the time from {1 / MOST:g} to below 1, not {burst_share:g}")
    if not 0 < burst_for <= MOST:
        raise UsageError(f"--burst-for must be a number of seconds above 0, at most {MOST:,.0f}, not {burst_for:g}")
    calm = rate / (1 + burst_share * (burst_factor - 1))
    if burst_factor > 1 and calm * burst_factor * burst_for < 1:
        raise UsageError(
            f"a burst of {burst_for:g} s has less than one request at {calm * burst_factor:.3g} requests a second: "
            "raise --burst-for, --burst-factor or the load"
        )
    periods = np.random.default_rng(int(generator.integers(2**63)))
    needed = np.cumsum(generator.standard_exponential(n))  # arrivals at a rate of 1
    if burst_factor == 1:
        return needed / rate
    first = int(periods.random() >= burst_share)  # 0: a burst
    lengths = (burst_for, burst_for * (1 - burst_share) / burst_share)
    rates = (calm * burst_factor, calm)
    drawn, ends, expected = np.zeros(0), np.zeros(1), np.zeros(1)  # ends of periods, and arrivals expected until then
    while expected[-1] <= needed[-1]:
        more = 2 * (needed[-1] - expected[-1]) / rate * burst_share / burst_for
        drawn = np.append(drawn, periods.standard_exponential(math.ceil(more) + 10))
        kinds = (first + np.arange(len(drawn))) % 2
        seconds = drawn * np.take(lengths, kinds)
        ends = np.append(0.0, np.cumsum(seconds))
        expected = np.append(0.0, np.cumsum(seconds * np.take(rates, kinds)))
    times: NDArray[np.float64] = np.interp(needed, expected, ends)
    _check_length(float(times[-1]), n, rate)
    return times


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


def _with_defaults(kind: str, parameters: Mapping[str, float | None]) -> dict[str, float]:
    """Return the parameters of a kind of arrivals: those given, and the defaults of the others."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return {name: given.get(name, default) for name, default in parameters_of(kind).items()}


def _check(rate: float, n: int) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"the arrival rate must be above 0 requests a second, not {rate}")
    if n < 1:
        raise UsageError(f"a run needs at least 1 request, not {n}")
    _check_length(n / rate, n, rate)


def _check_length(seconds: float, n: int, rate: float) -> None:
    if seconds > LONGEST:
        long = f"{n:,} requests take more than thirty years at {rate:.3g} a second"
        raise UsageError(f"{long}: raise --rate or --utilisation")

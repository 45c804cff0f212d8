"""Options that are fitted to a recorded run: `--hedge-delay fit` becomes a delay and a probability.

The log is a run directory. What counts in it are the latencies of requests that nothing sped up: those of its scheme
`none`, or of its first scheme, without the warm-up, over all runs; a request that failed was slower than any other.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collagebench.config import SchemeConfig
from collagebench.errors import DataError, UsageError
from collagebench.results.reader import load
from collagebench.schemes import make
from collagebench.schemes.single_r import fit

FIT = "fit"
LOG = "hedge_log"
"""The option that names the run; the scheme itself does not take it."""
PERCENTILE = 0.99
LATENCIES_AT_LEAST = 500
"""Five beyond the percentile: fewer say nothing about it."""


def resolve_fits(scheme: SchemeConfig) -> SchemeConfig:
    """Return the scheme with `fit` replaced by numbers, or as it is when it asks for no fit.

    Raises:
        UsageError: the fit lacks its log or its budget, an option contradicts it, or the log is unfit for it.
    """
    options = dict(scheme.options)
    log = options.pop(LOG, None)
    if options.get("hedge_delay") != FIT:
        if log is not None:
            raise UsageError(f"--hedge-log of scheme {scheme.variant} is used only with --hedge-delay fit")
        return scheme
    if scheme.name != "hedge":
        raise UsageError(f"--hedge-delay fit is for the scheme hedge: give {scheme.variant} seconds or a percentile")
    make(scheme.name, {**options, "hedge_delay": 0.0})  # says what is wrong with the others, if anything is
    if not isinstance(log, str):
        raise UsageError("--hedge-delay fit needs the run to fit to: name its directory with --hedge-log")
    if options.get("hedge_budget") is None:
        raise UsageError("--hedge-delay fit needs the share of requests that may be hedged: set it with --hedge-budget")
    if "hedge_probability" in options:
        raise UsageError("--hedge-delay fit also chooses the probability: leave --hedge-probability out")
    # The budget is the average that the fit keeps to: as a limit on every window besides, it would hold back copies
    # that happen to come close together, and these are the requests that set the tail.
    delay, probability = fit(latencies(Path(log)), float(options.pop("hedge_budget")), PERCENTILE)
    options.update(hedge_delay=delay, hedge_probability=probability)
    return replace(scheme, options=tuple(sorted(options.items())))


def latencies(directory: Path) -> NDArray[np.float64]:
    """Return the latencies, in seconds, that a run recorded without redundancy; infinite where a request failed.

    Raises:
        UsageError: it is no run directory, or it holds too few.
    """
    try:
        run = load(directory)
    except DataError as error:
        raise UsageError(f"--hedge-log: {error}") from None
    plain = [variant for variant in run.variants if run.scheme(variant).get("scheme") == "none"]
    requests = run.of([*plain, *run.variants][0]).requests if run.variants else run.requests
    found = requests["latency"][~requests["warmup"]]
    if len(found) < LATENCIES_AT_LEAST:
        raise UsageError(
            f"--hedge-log {directory} holds {len(found)} latencies after the warm-up: fitting a p99 takes at least "
            f"{LATENCIES_AT_LEAST}"
        )
    return np.where(np.isnan(found), np.inf, found)

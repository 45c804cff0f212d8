"""Options that are fitted to a recorded run: `--hedge-delay fit` becomes a delay and a probability.

The log is a run directory. The fit uses the latencies of its scheme `none`, or of its first scheme if there is no
`none`, over all runs and without the warm-up. A failed request has an infinite latency.
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
"""The option that names the run; it is removed before the scheme is created."""
PERCENTILE = 0.99
LATENCIES_AT_LEAST = 500
"""So that five latencies are beyond the percentile; fewer do not determine it."""


def resolve_fits(scheme: SchemeConfig) -> SchemeConfig:
    """Return the scheme with `fit` replaced by numbers; without `fit`, return it unchanged.

    Raises:
        UsageError: the log or the budget is missing, an option contradicts the fit, or the log cannot be used.
    """
    options = dict(scheme.options)
    log = options.pop(LOG, None)
    if options.get("hedge_delay") != FIT:
        if log is not None:
            raise UsageError(f"--hedge-log of scheme {scheme.variant} is used only with --hedge-delay fit")
        return scheme
    if scheme.name != "hedge":
        raise UsageError(f"--hedge-delay fit is for the scheme hedge: give {scheme.variant} seconds or a percentile")
    make(scheme.name, {**options, "hedge_delay": 0.0})  # checks the other options
    if not isinstance(log, str):
        raise UsageError("--hedge-delay fit needs the run to fit to: name its directory with --hedge-log")
    if options.get("hedge_budget") is None:
        raise UsageError("--hedge-delay fit needs the share of requests that may be hedged: set it with --hedge-budget")
    if "hedge_probability" in options:
        raise UsageError("--hedge-delay fit also chooses the probability: leave --hedge-probability out")
    # The fit keeps to the budget on average, so the scheme gets no budget: as a limit on every window it would delay
    # copies that happen to come close together, and their requests determine the tail.
    delay, probability = fit(latencies(Path(log)), float(options.pop("hedge_budget")), PERCENTILE)
    options.update(hedge_delay=delay, hedge_probability=probability)
    return replace(scheme, options=tuple(sorted(options.items())))


def latencies(directory: Path) -> NDArray[np.float64]:
    """Return the latencies that a run recorded without redundancy, in seconds; infinite for failed requests.

    Raises:
        UsageError: it is not a run directory, or it holds too few latencies.
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

"""Notes on the load: how busy workers were, and whether as busy as intended."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from collagebench.results.reader import Run
from collagebench.statistics.in_vain import sent_again
from collagebench.statistics.intervals import half_width
from collagebench.statistics.quantiles import requests_needed
from collagebench.statistics.strain import strained
from collagebench.stragglers.causes import NATURAL

UNSEEN = 0.05
"""If more than this share of the requests is sent again after the last arrival, the load before that was too low."""
LOAD = 0.1
"""The share by which the mean service time may differ from the expected one."""
UNEVEN = 0.14
"""If the mean gap between arrivals is known only to this share of it (Student's t over the runs), the runs met too few
bursts."""
CHANCE = 2.0
"""The mean gaps of the runs of a log must vary this many times as much as those of independent gaps would."""


def saturation(run: Run, variant: str) -> list[str]:
    """Report the roles of a scheme whose workers were busy nearly all the time."""
    return [
        f"{variant}: its {role} workers were busy {100 * busy:.0f} % of the time while tasks waited, so latencies "
        "depend on the length of the run: lower --utilisation or --rate, or give it more workers."
        for role, busy in strained(run, variant).items()
    ]


def after_the_end(run: Run, variant: str) -> list[str]:
    """Report that most requests with lost replies were sent again too late to be a load on the others."""
    mine, deadline = run.of(variant), run.config.get("deadline")
    again, late = sent_again(mine)
    of = len(mine.requests["arrival"])
    if not deadline or late <= UNSEEN * of or 2 * late <= again:
        return []
    return [
        f"{variant}: {late} of {of} requests were sent again only after the last arrival, because a reply was lost, so "
        f"no request queued behind them. A longer run would be busier: lower --deadline ({deadline:g} s), or raise "
        "--requests."
    ]


def other_load(run: Run) -> list[str]:
    """Report that the load before redundancy, measured in a scheme without any, was not the intended one."""
    reckoned = run.service
    plain = next((name for name in run.variants if run.scheme(name).get("scheme") in ("none", "equal")), None)
    mean, load = reckoned.get("mean_s"), reckoned.get("utilisation")
    if not (plain and mean and load):
        return []
    service = run.of(plain).tasks["service"]
    service = service[~np.isnan(service)]
    if not len(service) or abs(float(service.mean()) - mean) <= LOAD * mean:
        return []
    took = float(service.mean())
    if f"{load * took / mean:.2f}" == f"{load:.2f}" or run.config.get("stragglers") in NATURAL:
        return []
    less = took < mean
    why = (
        "workers that stay slow are sent fewer requests, and the rarest slowdowns may not have occurred"
        if less
        else "rare slowdowns came up more often than on average, or the machine itself was slow"
    )
    return [
        f"the load before redundancy was {load * took / mean:.2f}, not {load:.2f}, because services took "
        f"{1e3 * took:.3g} ms on average instead of {1e3 * mean:.3g} ({why}): {'raise' if less else 'lower'} "
        f"--{'rate' if run.config.get('rate') else 'utilisation'}, or raise --requests, to compare at the intended "
        "load."
    ]


def few_bursts(run: Run) -> list[str]:
    """Report that the runs met too few bursts, drawn or of a log, for their intervals.

    Then the load is uneven over runs, and a p99 is that of the few runs with the worst bursts. With a log in periods of
    two seconds, one in five of which was five times as busy as the others, 86 to 92 % of the intervals from the
    variation at the p99 alone held the true value instead of 95 where the mean load of ten runs was known to a fifth,
    and 93 to 94 % where it was known to a tenth. With `bursts` it was 90 to 95 % where it was known to a sixth; those
    that also consider a lower quantile hold it in 95 to 100 % there (benchmarks/coverage.py). Poisson arrivals are even
    enough from some 300 requests on; fewer than `requests_needed` have a note of their own. As two or three runs know
    no mean load well, those of a log must also differ by more than independent gaps do.
    """
    met = next((mine for variant in run.variants if len((mine := run.of(variant)).cells)), None)
    facts = run.header.get("arrivals") or {}
    even = not facts or facts.get("parameters", {}).get("burst_factor") == 1
    if met is None or even or len(met.requests) < requests_needed(0.99):
        return []
    requests, gaps = met.requests, []
    for number in np.unique(requests["run"]):
        arrivals = requests["arrival"][requests["run"] == number]
        gaps.append(float(np.ptp(arrivals)) / max(len(arrivals) - 1, 1))
    mean = float(np.mean(gaps))
    error = half_width(gaps) or 0.0
    if error <= UNEVEN * mean:
        return []
    cause = "the runs met so few bursts that their mean load"
    if "parameters" not in facts:
        by_chance = mean / math.sqrt(max(len(requests) / len(gaps) - 1, 1))
        if float(np.std(gaps, ddof=1)) <= CHANCE * by_chance:
            return []
        log = Path(str(run.config.get("arrivals"))).name
        cause = f"the runs met different parts of {log}, whose load differs so much that its mean"
    return [
        f"{cause} is known only to ±{100 * error / mean:.0f} %, so intervals may be too narrow: raise --requests or "
        "--runs."
    ]

"""The tails of each scheme's latency as kept in a report, from which intervals of ratios can be computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from collagebench.statistics.intervals import Interval
from collagebench.statistics.latency import Latency
from collagebench.statistics.quantiles import QUANTILES
from collagebench.statistics.ratio import SHARES, Tail, along, tail


def tails(time: Latency) -> dict[str, Any]:
    """Return the tails of a scheme as JSON values, including infinite latencies."""
    runs, latencies = list(time.mean_by_run), along(time)
    known = {name: tail(time, name, runs) for name in QUANTILES if name in time.quantiles}
    return {
        "share": list(SHARES[: len(latencies)]),
        "latency_s": latencies,
        "quantiles": {
            name: one
            and {"share_ci95": list(one.share_ci95), "ends_s": list(one.ends), "share_by_run": list(one.above)}
            for name, one in known.items()
        },
    }


def ends_of(scheme: Mapping[str, Any], name: str) -> Interval | None:
    """Return the 95 % interval of a quantile in seconds, from a report's scheme; None if it is unknown.

    Unlike `ci95_s` of the report, it is also known if its upper end is infinite, because too many requests failed.
    """
    tail = tail_of(scheme, name)
    return None if tail is None else tail.ends


def tail_of(scheme: Mapping[str, Any], name: str) -> Tail | None:
    """Return the tail of a quantile from a report's scheme; None if it is unknown, or there are fewer than two runs."""
    kept = scheme["tail"]
    observed, one = scheme["latency_s"][name], kept["quantiles"].get(name)
    if observed is None or one is None:
        return None
    low, high = (math.inf if end is None else end for end in one["ends_s"])
    latencies = [math.inf if value is None else value for value in kept["latency_s"]]
    return Tail(observed, tuple(one["share_ci95"]), (low, high), one["share_by_run"], latencies)

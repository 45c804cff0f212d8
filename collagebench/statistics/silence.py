"""Where a host was not heard of for a while: a network that fails for seconds fails no task, but makes a tail.

The first reply after a silence was on its way for about as long as nothing came from its host. A link that is slow for
the whole run is something else, and so is a client that did not listen, or workers that are stopped on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import UsageError
from collagebench.hosts import Host, deal
from collagebench.results.reader import Run
from collagebench.stragglers.causes import NATURAL

SILENCE = 1.0
"""Seconds that no reply takes on its way, there and back, where the network works."""
USUAL = 0.5
"""Share of the cells above which a host's silence is what is usual on its link."""


def silences(run: Run) -> dict[str, dict[tuple[str, int], float]]:
    """Return the longest silence, in seconds, of each host that was silent, by the scheme and the run it was in."""
    if run.config.get("stragglers") in NATURAL:
        return {}
    found: dict[str, dict[tuple[str, int], float]] = {}
    for host, workers in _workers(run.config).items():
        silent = {
            (variant, number): seconds
            for variant in run.variants
            for number, seconds in _of_workers(run.of(variant), workers).items()
        }
        if 0 < len(silent) <= USUAL * len(run.cells):
            found[host] = silent
    return found


def _workers(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the workers of each host that SSH reaches; none where the records do not say whose they were."""
    if config.get("fleet") != "ssh":
        return {}
    try:
        hosts = [Host(host["address"], host.get("workers")) for host in config["host"]]
        dealt = deal(hosts, config["workers"])
    except (KeyError, UsageError):  # somebody has changed them
        return {}
    return {
        host.address: [worker for worker, owner in enumerate(dealt) if owner == place]
        for place, host in enumerate(hosts)
    }


def _of_workers(mine: Run, workers: Sequence[int]) -> dict[int, float]:
    """Return the longest silence of some workers in each run of one scheme that had one."""
    tasks, requests = mine.tasks, mine.requests
    way = tasks["ended"] - tasks["sent"] - tasks["queue"] - tasks["service"]
    heard = ~np.isnan(way) & ~tasks.equal("outcome", "dropped")  # a lost reply's end is its deadline
    replies = heard & np.isin(tasks["worker"], workers)
    late = requests["run"][requests["lag"] > SILENCE]
    found = {}
    for number in np.unique(tasks["run"][replies & (way > SILENCE)]).tolist():
        rows = np.flatnonzero(replies & (tasks["run"] == number))
        rows = rows[np.argsort(tasks["ended"][rows])]
        pauses: NDArray[np.float64] = np.diff(tasks["ended"][rows], prepend=0.0)
        longest = float(np.minimum(pauses, way[rows]).max())
        if longest > SILENCE and number not in late:
            found[number] = longest
    return found

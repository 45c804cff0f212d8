"""Hosts that were silent for a while: a network outage of seconds fails no task, but makes a tail.

The first reply after a silence was in transit for about as long as nothing came from its host. A link that is slow for
the whole run is not a silence, nor is a client that was late, nor workers that are stopped on purpose.
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
"""Seconds in transit, both ways together, that no reply takes while the network works."""
USUAL = 0.5
"""If a host is silent in more than this share of the cells, its link is usually slow."""


def silences(run: Run) -> dict[str, dict[tuple[str, int], float]]:
    """Return for each silent host its longest silence, in seconds, by scheme and run."""
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
    """Return the workers of each SSH host; empty if the records do not tell."""
    if config.get("fleet") != "ssh":
        return {}
    try:
        hosts = [Host(host["address"], host.get("workers")) for host in config["host"]]
        dealt = deal(hosts, config["workers"])
    except (KeyError, UsageError):  # the records were edited
        return {}
    return {
        host.address: [worker for worker, owner in enumerate(dealt) if owner == place]
        for place, host in enumerate(hosts)
    }


def _of_workers(mine: Run, workers: Sequence[int]) -> dict[int, float]:
    """Return the longest silence of some workers, for each run of one scheme with a silence."""
    tasks, requests = mine.tasks, mine.requests
    way = tasks["ended"] - tasks["sent"] - tasks["queue"] - tasks["service"]
    heard = ~np.isnan(way) & ~tasks.equal("outcome", "dropped")  # a lost reply ends at its deadline
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

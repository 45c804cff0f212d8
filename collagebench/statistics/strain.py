"""Whether the fleet, the client or the machine under them was at its limit.

A role's workers are saturated if they are busy nearly all the time while tasks wait for them: then latencies depend
more on the length of a run than on the scheme. The machine itself was the straggler of a task if inference, which is
not slowed on purpose, plus the excess of the delay over what was asked for, took more than twice the median service
time. With many such tasks, schemes are compared on how they cope with an overloaded computer.
"""

from __future__ import annotations

import numpy as np

from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.cost import served_while_arriving
from collagebench.statistics.quantiles import quantile

BUSY = 0.9
WAITING = 0.5
"""A queue counts from this mean wait on, in mean service times."""
CORE = 0.8
"""Share of a core that the client, mostly a single thread, may use."""
OWN_STRAGGLERS = 0.005
"""Share of all tasks: half of the share above the p99."""
TRANSPORT = 0.5
"""The p99 of transport may be up to this share of the median latency."""


def strained(run: Run, variant: str) -> dict[str, float]:
    """Return the busy share of each role of a scheme whose workers were busier than BUSY while tasks waited."""
    mine = run.of(variant)
    return saturated(mine.tasks, mine.requests, run.scheme(variant).get("allotment") or {})


def saturated(tasks: Table, requests: Table, allotment: dict[str, int]) -> dict[str, float]:
    """Return the busy share (see `busy_share`) of each role whose workers were busier than BUSY while tasks waited.

    Tasks of the single wait at their worker, or in a common queue for all workers if the scheme has one.
    """
    served, seconds = served_while_arriving(tasks, requests)
    found = {}
    before = requests["group"][requests.equal("source", "own") & ~np.isnan(requests["group"])]
    for role, workers in allotment.items():
        mine = tasks.equal("role", role) & ~np.isnan(tasks["service"])
        if not mine.any() or workers * seconds <= 0:
            continue
        service, waits = tasks["service"][mine], tasks["queue"][mine]
        busy = float(served[mine].sum()) / (workers * seconds)
        waited = float(np.nanmean(np.append(waits, 0.0))) + (
            float(before.mean()) if role == "single" and len(before) else 0.0
        )
        if busy > BUSY and waited > WAITING * float(service.mean()):
            found[role] = busy
    return found


def own_stragglers(tasks: Table) -> float | None:
    """Return the share of tasks whose straggler was the machine itself; None if it is too small to matter."""
    known = ~np.isnan(tasks["service"]) & ~np.isnan(tasks["compute"]) & ~np.isnan(tasks["wanted_s"])
    slow = served = 0
    for role in tasks.texts["role"]:
        mine = known & tasks.equal("role", role)
        if mine.any():
            late = np.maximum(tasks["service"][mine] - tasks["wanted_s"][mine], 0.0)
            limit = 2 * float(np.median(tasks["service"][mine]))
            slow += int((tasks["compute"][mine] + late > limit).sum())
            served += int(mine.sum())
    return slow / served if served and slow / served > OWN_STRAGGLERS else None


def client_share(cells: Table) -> float | None:
    """Return the share of one core that the client used; None if it is unknown, or not too much."""
    known = ~np.isnan(cells["client_cpu"])
    seconds = float(cells["duration"][known].sum())
    share = float(cells["client_cpu"][known].sum()) / seconds if seconds > 0 else 0.0
    return share if share > CORE else None


def slow_transport(requests: Table) -> float | None:
    """Return the p99 of transport, in seconds, if it is large relative to the median latency, else None."""
    counted = ~requests["warmup"] & ~np.isnan(requests["latency"]) & ~np.isnan(requests["transport"])
    if not counted.any():
        return None
    transport = quantile(np.sort(requests["transport"][counted]), 0.99)
    return transport if transport > TRANSPORT * quantile(np.sort(requests["latency"][counted]), 0.5) else None

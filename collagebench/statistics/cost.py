"""What a scheme spent, what of it was of use, and what came out per second.

Spending covers whole cells, warm-up included, because a task belongs to no one request. A task is executed once its
service began: an inference is never interrupted. It is wasted when no request was answered from it. A task that was
taken back before service cost nothing but its bytes (a worker may have begun it in the instant before it hears of that;
what it then does is not known here); how long it would have taken is known only where workers do not compute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.results.reader import EMPTY, Table


@dataclass(frozen=True, slots=True)
class Cost:
    """Worker time in seconds and bytes, over all complete runs of one scheme."""

    tasks: int
    executed_s: float | None
    """Service time of all tasks that workers reported, wasted ones included; None where none reported any, as servers
    that are not ours."""
    wasted_s: float | None
    """The part of it in tasks that no request was answered from."""
    cancelled_in_service_tasks: int
    """Not needed any more while they were being served; they ran to their end."""
    cancelled_in_service_s: float | None
    """Their service time, a part of the wasted."""
    cancelled_tasks: int
    """Taken back before service."""
    cancelled_s: float | None
    """Service time that cancelling saved: 0 if nothing was cancelled, None if it is not known of every such task."""
    unreported_tasks: int
    """Sent and not cancelled, but no service time came back (the worker was lost, or the deadline passed)."""
    bytes_sent: int | None
    """None where nothing is sent."""


def cost(tasks: Table) -> Cost:
    """Return the cost of one scheme's tasks."""
    service = tasks["service"]
    reported = ~np.isnan(service)
    cancelled, in_service = tasks.equal("outcome", "cancelled"), tasks.equal("outcome", "cancelled in service")
    saved = tasks["wanted_s"][cancelled]
    sent = tasks["bytes_sent"][tasks["bytes_sent"] >= 0]
    silent = len(tasks) > 0 and not reported.any()

    def seconds(of: NDArray[np.bool_]) -> float | None:
        return None if silent else float(service[reported & of].sum())

    return Cost(
        tasks=len(tasks),
        executed_s=seconds(reported),
        wasted_s=seconds(~tasks.equal("outcome", "used")),
        cancelled_in_service_tasks=int(in_service.sum()),
        cancelled_in_service_s=seconds(in_service),
        cancelled_tasks=int(cancelled.sum()),
        cancelled_s=None if np.isnan(saved).any() else float(saved.sum()),
        unreported_tasks=int((~reported & ~cancelled).sum()),
        bytes_sent=int(sent.sum()) if len(sent) else None,
    )


def busy_share(tasks: Table, cells: Table, workers: int) -> float | None:
    """Return the share of the workers' time that was spent in service, redundancy included; None without cells."""
    seconds, executed = workers * float(cells["duration"].sum()), cost(tasks).executed_s
    return executed / seconds if seconds > 0 and executed is not None else None


def goodput(requests: Table, slo_s: float | None, sampled: bool = False) -> float | None:
    """Return answers per second that are right and, given an SLO, not later than `slo_s` seconds; warm-up left out.

    Each run counts from its first intended arrival to its last, and `slo_s` seconds longer, when that may still be
    answered in time: as long for every scheme that met these arrivals, whatever it lost or was late with. None when an
    answer's class is not known, unless those that are known were drawn at random (`sampled`): the others are then taken
    to be like them.
    """
    counted = requests.where(~requests["warmup"])
    answered = ~np.isnan(counted["latency"])
    known = answered & (counted["predicted"] != EMPTY)
    if not known.any() or (not sampled and known.sum() < answered.sum()):
        return None
    good = known & (counted["predicted"] == counted["label"])
    if slo_s is not None:
        good &= np.nan_to_num(counted["latency"], nan=np.inf) <= slo_s
    seconds = 0.0
    for run in np.unique(counted["run"]):
        mine = counted["run"] == run
        arrivals = counted["arrival"][mine]
        seconds += float(arrivals.max() - arrivals.min()) + (slo_s or 0.0)
    return float(good.sum() * (answered.sum() / known.sum()) / seconds) if seconds > 0 else None

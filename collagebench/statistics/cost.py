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

from collagebench.results.table import EMPTY, Table
from collagebench.statistics.intervals import Interval, around


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


def busy_share(tasks: Table, requests: Table, workers: int) -> float | None:
    """Return the share of the workers' time that was spent in service, redundancy included.

    That is from the first intended arrival of each run to the last: what is still served or waited for after that, such
    as a lost reply until its deadline, says nothing about the load. None where no span or no service is known.
    """
    served, seconds = served_while_arriving(tasks, requests)
    return float(np.nansum(served)) / (workers * seconds) if seconds > 0 and not np.isnan(served).all() else None


def served_while_arriving(tasks: Table, requests: Table) -> tuple[NDArray[np.float64], float]:
    """Return the seconds of each task's service while requests arrived in its run, and of their arriving in all runs.

    NaN of a task whose service is not known.
    """
    runs, of = np.unique(requests["run"], return_inverse=True)
    first, last = np.full(len(runs), np.inf), np.full(len(runs), -np.inf)
    np.minimum.at(first, of, requests["arrival"])
    np.maximum.at(last, of, requests["arrival"])
    if not len(runs):
        return np.full(len(tasks), np.nan), 0.0
    mine = np.minimum(np.searchsorted(runs, tasks["run"]), len(runs) - 1)
    begun = tasks["sent"] + np.nan_to_num(tasks["queue"])
    inside = np.minimum(begun + tasks["service"], last[mine]) - np.maximum(begun, first[mine])
    return np.where(np.isnan(tasks["service"]), np.nan, np.maximum(inside, 0.0)), float((last - first).sum())


def goodput(requests: Table, slo_s: float | None, sampled: bool = False) -> float | None:
    """Return answers per second that are right and, given an SLO, not later than `slo_s` seconds; warm-up left out.

    Each run counts from its first intended arrival to its last, and `slo_s` seconds longer, when that may still be
    answered in time: as long for every scheme that met these arrivals, whatever it lost or was late with. None when an
    answer's class is not known, unless those that are known were drawn at random (`sampled`): the others are then taken
    to be like them.
    """
    share, seconds = _good(requests, slo_s, sampled), _seconds(requests, slo_s)
    return None if share is None or seconds == 0 else share * int((~requests["warmup"]).sum()) / seconds


def goodput_ci95(requests: Table, slo_s: float | None, sampled: bool = False) -> Interval | None:
    """Return the 95 % interval of `goodput`, from the scatter of the runs' shares of such answers.

    How fast requests arrived, which differs from run to run too, is the same for every scheme and no part of it. None
    with fewer than 2 runs, or where a run's share is not known.
    """
    runs = [requests.where(requests["run"] == run) for run in np.unique(requests["run"])]
    shares = [_good(run, slo_s, sampled) for run in runs]
    known = [share for share in shares if share is not None]
    overall, together = goodput(requests, slo_s, sampled), _good(requests, slo_s, sampled)
    if overall is None or not together or len(known) < len(shares):
        return None
    ends = around(overall, [share * overall / together for share in known])
    return ends and (ends[0], min(ends[1], overall / together))  # which is if all of them were right in time


def _good(requests: Table, slo_s: float | None, sampled: bool) -> float | None:
    """Return the share of requests with a right answer in time, None where there are none or classes are not known."""
    counted = requests.where(~requests["warmup"])
    answered = ~np.isnan(counted["latency"])
    if not answered.any():
        return 0.0 if len(counted) else None
    known = answered & (counted["predicted"] != EMPTY)
    if not known.any() or (not sampled and known.sum() < answered.sum()):
        return None
    good = known & (counted["predicted"] == counted["label"])
    if slo_s is not None:
        good &= np.nan_to_num(counted["latency"], nan=np.inf) <= slo_s
    return float(good.sum() * (answered.sum() / known.sum()) / len(counted))


def _seconds(requests: Table, slo_s: float | None) -> float:
    """Return how long requests arrived for, and `slo_s` longer, in all runs."""
    counted = requests.where(~requests["warmup"])
    seconds = 0.0
    for run in np.unique(counted["run"]):
        arrivals = counted["arrival"][counted["run"] == run]
        seconds += float(arrivals.max() - arrivals.min()) + (slo_s or 0.0)
    return seconds

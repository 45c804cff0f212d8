"""Cost of a scheme (executed, wasted and cancelled work), and its goodput.

Costs cover whole cells, warm-up included, because a task does not belong to a single request. A task counts as executed
once its service has begun, as an inference is never interrupted. It is wasted if no request is answered from it. A task
that is cancelled before service costs only its bytes. (A worker may have begun it just before it learns of the
cancellation; that work is unknown here.) The service time that cancelling saved is known only if workers do not
compute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.results.table import EMPTY, Table
from collagebench.statistics.intervals import Interval, of_share


@dataclass(frozen=True, slots=True)
class Cost:
    """Worker time in seconds and bytes, over all complete runs of one scheme."""

    tasks: int
    executed_s: float | None
    """Service time of all tasks for which workers reported it, wasted ones included; None if they reported none, as
    foreign servers do."""
    wasted_s: float | None
    """The part of `executed_s` in tasks that no request was answered from."""
    cancelled_in_service_tasks: int
    """Tasks no longer needed while they were being served; they ran to their end."""
    cancelled_in_service_s: float | None
    """Their service time, a part of `wasted_s`."""
    cancelled_tasks: int
    """Tasks cancelled before service."""
    cancelled_s: float | None
    """Service time that cancelling saved: 0 if nothing was cancelled, None if it is unknown for any such task."""
    unreported_tasks: int
    """Tasks sent and not cancelled, but without a service time (the worker was lost, or the deadline passed)."""
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

    It covers the time from the first intended arrival of each run to the last. Service or waiting after that, such as
    for a lost reply until its deadline, says nothing about the load. None if that time is 0, or no service is known.
    """
    served, seconds = served_while_arriving(tasks, requests)
    return float(np.nansum(served)) / (workers * seconds) if seconds > 0 and not np.isnan(served).all() else None


def served_while_arriving(tasks: Table, requests: Table) -> tuple[NDArray[np.float64], float]:
    """Return each task's seconds of service during its run's arrivals, and the seconds of arrivals in all runs.

    A task without a known service time has NaN.
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
    """Return right answers per second, given an SLO only those within `slo_s` seconds, without the warm-up.

    A run's time is from its first intended arrival to its last plus `slo_s`, when the last may still be answered in
    time. So it is the same for every scheme with these arrivals, whatever it lost or delayed. None if the class of any
    answer is unknown, unless the known ones were drawn at random (`sampled`): then the others in time are taken to be
    right as often as they.
    """
    share, rate = _good(requests, slo_s, sampled), _rate(requests, slo_s)
    return None if share is None or rate is None else share * rate


def goodput_ci95(requests: Table, slo_s: float | None, sampled: bool = False) -> Interval | None:
    """Return the 95 % interval of `goodput`, from the variation of the share of such answers between runs.

    It is at least as wide as if requests were independent, or the sampled ones if only those are classified. The
    arrival rate, which also varies between runs, is the same for every scheme, and so is not part of it. None with
    fewer than 2 runs, or if a run's share is unknown.
    """
    counted = requests.where(~requests["warmup"])
    runs = [counted.where(counted["run"] == run) for run in np.unique(counted["run"])]
    shares = [share for run in runs if (share := _good(run, slo_s, sampled)) is not None]
    together, rate = _good(requests, slo_s, sampled), _rate(requests, slo_s)
    if together is None or rate is None or len(shares) < len(runs):
        return None
    settled = np.isnan(counted["latency"]) | (counted["predicted"] != EMPTY)
    ends = of_share(together, shares, [len(run) for run in runs], int(settled.sum()))
    return ends and (ends[0] * rate, ends[1] * rate)


def _good(requests: Table, slo_s: float | None, sampled: bool) -> float | None:
    """Return the share of requests with a right answer in time; None without requests or if classes are unknown.

    It is the share in time, of all requests, times the share of right answers among those in time that are classified.
    """
    counted = requests.where(~requests["warmup"])
    answered = ~np.isnan(counted["latency"])
    if not answered.any():
        return 0.0 if len(counted) else None
    known = answered & (counted["predicted"] != EMPTY)
    if not known.any() or (not sampled and known.sum() < answered.sum()):
        return None
    in_time = answered if slo_s is None else np.nan_to_num(counted["latency"], nan=np.inf) <= slo_s
    asked = known & in_time if (known & in_time).any() else known  # a sample may hold only late ones
    right = asked & (counted["predicted"] == counted["label"])
    return float(in_time.sum() / len(counted) * (right.sum() / asked.sum()))


def _rate(requests: Table, slo_s: float | None) -> float | None:
    """Return the requests per second of arrivals plus `slo_s`, over all runs; None if that time is 0."""
    counted = requests.where(~requests["warmup"])
    seconds = 0.0
    for run in np.unique(counted["run"]):
        arrivals = counted["arrival"][counted["run"] == run]
        seconds += float(arrivals.max() - arrivals.min()) + (slo_s or 0.0)
    return len(counted) / seconds if seconds else None

"""The figures by which a recommendation judges a scheme, from the summaries of its experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from collagebench.config import SchemeConfig
from collagebench.report.summary import LOST, failing
from collagebench.report.tails import tail_of
from collagebench.report.verdict import by_single
from collagebench.statistics.intervals import half_width
from collagebench.statistics.notes.sample import few_fleets
from collagebench.study.candidates import NONE
from collagebench.study.points import of_scheme
from collagebench.study.wishes import Candidate, Figures, Wishes

Summary = Mapping[str, Any]


def candidate_of(scheme: SchemeConfig, summaries: Sequence[Summary], wishes: Wishes) -> Candidate:
    """Return a scheme's figures as a candidate, from the summaries of its experiments, one for each load."""
    at = tuple(_figures(scheme.variant, summary, wishes.quantile) for summary in summaries)
    return Candidate(scheme.variant, scheme.name, dict(scheme.options), at)


def _figures(variant: str, summary: Summary, quantile: str) -> Figures:
    one = of_scheme(summary, variant)
    latency, interval = one["latency_s"][quantile], one["ci95_s"][quantile]
    at_least = one["latency_at_least_s"][quantile]
    own, plain = (_right(summary, name) for name in (variant, NONE.variant))
    lost = plain - own if own is not None and plain is not None else None
    against = one["versus"]["accuracy"] if one["versus"] else None
    failed = _failed_more(one, of_scheme(summary, NONE.variant))
    ends = one["accuracy"]["ci95"]
    unsteady = [reason for reason in summary["reasons"] if reason.startswith(f"{variant}: ")]
    if failing(one) == LOST:  # its latency is infinite then, which is reason enough
        unsteady = [reason for reason in unsteady if reason not in one["unstable"]]
    if few_fleets(summary["stragglers"] or {}, summary["config"]["workers"], one["runs"]):
        interval = None  # too narrow: with few fleets, the random choice of machines matters more
    return Figures(
        latency=latency if latency is not None else inf if at_least is None else at_least,
        low=interval[0] if interval else 0.0,
        high=interval[1] if interval else inf,
        by_run=tuple(inf if value is None else value for value in one["by_run"].get(f"{quantile}_s", ())),
        tail=tail_of(one, quantile),
        bounded=at_least is None,
        accuracy=own,
        lost=lost,
        work=one["relative"]["executed"] if one["versus"] or variant == NONE.variant else None,
        unsteady=unsteady[0].removeprefix(f"{variant}: ") if unsteady else None,
        accuracy_low=own - _uncertain(own, one, ends) if own is not None and ends else None,
        lost_high=lost if lost is None or one["versus"] is None else _at_most(lost, one, against, failed),
    )


def _uncertain(own: float, one: dict[str, Any], ends: Sequence[float]) -> float:
    """Return how far below `own`, its share of right answers, that of a scheme may be; `ends` are of its accuracy."""
    below = float(one["accuracy"]["overall"] - ends[0])
    rate, rates = one["goodput_rps"], one["goodput_ci95_rps"]
    if not (one["failed"] and rate and rates):
        return below
    return max(below, own * float(1 - rates[0] / rate))  # how many requests fail is a matter of chance, too


def _at_most(lost: float, one: dict[str, Any], against: dict[str, Any] | None, failed: float) -> float:
    """Return the upper end of the interval of a scheme's loss.

    `against` compares its answers with no redundancy's; `failed` is the possible error of how many more of its requests
    fail. The two errors are independent.
    """
    if by_single(one) and not (against and against["won"] + against["lost"]):
        return lost + failed  # the same model answers, and no answer differs
    if against is None:
        return 1.0  # no request has a known answer from both
    return lost + math.hypot(against["difference"] - against["ci95"][0], failed)


def _failed_more(one: dict[str, Any], plain: dict[str, Any]) -> float:
    """Return half the 95 % interval of the difference between the shares of failed requests, from the runs of both."""
    own, other = (dict(zip(of["run"], of["failed_share"], strict=True)) for of in (one["by_run"], plain["by_run"]))
    return half_width([own[run] - other[run] for run in own.keys() & other.keys()]) or 0.0


def _right(summary: Summary, variant: str) -> float | None:
    """Return the share of all requests that are answered correctly; None if unknown. No answer counts as wrong."""
    one = of_scheme(summary, variant)
    overall = one["accuracy"]["overall"]
    return None if overall is None else float(overall * (1 - one["failed"] / one["requests"]))

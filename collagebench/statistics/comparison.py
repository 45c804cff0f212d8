"""Every scheme of a run against one baseline: p50, p99 and mean of latency, and accuracy.

Holm's correction is over the schemes, separately for each of the four figures. A scheme and the baseline are compared
over the runs that both have; other runs are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.intervals import Interval, around_ratio
from collagebench.statistics.latency import Latency, latency
from collagebench.statistics.matched import Matched, match
from collagebench.statistics.notes.sample import few_fleets
from collagebench.statistics.paired import LEVEL, holm, paired
from collagebench.statistics.ratio import ratio_ci95, tail
from collagebench.statistics.runs_needed import runs_needed

FIGURES = ("p50", "p99", "mean", "accuracy")
MINIMUM_EFFECT = {"latency": 0.05, "accuracy": 0.005}
"""Smaller differences are never called real, however certain. The slower must exceed the faster by more than this share
of the faster; the accuracies must differ by more than this share of the requests."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of a scheme minus that of the baseline."""

    value: float
    """Seconds (the mean over the runs), or a share of requests."""
    ratio: float | None
    """Figure of the scheme / figure of the baseline, all runs together; None for accuracy."""
    ratio_ci95: Interval | None
    """95 % interval of `ratio`: for quantiles from both intervals and their correlation, for means from the runs' own
    ratios; None if an end is 0 or infinite."""
    ci95: Interval
    """95 % interval of `value`."""
    p: float
    p_holm: float
    """`p` after Holm's correction over the schemes."""
    real: bool
    """Significant at 5 % after the correction, larger than the minimum effect, and with a ratio whose interval leaves
    out 1."""
    runs_needed: int | None = None
    """Runs after which a latency that differs as much as measured will probably be called real; None if it is already,
    or if that cannot be told (see the function `runs_needed`)."""


@dataclass(frozen=True, slots=True)
class Versus:
    """A scheme against the baseline; an unknown difference is None."""

    baseline: str
    runs: int
    """Runs that both have."""
    left_out: int
    """Runs that only one of them has."""
    figures: Mapping[str, Difference | None]
    """By name, as in FIGURES."""
    answers: Matched
    """The pairs of answers behind the difference in accuracy."""


def compare(run: Run, times: Mapping[str, Latency], baseline: str) -> dict[str, Versus]:
    """Compare every other scheme with the baseline; `times` holds the latency of every scheme of `run`."""
    found = {name: _against(run, times, name, baseline) for name in times if name != baseline}
    for figure in FIGURES:
        names = [name for name in found if found[name].figures[figure] is not None]
        known = [difference for name in names if (difference := found[name].figures[figure]) is not None]
        corrected = _corrected(known)
        open_ = sum(not difference.real for difference in corrected)
        for name, difference in zip(names, corrected, strict=True):
            runs = found[name].runs
            # With few fleets, intervals are too narrow to plan with, and a note asks for more runs.
            few = few_fleets(run.stragglers, run.config.get("workers") or 1, runs)
            planned = difference if few else _planned(difference, runs, open_)
            found[name] = replace(found[name], figures={**found[name].figures, figure: planned})
    return found


def _against(run: Run, times: Mapping[str, Latency], name: str, baseline: str) -> Versus:
    own, other = run.of(name).requests, run.of(baseline).requests
    own_time, other_time = times[name], times[baseline]
    mine, theirs = set(own_time.mean_by_run), set(other_time.mean_by_run)
    shared = sorted(mine & theirs)
    if mine != theirs:
        own, other = _of_runs(own, shared), _of_runs(other, shared)
        own_time, other_time = latency(own), latency(other)
    figures = {figure: _slower(figure, own_time, other_time, shared) for figure in FIGURES[:-1]}
    answers = match(own, other)
    return Versus(
        baseline=baseline,
        runs=len(shared),
        left_out=len(mine ^ theirs),
        figures={**figures, "accuracy": _righter(answers)},
        answers=answers,
    )


def _slower(figure: str, own: Latency, other: Latency, runs: Sequence[int]) -> Difference | None:
    """Return the difference of a figure of latency, before Holm's correction; None if a scheme lacks the figure."""
    one, two = own.quantiles.get(figure), other.quantiles.get(figure)
    if figure == "mean":
        own_value, other_value, own_runs, other_runs = own.mean, other.mean, own.mean_by_run, other.mean_by_run
    elif one and two:
        own_value, other_value, own_runs, other_runs = one.known, two.known, one.by_run, two.by_run
    else:
        return None
    if own_value is None or other_value is None:
        return None
    mine, theirs = [own_runs[run] for run in runs], [other_runs[run] for run in runs]
    pair = paired(mine, theirs)
    if pair is None or own_value <= 0 or other_value <= 0:
        return None
    ratio = own_value / other_value
    if one and two:
        tails = tail(own, figure, runs), tail(other, figure, runs)
        ends = ratio_ci95(tails[0], tails[1]) if tails[0] and tails[1] else None
    else:
        ends = around_ratio(ratio, mine, theirs)
    # The pooled figures, the interval of their ratio, and the mean of the runs' differences must agree on which is
    # slower.
    agree = (ratio > 1) == (pair.difference > 0) and not (ends and ends[0] <= 1 <= ends[1])
    large = max(ratio, 1 / ratio) > 1 + MINIMUM_EFFECT["latency"] and agree
    ends = ends if ends and min(ends) > 0 and max(ends) < math.inf else None
    return Difference(pair.difference, ratio, ends, pair.ci95, pair.p, math.nan, large)


def _righter(answers: Matched) -> Difference | None:
    if not answers.pairs:
        return None
    large = abs(answers.difference) > MINIMUM_EFFECT["accuracy"]
    return Difference(answers.difference, None, None, answers.ci95, answers.p, math.nan, large)


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    p_values = holm([difference.p for difference in differences])
    return [
        replace(difference, p_holm=p, real=difference.real and p <= LEVEL)
        for difference, p in zip(differences, p_values, strict=True)
    ]


def _planned(difference: Difference, runs: int, tests: int) -> Difference:
    """Return the difference with the runs that it needs; `tests` is the number of differences not shown, with it."""
    one = difference
    if one.real or one.ratio is None or one.ratio_ci95 is None:
        return one
    least = MINIMUM_EFFECT["latency"]
    return replace(one, runs_needed=runs_needed(one.value, one.ci95, one.ratio, one.ratio_ci95, runs, tests, least))


def _of_runs(requests: Table, runs: Sequence[int]) -> Table:
    return requests.where(np.isin(requests["run"], np.array(runs, dtype=np.int64)))

"""Notes on the sample: too few requests, runs, answers or machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collagebench.results.reader import Run
from collagebench.statistics.accuracy import sample
from collagebench.statistics.latency import failures
from collagebench.statistics.paired import LEVEL
from collagebench.statistics.quantiles import requests_needed

FLEETS = 40
"""With fewer runs, the number of runs with a slow machine depends too much on chance."""
A_MAXIMUM = 100
"""With fewer requests, the p99 is the maximum."""
ADDED = "runs were added"
"""How the note on added runs begins."""


def few_requests(run: Run) -> list[str]:
    """Report the schemes with too few requests or runs."""
    small, maxima, single = [], [], []
    for variant in run.variants:
        mine = run.of(variant)
        runs, (_, requests) = len(mine.cells), failures(mine.requests)
        if 0 < requests < requests_needed(0.99):
            small.append(f"{variant} {requests}")
        elif runs > 1 and requests < A_MAXIMUM * runs:
            maxima.append(f"{variant} {requests // runs}")
        if runs == 1:
            single.append(variant)
    found = []
    if small:
        found.append(
            f"with fewer than 368 requests, a p99 is bounded only from below ({', '.join(small)}): raise "
            "--requests or --runs."
        )
    if maxima:
        found.append(
            f"in runs of fewer than {A_MAXIMUM} requests ({', '.join(maxima)}), each run's p99 is its maximum, and "
            "comparisons rest on that: raise --requests."
        )
    if single:
        found.append(f"one run gives no interval ({', '.join(single)}): raise --runs.")
    return found


def extended(run: Run) -> list[str]:
    """Report that runs were added, because somebody may have added them until a difference was shown.

    A test at level a that may be repeated as data come in rejects a true hypothesis more often than a, but in k looks
    at most with probability 1 - (1 - a)^k. For two-sided tests of normal statistics, that holds however the looks are
    correlated (Šidák 1967), and among several schemes as well: Holm's correction is wrong only if one of n true
    hypotheses has a p value up to a / n. A run that was extended before it ended had no verdict then, but counts.
    """
    before = run.header.get("extended", [])
    if not before or len(run.variants) < 2:  # one scheme differs from no other
        return []
    first = f"first {before[0]}" if before[0] > 1 else "first"
    chance = 1 - (1 - LEVEL) ** (1 + len(before))
    return [
        f"{ADDED} to the {first}. If that goes on until a difference is shown, chance alone shows one in up "
        f"to {100 * chance:.0f} % of cases instead of {100 * LEVEL:.0f} %: to be sure, repeat the whole run with "
        "another --seed."
    ]


def sampled(run: Run) -> list[str]:
    """Report that only some answers, or none, were classified."""
    few = sample(run)
    if few is None:
        return []
    if few == 0:
        return ["no answer was classified (--accuracy none), so accuracy is unknown."]
    return [
        f"accuracy is that of {few:,} answers of each run, drawn at random, of which those of the warm-up do not "
        "count: use --accuracy all for all answers."
    ]


def few_fleets(stragglers: Mapping[str, Any], workers: int, runs: int) -> bool:
    """Return whether the machines are drawn once per run, and there are too few runs.

    `stragglers` is the entry of a header. Logs are drawn without replacement: if every run uses all of them, there is
    no chance in it.
    """
    parameters, logs = stragglers.get("parameters", {}), stragglers.get("logs")
    anywhere = parameters.get("slow_place") == "anywhere" and parameters.get("slow_machines") != 0
    dealt = parameters.get("replay") in ("per-machine", "sequential") and (logs is None or workers % logs != 0)
    return (anywhere or dealt) and runs < FLEETS


def whole_runs(run: Run) -> list[str]:
    """Report that slow machines are drawn once per run, so that there are only as many draws as runs."""
    stragglers = run.stragglers
    parameters = stragglers.get("parameters", {})
    runs = len(set(run.cells["run"].tolist()))
    if runs < 2 or not few_fleets(stragglers, run.config.get("workers") or 1, runs):
        return []
    known = ", or fix the place with --slow-place" if "slow_place" in parameters else ""
    return [
        f"which machines are slow is drawn once per run, so a p99 over {runs} runs depends on how many of them had a "
        f"slow one, more than its interval shows: use --runs {FLEETS} or more{known}."
    ]


def other_fleet(run: Run) -> list[str]:
    """Report that a recorded fleet has another number of machines than this one has workers."""
    machines = run.stragglers.get("machines")
    workers = run.config.get("workers")
    if not machines or not workers or machines == workers:
        return []
    if machines > workers:
        left = f"machines {workers} to {machines - 1} are" if machines - workers > 1 else f"machine {workers} is"
        return [f"the profile holds {machines} machines for {workers} workers, so {left} left out, slow or not."]
    return [
        f"the profile holds {machines} machines for {workers} workers, so workers {machines} to {workers - 1} are the "
        "first of them over again."
    ]

"""How candidates are ranked: the order of those that meet the wishes, near misses, and the front.

With an SLO, the candidates that meet the wishes are ranked by cost: worker time per request relative to no redundancy,
the mean over the loads. On equal hardware it stands for energy and for room for other work. If costs are about equal,
the more accurate candidate wins, then the one with the lower upper end of its latency interval, then the faster one.
But if the candidate without redundancy meets the wishes, it comes first, because nothing is simpler.

Without an SLO, candidates that are shown to be faster than no redundancy (by the paired tests of `statistics.best` over
the common runs) come first, then no redundancy, then the rest. Within each group, the next place goes to the fastest,
or to the cheapest, then the most accurate, of those that are about as fast. They need not be shown to differ: a choice
among those that the tests do not separate would favour the least certain. benchmarks/choices.py prints how far the
choice is from the best.

ABOUT lists the differences that are too small to decide anything.

A candidate is on the front if no other is at least as good in latency, accuracy and cost, and better in one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from collagebench.statistics.best import Figure, faster_than
from collagebench.study.wishes import Candidate, Wishes, status

ABOUT = {"cost": 0.02, "accuracy": 0.001, "latency": 0.05, "upper end": 0.05}
"""Cost and accuracy: absolute differences. Latency and the upper end of its interval: shares of the lower value."""


def ranked(candidates: Sequence[Candidate], wishes: Wishes) -> list[Candidate]:
    """Return the candidates that meet the wishes, the best first, followed by those that perhaps do."""
    found: list[Candidate] = []
    none = next((candidate for candidate in candidates if candidate.scheme == "none"), None)
    for wanted in ("meets", "perhaps"):
        some = [candidate for candidate in candidates if status(candidate, wishes) == wanted]
        if wishes.slo is None:
            found += _by_speed(some, none)
        else:
            plain = [candidate for candidate in some if candidate.scheme == "none"]
            others = [candidate for candidate in some if candidate.scheme != "none"]
            found += plain + _in_order(others, ("cost", "accuracy", "upper end", "latency"))
    return found


def near_misses(candidates: Sequence[Candidate], wishes: Wishes) -> dict[str, Candidate]:
    """Return, for each wish, the candidate that meets all other wishes and comes nearest to this one.

    Used if nothing meets all wishes. Nearest is the cheapest for the budget, the most accurate for the floor or the
    limit of loss, and the fastest for the SLO. A wish is left out if the user did not make it, or if no candidate meets
    all others.
    """
    dropped: dict[str, tuple[Wishes, Callable[[Candidate], float]]] = {}
    if wishes.budget is not None:
        dropped["budget"] = replace(wishes, budget=None), lambda one: one.cost
    least = wishes.allowed_loss
    if wishes.accuracy is not None:
        easier = replace(wishes, accuracy=None, loss=1.0 if least is None else least)
        dropped["floor"] = easier, lambda one: -(one.accuracy or 0.0)
    if least is not None:
        dropped["loss"] = replace(wishes, loss=1.0), lambda one: -(one.accuracy or 0.0)
    if wishes.slo is not None:
        dropped["slo"] = replace(wishes, slo=None), lambda one: one.worst.latency
    found = {}
    for name, (easier, distance) in dropped.items():
        some = [one for one in candidates if status(one, easier) in ("meets", "perhaps")]
        if some:
            found[name] = min(some, key=distance)
    return found


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the steady candidates that no other beats, the fastest first."""
    steady = [candidate for candidate in candidates if candidate.worst.unsteady is None]
    best = [candidate for candidate in steady if not any(other.beats(candidate) for other in steady)]
    return sorted(best, key=lambda candidate: candidate.worst.latency)


def _by_speed(some: Sequence[Candidate], none: Candidate | None) -> list[Candidate]:
    """Rank candidates without an SLO: those shown to be faster than `none`, then `none`, then the rest."""
    rivals = [one for one in some if one is not none]
    faster = rivals if none is None else faster_than_none(rivals, none)
    rest = [one for one in rivals if one not in faster]
    keys = ("latency", "cost", "accuracy")
    return [*_in_order(faster, keys), *(one for one in some if one is none), *_in_order(rest, keys)]


def faster_than_none(some: Sequence[Candidate], none: Candidate) -> list[Candidate]:
    """Return those shown to be faster than no redundancy; with a single run, those faster by more than ABOUT."""
    if none.worst.unsteady is not None:
        return [one for one in some if one.worst.unsteady is None]
    steady = [one for one in some if one.worst.unsteady is None]
    if min(len(one.worst.by_run) for one in [*steady, none]) < 2:
        return [one for one in steady if none.worst.latency > one.worst.latency * (1 + ABOUT["latency"])]
    names = faster_than(_figure(none), {one.variant: _figure(one) for one in steady}, ABOUT["latency"])
    return [one for one in steady if one.variant in names]


def _figure(one: Candidate) -> Figure:
    return Figure(one.worst.latency, one.worst.by_run, one.worst.tail)


def _in_order(some: Sequence[Candidate], keys: Sequence[str]) -> list[Candidate]:
    """Sort by the first key; candidates about equal to the best one left are sorted by the next key, and so on."""
    left, found = list(some), []
    while left:
        best = left
        for key in keys:
            values = [_key(candidate, key) for candidate in best]
            least = min(values)
            limit = least * (1 + ABOUT[key]) if key in ("upper end", "latency") else least + ABOUT[key]
            best = [candidate for candidate, value in zip(best, values, strict=True) if value <= limit]
        first = min(best, key=lambda candidate: [_key(candidate, key) for key in keys])
        left.remove(first)
        found.append(first)
    return found


def _key(candidate: Candidate, name: str) -> float:
    """Return the value of a key, turned so that lower is better."""
    values = {"cost": candidate.cost, "accuracy": -(candidate.accuracy or 0.0), "upper end": candidate.at_most}
    return values.get(name, candidate.worst.latency)

"""A recommendation in at most five lines: the choice, what it gains, the runner-up, a cheaper one, and the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from collagebench.report.recommendation import said_points, said_right
from collagebench.schemes import SCHEMES
from collagebench.study.candidates import Left
from collagebench.study.ranking import ABOUT, faster_than_none
from collagebench.study.wishes import Candidate, Status, Wishes, status

MISSES = 3
"""Most wishes to name as ones that the user could drop."""
WORDS: dict[Status, str] = {
    "unsteady": "cannot keep up",
    "late": "too slow",
    "inaccurate": "not accurate enough",
    "expensive": "too much work",
    "perhaps": "perhaps good enough",
    "meets": "good enough",
}


def explain(
    judged: Sequence[Candidate],
    order: Sequence[Candidate],
    nearest: Mapping[str, Candidate],
    left: Sequence[Left],
    wishes: Wishes,
    loads: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Return the lines of the explanation.

    `judged` are all candidates, no redundancy first. `order` are those that meet the wishes, the best first. `nearest`
    is what `near_misses` returned.
    """
    plain = judged[0]
    choice = order[0] if order else None
    lines = [_chosen(choice, wishes, len(judged) > 1)] if choice else _nothing(judged, nearest, wishes)
    lines += _beside(plain, choice, wishes, loads)
    if choice is not None:
        half = _half(order, plain, wishes)
        lines.append(_next(choice, order[1:], judged, wishes, half))
        if half is None:
            lines += _cheaper(choice, judged, wishes)
        elif half is not order[1]:
            lines.append(f"For at most half the extra work: {half.variant} with {figures(half, wishes)}.")
    lines.append(_rest(judged, left, wishes))
    return lines


def name_of(one: Candidate) -> str:
    """Return what a sentence calls a candidate: a scheme called `none` would read as if there were none."""
    return "no redundancy" if one.scheme == "none" else one.variant


def figures(one: Candidate, wishes: Wishes) -> str:
    """Return a candidate's latency, accuracy and work as text, with the bad ends of the intervals."""
    return f"{_latency(one, wishes)}, {_accuracy(one, wishes)}, {_work(one)}"


def _chosen(choice: Candidate, wishes: Wishes, others: bool) -> str:
    what = name_of(choice)
    if choice.scheme == "none" and wishes.slo is None and others:
        what += " (no scheme that meets the requirements is shown to be faster)"
    sure = status(choice, wishes) == "meets"
    slo = f", against an SLO of {1e3 * wishes.slo:.10g} ms" if wishes.slo is not None else ""
    verb = "Use" if sure else "Perhaps use"
    return f"{verb} {what}: {_latency(choice, wishes)}{slo}, {_accuracy(choice, wishes)}, {_work(choice)}."


def _nothing(judged: Sequence[Candidate], nearest: Mapping[str, Candidate], wishes: Wishes) -> list[str]:
    """Name each single wish whose dropping would help, and the candidate that comes nearest to it."""
    if all(one.worst.unsteady is not None for one in judged):
        return ["No scheme can keep up, whatever the requirements: lower the load, or add workers."]
    if not nearest:
        return [
            "No scheme meets the requirements, even with any one of them dropped: relax more of them, or add workers."
        ]
    lines = []
    for wish, one in nearest.items():
        lines.append(f"Without {_wish(wish, wishes)}, the nearest is {name_of(one)}: {figures(one, wishes)}.")
    return [f"No scheme meets all the requirements. {lines[0]}", *lines[1:MISSES]]


def _wish(name: str, wishes: Wishes) -> str:
    if name == "slo" and wishes.slo is not None:
        return f"the SLO of {1e3 * wishes.slo:.10g} ms"
    if name == "budget" and wishes.budget is not None:
        return f"the budget of {100 * wishes.budget:.10g} % extra work"
    if name == "floor" and wishes.accuracy is not None:
        return f"the accuracy floor of {100 * wishes.accuracy:.10g} % right"
    points = f"{100 * (wishes.allowed_loss or 0.0):.10g}"
    return f"the limit of {points} point{'s' if points != '1' else ''} of lost accuracy"


def _beside(
    plain: Candidate, choice: Candidate | None, wishes: Wishes, loads: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Give the figures without redundancy, unless that is the choice, and without stragglers."""
    bounds = [(load["bound"] or {}).get("latency_s", {}).get(wishes.quantile) for load in loads]
    known = [bound for bound in bounds if bound is not None]
    said = [] if choice is plain else [f"Without redundancy, {_without(plain, wishes)}"]
    if known:
        said.append(f"{'without' if said else 'Without'} stragglers, the {wishes.quantile} would be {_ms(max(known))}")
    return [f"{'; '.join(said)}."] if said else []


def _without(plain: Candidate, wishes: Wishes) -> str:
    return (
        "the fleet cannot keep up" if plain.worst.unsteady is not None else f"the fleet has {_latency(plain, wishes)}"
    )


def _next(
    choice: Candidate, others: Sequence[Candidate], judged: Sequence[Candidate], wishes: Wishes, half: Candidate | None
) -> str:
    if others:
        after = others[0]
        name = "No redundancy" if after.scheme == "none" else after.variant
        less_sure = status(after, wishes) == "perhaps" or after.at_most > choice.at_most
        why = ", no worse in any figure but less certain" if after.beats(choice) and less_sure else ""
        if choice.scheme == "none" and wishes.slo is None and _faster(after, choice):
            why = ", and faster in these runs (more --runs would tell)"
        if after is half:
            why = ", for at most half the extra work"
        return f"Next best{why}: {name} with {figures(after, wishes)}."
    if len(judged) == 1:
        return "No other scheme was asked about (--scheme)."
    return f"No other scheme meets the requirements: {_nearly(choice, judged, wishes)}."


def _faster(one: Candidate, other: Candidate) -> bool:
    """Tell whether a candidate was faster than another by more than a difference that is too small to count."""
    return one.worst.latency * (1 + ABOUT["latency"]) < other.worst.latency


def _nearly(choice: Candidate, judged: Sequence[Candidate], wishes: Wishes) -> str:
    others = [one for one in judged if one is not choice and one.worst.unsteady is None]
    if not others:
        return "none of the others can keep up"
    fastest = min(others, key=lambda one: one.worst.latency)
    what = WORDS[status(fastest, wishes)]
    return f"the fastest other is {name_of(fastest)} with {_latency(fastest, wishes)} ({what})"


def _half(order: Sequence[Candidate], plain: Candidate, wishes: Wishes) -> Candidate | None:
    """Return, without an SLO, the fastest that is as surely good enough for at most half the extra work of the choice.

    If no redundancy is perhaps good enough as well, it must be shown to be faster than that. None if there is none, or
    if the choice takes no extra work.
    """
    extra = order[0].cost - 1
    if wishes.slo is not None or not 0 < extra < inf:
        return None
    most = 1 + min(extra / 2, extra - ABOUT["cost"])
    sure = status(order[0], wishes)
    some = [one for one in order if one is not plain and status(one, wishes) == sure]
    faster = faster_than_none(some, plain) if plain in order else some
    return min((one for one in faster if one.cost <= most), key=lambda one: one.worst.latency, default=None)


def _cheaper(choice: Candidate, judged: Sequence[Candidate], wishes: Wishes) -> list[str]:
    """Name a clearly cheaper candidate, and what is wrong with it, if there is one.

    It is one that is only perhaps good enough (the cheapest, or the fastest without an SLO), or else the fastest that
    is ruled out. The one without redundancy is never named as ruled out: another line covers it.
    """
    cheaper = [one for one in judged if one.cost < choice.cost - ABOUT["cost"]]
    of = {kind: [one for one in cheaper if status(one, wishes) == kind] for kind in WORDS}
    if status(choice, wishes) == "meets" and of["perhaps"]:
        best = min(of["perhaps"], key=lambda one: one.worst.latency if wishes.slo is None else one.cost)
        gives = f"{_latency(best, wishes)}, {_accuracy(best, wishes)}"
        named = f"{name_of(best)} ({_work(best)}) with {gives}"
        return [f"Cheaper, and perhaps good enough: {named}; more --runs would tell."]
    ruled_out = [one for kind in ("late", "inaccurate", "expensive") for one in of[kind] if one is not judged[0]]
    if not ruled_out:
        return []
    best = min(ruled_out, key=lambda one: one.worst.latency)
    return [
        f"Cheaper, but ruled out: {best.variant} ({_work(best)}) is {WORDS[status(best, wishes)]}, with "
        f"{_latency(best, wishes)}."
    ]


def _rest(judged: Sequence[Candidate], left: Sequence[Left], wishes: Wishes) -> str:
    counts = Counter(status(one, wishes) for one in judged)
    parts = [f"{counts[kind]} {WORDS[kind]}" for kind in WORDS if counts[kind]]
    text = f"Of {len(judged)} variant{'s' if len(judged) > 1 else ''}: {', '.join(reversed(parts))}"
    firsts = [(one.variant, one.variant.split(" ")[0]) for one in left]
    schemes = sorted({first if first in SCHEMES else whole for whole, first in firsts})  # or a name the user gave it
    others = {one.scheme for one in judged}  # a scheme may lack a model for some of its variants only
    named = [f"other variants of {scheme}" if scheme in others else scheme for scheme in schemes]
    return f"{text}. Not considered, for lack of a model or of workers: {', '.join(named)}." if named else f"{text}."


def _latency(one: Candidate, wishes: Wishes) -> str:
    worst = one.worst
    if not worst.latency < inf:
        return f"no finite {wishes.quantile} (too many requests fail)"
    upper = f" (at most {_ms(one.at_most)})" if one.at_most < inf else ""
    least = "" if worst.bounded else "at least "
    return f"a {wishes.quantile} of {least}{_ms(worst.latency)}{upper}"


def _accuracy(one: Candidate, wishes: Wishes) -> str:
    if one.accuracy is None:
        return "accuracy unknown"
    points = said_points(one.lost or 0.0, wishes.allowed_loss)
    worst = points if one.lost_at_most is None else said_points(one.lost_at_most, wishes.allowed_loss)
    perhaps = f", perhaps {worst}" if worst != points else ""
    more = f" ({points} points{perhaps})" if perhaps or points != "+0.0" else ""
    return f"{said_right(one.accuracy, wishes.accuracy)} right{'' if one.scheme == 'none' else more}"


def _work(one: Candidate) -> str:
    return f"{one.cost:.2f}x the work" if one.cost < inf else "work unknown"


def _ms(seconds: float) -> str:
    ms = seconds * 1e3
    return f"{ms:.3g} ms" if ms < 999.5 else f"{ms:.0f} ms"

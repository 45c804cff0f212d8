"""Crossovers: at which load (or share of stragglers, or persistence) does the better of two schemes change?

First, a few values of the axis are simulated, in equal steps or ratios, so that a difference that changes its sign more
than once is noticed. Then bisection narrows down every crossing, and the ends of its interval, to a tolerance (see
`statistics.crossing`). At each value all schemes meet the same arrivals, images and slowdowns, drawn with the same
seed. These common random numbers let a difference change smoothly along the axis. Every simulated point is kept in a
directory of its own, and is not simulated again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from collagebench.config import as_json, option
from collagebench.engine.straggling import straggler_facts
from collagebench.report.summary import finite
from collagebench.report.tails import tail_of
from collagebench.statistics.crossing import Look, look, wanted
from collagebench.statistics.intervals import Interval, around_ratio
from collagebench.statistics.notes.sample import ADDED
from collagebench.statistics.ratio import ratio_ci95
from collagebench.study.crossover_found import Found, said
from collagebench.study.crossover_question import Question, at
from collagebench.study.points import Point, measured, notes_of, of_scheme, run_points

SCHEMA = 1
FILE, PAGE = "crossover.json", "crossover.html"
MOST_LOOKS = 80
"""Most values to simulate: enough for several crossings, however small the tolerance."""

Summary = dict[str, Any]


def find(
    question: Question,
    directory: Path,
    jobs: int = 0,
    done: Callable[[int, int, str], None] = lambda done, of, line: None,
) -> dict[str, Any]:
    """Find all crossovers; return the whole answer as plain JSON values.

    The points are kept in `directory`. `jobs` and `done` are those of `run_points`.

    Raises:
        CollagebenchError: images, models or records cannot be read or written.
        Interrupted: the user stopped it; finished points are kept.
    """
    done(0, 1, "preparing")
    compute = measured([at(question, question.low)])
    names = [scheme.variant for scheme in question.config.schemes]
    pairs = list(combinations(names, 2))
    found: dict[float, Summary] = {}
    scan = next_ = question.first()
    while next_ and len(found) < MOST_LOOKS:
        next_ = next_[: MOST_LOOKS - len(found)]
        points = [Point(f"{option(question.over)}={value:.12g}", at(question, value)) for value in next_]

        def say(some: int, of: int, line: str, known: int = len(found)) -> None:
            done(some, of, f"{known} values known, {line}")

        summaries = run_points(points, directory, compute, jobs, say)
        found.update(zip(next_, summaries, strict=True))
        looks = {pair: _looks(found, *pair, question.metric) for pair in pairs}
        next_ = sorted({value for pair in pairs for value in wanted(looks[pair], question.between, scan)})
    return {
        "schema": SCHEMA,
        "config": as_json(question.config),
        "stragglers": straggler_facts(question.config),
        "arrivals": found[question.low]["arrivals"],
        "over": option(question.over),
        "from": question.low,
        "to": question.high,
        "log": question.log,
        "metric": question.metric,
        "tolerance": question.near,
        "scan": scan,
        "complete": not next_,
        "warnings": _of_answer(list(found.values())),
        "pairs": [_pair(question, *pair, found, scan) for pair in pairs],
        "points": [{"value": value, "schemes": _schemes(found[value], question.metric)} for value in sorted(found)],
    }


def _of_answer(summaries: Sequence[Summary]) -> list[str]:
    """Return the warnings that concern the answer, each once, with the range of its numbers: those of all values.

    That runs were added concerns it even if some values are new: where it looks next depends on those with added runs.
    """
    said = notes_of(summaries)
    return [text for values, text in said if len(set(values)) == len(summaries) or text.startswith(ADDED)]


def _looks(found: dict[float, Summary], first: str, second: str, metric: str) -> dict[float, Look]:
    return {value: _look(summary, first, second, metric) for value, summary in found.items()}


def _look(summary: Summary, first: str, second: str, metric: str) -> Look:
    own, others = (_by_run(summary, name, metric) for name in (first, second))
    return look(own, others, _ratio(summary, first, second, metric)[1])


def _by_run(summary: Summary, variant: str, metric: str) -> Sequence[float] | None:
    """Return a scheme's metric in each run; None if its queue grows without bound."""
    scheme = of_scheme(summary, variant)
    if scheme["unstable"]:
        return None
    return [math.inf if value is None else value for value in scheme["by_run"].get(f"{metric}_s", ())]


def _ratio(summary: Summary, first: str, second: str, metric: str) -> tuple[float | None, Interval | None]:
    """Return the ratio of two schemes' metrics and its interval, as the report of an experiment computes them."""
    one, other = of_scheme(summary, first), of_scheme(summary, second)
    value, base = one["latency_s"][metric], other["latency_s"][metric]
    own, others = (_by_run(summary, name, metric) for name in (first, second))
    if own is None or others is None or not value or not base:
        return None, None
    if metric == "mean":
        return value / base, around_ratio(value / base, own, others)
    tails = tail_of(one, metric), tail_of(other, metric)
    return value / base, ratio_ci95(tails[0], tails[1]) if tails[0] and tails[1] else None


def _known(ends: Interval | None) -> list[float] | None:
    return list(ends) if ends and ends[0] > 0 and ends[1] < math.inf else None


def _pair(
    question: Question, first: str, second: str, summaries: dict[float, Summary], scan: Sequence[float]
) -> dict[str, Any]:
    looks = _looks(summaries, first, second, question.metric)
    found = Found(first, second, looks, scan)
    return {
        "first": first,
        "second": second,
        "outcome": found.outcome,
        "crossings": [
            {
                "at": round(one.at) if question.whole else one.at,
                "ci95": [one.low, one.high],
                "better_below": found.names[one.before],
                "better_above": found.names[-one.before],
            }
            for one in found.crossings
        ],
        "better": found.names[found.better] if found.outcome in ("throughout", "where apart") else None,
        "said": said(question, found),
        "differences": [
            {
                "value": value,
                "difference_s": finite(one.difference) if one.known else None,
                "ci95_s": _ends(one),
                "verdict": one.verdict,
                "ratio": _ratio(summaries[value], first, second, question.metric)[0],
                "ratio_ci95": _known(one.ratio),
            }
            for value, one in sorted(looks.items())
        ],
    }


def _schemes(summary: Summary, metric: str) -> list[dict[str, Any]]:
    return [
        {
            "variant": scheme["variant"],
            "value_s": scheme["latency_s"][metric],
            "infinite": bool(scheme["failed"]) if metric == "mean" else metric in scheme["infinite"],
            "ci95_s": scheme["ci95_s"].get(metric),
            "unstable": bool(scheme["unstable"]),
        }
        for scheme in summary["schemes"]
    ]


def _ends(one: Look) -> list[float] | None:
    return [one.low, one.high] if math.isfinite(one.low) and math.isfinite(one.high) else None

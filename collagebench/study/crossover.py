"""Crossovers: at which load (or share of stragglers, or persistence) does the better of two schemes change?

A few values of the axis are simulated first, evenly spaced, so that differences that change their sign more than once
are seen; then bisection brings every crossing, and the ends of its interval, down to a tolerance (see
`statistics.crossing`). All schemes meet the same arrivals, images and slowdowns at every value, and the same seed draws
them: common random numbers, by which a difference changes smoothly along the axis. What was simulated stays, a point a
directory, and is not done again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from collagebench.config import Config, as_json, nearest, option
from collagebench.errors import OutputError, UsageError
from collagebench.statistics.crossing import Look, crossings, look, throughout, wanted
from collagebench.study.points import NOTHING, Point, measured, run_points

SCHEMA = 1
FILE, PAGE = "crossover.json", "crossover.html"
METRICS = ("p50", "p90", "p95", "p99", "mean")
MOST_LOOKS = 80
"""Values that are simulated at most: enough for some crossings, however fine the tolerance."""

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """Which schemes, along which axis."""

    config: Config
    """Of one experiment, with two schemes or more; its value on the axis is replaced."""
    over: str
    """The axis, a field of the config."""
    low: float
    high: float
    metric: str = "p99"
    steps: int = 6
    """Values that are simulated first."""
    tolerance: float | None = None
    """How near a crossing must be known; None: a hundredth of the range."""

    def __post_init__(self) -> None:
        check_axis(self.over)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"--from must be below --to, and both numbers; they are {self.low:g} and {self.high:g}")
        if self.metric not in METRICS:
            raise UsageError(f"--metric must be one of {', '.join(METRICS)}, not {self.metric!r}")
        if self.steps < 2:
            raise UsageError(f"--steps must be 2 or more, not {self.steps}")
        if self.tolerance is not None and not 0 < self.tolerance < self.high - self.low:
            raise UsageError(f"--tolerance must be above 0 and below the range, not {self.tolerance:g}")
        if len(self.config.schemes) < 2:
            raise UsageError("a crossover is between two schemes: name another with --scheme")
        if self.config.runs < 3:
            raise UsageError(f"a crossover takes 3 runs or more to be sure of anything, not {self.config.runs}")
        for value in (self.low, self.high):
            at(self, value)  # says what is wrong with it, if anything

    @property
    def near(self) -> float:
        """How near a crossing will be known."""
        return self.tolerance if self.tolerance is not None else (self.high - self.low) / 100


AXES = tuple(field.name for field in fields(Config) if str(field.type) in ("float", "float | None"))


def check_axis(over: str) -> None:
    """Raise a UsageError if this is not the name of a field that is a number."""
    if over not in AXES:
        raise UsageError(f"--over names an option that is a number{nearest(option(over), map(option, AXES))}")


def at(question: Question, value: float) -> Config:
    """Return the config of the experiment at one value of the axis."""
    changes: dict[str, Any] = {question.over: value}
    if question.over in ("rate", "utilisation"):
        changes = {"rate": None, "utilisation": None, **changes}
    return replace(question.config, **changes)


def find(
    question: Question,
    directory: Path,
    jobs: int = 0,
    done: Callable[[int, int, str], None] = lambda done, of, line: None,
) -> dict[str, Any]:
    """Find all crossovers; return the whole answer as plain JSON values.

    `directory` keeps the points; `jobs` and `done` are those of `run_points`.

    Raises:
        CollagebenchError: images, models or records cannot be read or written.
        Interrupted: the user stopped it; what is simulated stays.
    """
    done(0, 1, "preparing")
    compute = measured([at(question, question.low)], NOTHING)
    names = [scheme.variant for scheme in question.config.schemes]
    pairs = list(combinations(names, 2))
    found: dict[float, Summary] = {}
    step = (question.high - question.low) / (question.steps - 1)
    next_ = [question.low + step * place for place in range(question.steps)]
    while next_ and len(found) < MOST_LOOKS:
        next_ = next_[: MOST_LOOKS - len(found)]
        points = [Point(f"{option(question.over)}={value:.12g}", at(question, value)) for value in next_]

        def say(some: int, of: int, line: str, known: int = len(found)) -> None:
            done(some, of, f"{known} values known, {line}")

        summaries = run_points(points, directory, compute, jobs, say)
        found.update(zip(next_, summaries, strict=True))
        looks = {pair: _looks(found, *pair, question.metric) for pair in pairs}
        next_ = sorted({value for pair in pairs for value in wanted(looks[pair], question.near)} - set(found))
    return {
        "schema": SCHEMA,
        "config": as_json(question.config),
        "over": option(question.over),
        "from": question.low,
        "to": question.high,
        "metric": question.metric,
        "tolerance": question.near,
        "complete": not next_,
        "pairs": [_pair(question, *pair, _looks(found, *pair, question.metric)) for pair in pairs],
        "points": [{"value": value, "schemes": _schemes(found[value], question.metric)} for value in sorted(found)],
    }


def save(answer: dict[str, Any], directory: Path, page: str) -> None:
    """Keep the answer beside its points, as JSON and as a page.

    Raises:
        OutputError: it cannot be written.
    """
    for name, text in ((FILE, json.dumps(answer, indent=2, allow_nan=False) + "\n"), (PAGE, page)):
        try:
            (directory / name).write_text(text, encoding="utf-8")
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"the answer cannot be written to {directory / name} ({reason})") from None


def _looks(found: dict[float, Summary], first: str, second: str, metric: str) -> dict[float, Look]:
    return {
        value: look(_by_run(summary, first, metric), _by_run(summary, second, metric))
        for value, summary in found.items()
    }


def _by_run(summary: Summary, variant: str, metric: str) -> Sequence[float] | None:
    """Return a scheme's figure in each run; None if it cannot bear the load."""
    scheme = next(scheme for scheme in summary["schemes"] if scheme["variant"] == variant)
    if scheme["unstable"]:
        return None
    return [math.inf if value is None else value for value in scheme["by_run"].get(f"{metric}_s", ())]


def _pair(question: Question, first: str, second: str, looks: dict[float, Look]) -> dict[str, Any]:
    found = crossings(looks)
    names = {-1: first, 1: second}
    return {
        "first": first,
        "second": second,
        "crossings": [
            {
                "at": one.at,
                "ci95": [one.low, one.high],
                "better_below": names[one.before],
                "better_above": names[-one.before],
            }
            for one in found
        ],
        "better_throughout": names.get(throughout(looks) or 0) if not found else None,
        "said": _said(question, first, second, looks),
        "differences": [
            {"value": value, "difference_s": _finite(one.difference), "ci95_s": _ends(one), "verdict": one.verdict}
            for value, one in sorted(looks.items())
        ],
    }


def _said(question: Question, first: str, second: str, looks: dict[float, Look]) -> str:
    """Return what was found of a pair, in a sentence."""
    axis, found = option(question.over), crossings(looks)
    names = {-1: first, 1: second}
    span = f"from {axis} {question.low:g} to {question.high:g}"
    if not found:
        sure = throughout(looks)
        if not sure:
            return f"{first} and {second} cannot be told apart {span}"
        unsure = [value for value, one in sorted(looks.items()) if not one.verdict]
        rest = f", not surely at {', '.join(f'{value:.3g}' for value in unsure[:4])}" if unsure else ""
        return f"{names[sure]} is better than {names[-sure]} {span}{rest}: no crossover"
    parts = [f"{names[found[0].before]} is better up to"]
    for place, one in enumerate(found):
        behind = names[-one.before]
        parts.append(f"{axis} {one.at:.3g} ({one.low:.3g} to {one.high:.3g})")
        parts.append(f", {behind} above" if place == len(found) - 1 else f", {behind} from there to")
    return " ".join(parts).replace(" ,", ",")


def _schemes(summary: Summary, metric: str) -> list[dict[str, Any]]:
    return [
        {
            "variant": scheme["variant"],
            "value_s": scheme["latency_s"][metric],
            "ci95_s": scheme["ci95_s"].get(metric),
            "unstable": bool(scheme["unstable"]),
        }
        for scheme in summary["schemes"]
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ends(one: Look) -> list[float] | None:
    return [one.low, one.high] if math.isfinite(one.low) and math.isfinite(one.high) else None

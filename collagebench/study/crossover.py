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
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from collagebench.config import Config, as_json, option
from collagebench.engine.straggling import straggler_facts
from collagebench.errors import UsageError, nearest
from collagebench.report.summary import finite
from collagebench.report.tails import tail_of
from collagebench.statistics.crossing import Between, Look, crossings, firm, halfway, look, wanted
from collagebench.statistics.intervals import Interval, around_ratio
from collagebench.statistics.quantiles import QUANTILES, requests_needed
from collagebench.statistics.ratio import ratio_ci95
from collagebench.study.points import NOTHING, Point, measured, notes_of, of_scheme, run_points

SCHEMA = 1
FILE, PAGE = "crossover.json", "crossover.html"
METRICS = (*QUANTILES, "mean")
MOST_LOOKS = 80
"""Most values to simulate: enough for several crossings, however small the tolerance."""

MOST_STEPS = 40
SURE, LOG_SURE = 0.01, 0.05
"""Default tolerances: a share of the range; on a logarithmic axis, a share of the value."""
NO_AXES = {"seed", "requests", "runs", "warmup", "accuracy", "slo_ms", "pixel_scale", "ray_cpus", "log_length",
           "stop_every", "stop_for", "quota", "transfers", "transfer_mb"}  # fmt: skip
"""Numeric fields that cannot be an axis: they do not change how a simulated fleet behaves."""

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """Which schemes to compare, by which metric, along which axis."""

    config: Config
    """The experiment, with at least two schemes; its value of the axis is replaced."""
    over: str
    """The axis: the name of a Config field."""
    low: float
    high: float
    metric: str = "p99"
    steps: int = 6
    """Number of values to simulate first."""
    tolerance: float | None = None
    """Required precision of a crossing; with `log`, a share of the value. None: `SURE` or `LOG_SURE`."""
    log: bool = False
    """Whether the values are spaced by equal ratios."""

    def __post_init__(self) -> None:
        check_axis(self.over)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(
                f"--from and --to must be numbers, and --from below --to; they are {self.low:g} and {self.high:g}"
            )
        if self.metric not in METRICS:
            raise UsageError(f"--metric must be one of {', '.join(METRICS)}, not {self.metric!r}")
        if self.log and self.low <= 0:
            raise UsageError(f"--log needs a --from above 0, not {self.low:g}")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise UsageError(f"--{option(self.over)} is a whole number, so --from and --to must be whole numbers, too")
        if not 2 <= self.steps <= MOST_STEPS:
            raise UsageError(f"--steps must be from 2 to {MOST_STEPS}, not {self.steps}")
        if self.tolerance is not None and not 0 < self.tolerance < (math.inf if self.log else self.high - self.low):
            raise UsageError(f"--tolerance must be above 0 and below the range, not {self.tolerance:g}")
        if len(self.config.schemes) < 2:
            raise UsageError("a crossover is between two schemes: name at least two with --scheme")
        if self.config.runs < 3:
            raise UsageError(f"a crossover takes at least 3 runs to show anything, not {self.config.runs}")
        counted = self.config.runs * (self.config.requests - round(self.config.warmup * self.config.requests))
        if self.metric in QUANTILES and counted < (needed := requests_needed(QUANTILES[self.metric])):
            raise UsageError(
                f"{counted:,} requests after the warm-up are too few for a {self.metric}, which takes {needed:,}: "
                "raise --requests or --runs"
            )
        for value in (self.low, self.high):
            at(self, value)  # raises UsageError if the config refuses the value

    @property
    def near(self) -> float:
        """The tolerance that applies: the given one or the default."""
        if self.tolerance is not None:
            return self.tolerance
        return LOG_SURE if self.log else SURE * (self.high - self.low)

    @property
    def whole(self) -> bool:
        """Whether the axis takes whole numbers only."""
        return AXES[self.over].startswith("int")

    @property
    def between(self) -> Between:
        """The function that picks the next value between two others."""
        return halfway(self.near, self.log, self.whole)

    def first(self) -> list[float]:
        """Return the values to simulate first, including both ends."""
        shares = [place / (self.steps - 1) for place in range(1, self.steps - 1)]
        if self.log:
            inner = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            inner = [self.low + share * (self.high - self.low) for share in shares]
        tidy = (float(round(value)) if self.whole else float(f"{value:.12g}") for value in inner)
        return sorted({self.low, *tidy, self.high})


AXES = {
    field.name: str(field.type)
    for field in fields(Config)
    if str(field.type).split(" |")[0] in ("float", "int") and field.name not in NO_AXES
}
"""The fields that can be an axis, and their types."""


def check_axis(over: str) -> None:
    """Raise a UsageError if `over` is not a field that can be an axis."""
    if over not in AXES:
        raise UsageError(f"--over takes an option that is a number{nearest(option(over), map(option, AXES))}")


def at(question: Question, value: float) -> Config:
    """Return the config of the experiment at one value of the axis."""
    changes: dict[str, Any] = {question.over: int(value) if question.whole else value}
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

    The points are kept in `directory`. `jobs` and `done` are those of `run_points`.

    Raises:
        CollagebenchError: images, models or records cannot be read or written.
        Interrupted: the user stopped it; finished points are kept.
    """
    done(0, 1, "preparing")
    compute = measured([at(question, question.low)], NOTHING)
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
        next_ = sorted({value for pair in pairs for value in wanted(looks[pair], question.between, len(scan))})
    return {
        "schema": SCHEMA,
        "config": as_json(question.config),
        "stragglers": straggler_facts(question.config),
        "over": option(question.over),
        "from": question.low,
        "to": question.high,
        "log": question.log,
        "metric": question.metric,
        "tolerance": question.near,
        "scan": scan,
        "complete": not next_,
        "warnings": _everywhere(list(found.values())),
        "pairs": [_pair(question, *pair, found, len(scan)) for pair in pairs],
        "points": [{"value": value, "schemes": _schemes(found[value], question.metric)} for value in sorted(found)],
    }


def _everywhere(summaries: Sequence[Summary]) -> list[str]:
    """Return the warnings that all values share, each once, with the range of its numbers: they concern the answer."""
    return [text for values, text in notes_of(summaries) if len(set(values)) == len(summaries)]


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


def _pair(question: Question, first: str, second: str, summaries: dict[float, Summary], tests: int) -> dict[str, Any]:
    names = {-1: first, 1: second}
    looks = _looks(summaries, first, second, question.metric)
    found, sure = crossings(looks, tests), firm(looks, tests)
    outcome = _outcome(looks, bool(found), sure)
    better = names[sure[0][1]] if outcome in ("throughout", "where apart") else None
    return {
        "first": first,
        "second": second,
        "outcome": outcome,
        "crossings": [
            {
                "at": round(one.at) if question.whole else one.at,
                "ci95": [one.low, one.high],
                "better_below": names[one.before],
                "better_above": names[-one.before],
            }
            for one in found
        ],
        "better": better,
        "said": said(question, first, second, looks, tests),
        "differences": [
            {
                "value": value,
                "difference_s": finite(one.difference),
                "ci95_s": _ends(one),
                "verdict": one.verdict,
                "ratio": _ratio(summaries[value], first, second, question.metric)[0],
                "ratio_ci95": _known(one.ratio),
            }
            for value, one in sorted(looks.items())
        ],
    }


def _outcome(looks: dict[float, Look], crosses: bool, sure: Sequence[tuple[float, int]]) -> str:
    """Return `crossing`, `throughout`, `where apart` (better at some values, worse at none), `alike` or `unknown`."""
    if crosses:
        return "crossing"
    if not any(one.known for one in looks.values()):
        return "unknown"
    if not sure:
        return "alike"
    return "throughout" if all(one.verdict == sure[0][1] for one in looks.values()) else "where apart"


def said(question: Question, first: str, second: str, looks: dict[float, Look], tests: int) -> str:
    """Return a sentence on what was found for a pair of schemes; `tests` is the number of values simulated first."""
    axis, found, sure = option(question.over), crossings(looks, tests), firm(looks, tests)
    first, second = ("no redundancy" if name == "none" else name for name in (first, second))
    names = {-1: first, 1: second}
    span = f"from {axis} {question.low:g} to {question.high:g}"
    outcome = _outcome(looks, bool(found), sure)
    unknown = [value for value, one in sorted(looks.items()) if not one.known]
    gaps = f"; at {_list(unknown)} there is nothing to compare" if unknown else ""
    if outcome == "unknown":
        return (
            f"{first} and {second} cannot be compared {span}: at no value do both have a {question.metric} in every run"
        )
    if outcome == "alike":
        return f"{first} and {second} cannot be told apart {span}{gaps}"
    if outcome == "throughout":
        return f"{names[sure[0][1]]} is better than {names[-sure[0][1]]} {span}: no crossover"
    if outcome == "where apart":
        better = sure[0][1]
        shown = [value for value, one in sorted(looks.items()) if one.verdict == better]
        unsure = [value for value, one in sorted(looks.items()) if one.known and one.verdict != better]
        contrary = [value for value in unsure if looks[value].difference * better < 0]
        if contrary:
            firmly = any(looks[value].verdict == -better for value in contrary)
            one_of = f"is not shown after correcting for {tests} values" if firmly else "is not shown"
            return (
                f"{names[better]} is shown to be better than {names[-better]} at {axis} {_list(shown)}; at "
                f"{_list(contrary)} its {question.metric} is higher, but that {one_of}: there may be a crossover, and "
                f"more --runs or --requests would tell{gaps}"
            )
        if len(unsure) + len(unknown) < len(shown):
            rest = f", wherever a difference is shown (none is shown at {_list(unsure)})" if unsure else ""
            return f"{names[better]} is better than {names[-better]} {span}{rest}: no crossover{gaps}"
        return (
            f"{names[better]} is shown to be better than {names[-better]} only at {axis} {_list(shown)}, and worse "
            f"nowhere from {question.low:g} to {question.high:g}: no crossover{gaps}"
        )
    parts = [f"{names[found[0].before]} is better up to"]
    for number, one in enumerate(found):
        behind = names[-one.before]
        place = round(one.at) if question.whole else one.at
        parts.append(f"{axis} {place:.3g} ({one.low:.3g} to {one.high:.3g})")
        parts.append(f", {behind} above" if number == len(found) - 1 else f", {behind} from there to")
    return " ".join(parts).replace(" ,", ",") + gaps


def _list(values: Sequence[float]) -> str:
    told = [f"{value:.3g}" for value in values[:6]]
    if len(values) > len(told):
        return f"{', '.join(told)}, …"
    return " and ".join([", ".join(told[:-1]), told[-1]]) if len(told) > 1 else told[0]


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


def _ends(one: Look) -> list[float] | None:
    return [one.low, one.high] if math.isfinite(one.low) and math.isfinite(one.high) else None

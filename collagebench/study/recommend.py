"""Recommend a scheme for a fleet, models and loads: every candidate is simulated, judged, ranked and explained.

Each candidate is simulated together with no redundancy at each load, as a point of a study (see `points`). Arrivals,
images and slowdowns are the same in all points of a load, so candidates differ only in what they do. Points are kept in
the study's directory and are not simulated again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from collagebench.config import Config, SchemeConfig, as_json
from collagebench.engine.plan import make_plan
from collagebench.engine.straggling import straggler_facts
from collagebench.errors import UsageError
from collagebench.report.recommendation_page import recommendation_page
from collagebench.report.summary import finite
from collagebench.study.candidates import NONE, Left, candidates, possible
from collagebench.study.explained import explain
from collagebench.study.judged import candidate_of
from collagebench.study.points import Point, keep_answer, measured, notes_of, run_points
from collagebench.study.proxies import fixed, settings
from collagebench.study.ranking import front, near_misses, ranked
from collagebench.study.trial import CHOICE, command_of, profile_of
from collagebench.study.wishes import Candidate, Wishes, status

SCHEMA = 1
ANSWER, PAGE = "answer.json", "answer.html"
LONGEST = 40
"""Characters of a variant's own name in that of a directory."""
Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """The question: a fleet with its stragglers (a config), its loads, and the user's wishes."""

    config: Config
    """The experiment; its rate, utilisation and schemes are replaced."""
    loads: tuple[dict[str, float], ...]
    """`{"rate": …}` or `{"utilisation": …}`, in ascending order."""
    wishes: Wishes
    schemes: tuple[str, ...] = ()
    """Names of the schemes to consider; empty for all."""
    own: tuple[SchemeConfig, ...] = ()
    """Variants of these schemes from the user's profile, which are considered as well."""

    def at(self, load: dict[str, float]) -> Config:
        """Return the experiment at one of the loads."""
        return replace(self.config, rate=load.get("rate"), utilisation=load.get("utilisation"))

    @property
    def highest(self) -> Config:
        """The experiment at the highest load."""
        return self.at(self.loads[-1])


def recommend(
    asked: Asked,
    directory: Path,
    jobs: int = 0,
    done: Callable[[int, int, str], None] = lambda done, of, line: None,
) -> dict[str, Any]:
    """Answer the question; return the whole answer as plain JSON values.

    The points are kept in `directory`. `jobs` and `done` are those of `run_points`.

    Raises:
        UsageError: the question makes no sense.
        CollagebenchError: images, models or records cannot be read or written.
        Interrupted: the user stopped it; finished points are kept.
    """
    done(0, 1, "preparing")
    wishes = asked.wishes
    if asked.config.accuracy == 0 and (wishes.accuracy is not None or (wishes.allowed_loss or 0) < 1):
        raise UsageError(
            "--accuracy none leaves unknown what a scheme gets wrong: classify some answers of each run, as with "
            "--accuracy 300, or give --accuracy-loss 1 if accuracy does not matter"
        )
    plain = replace(asked.highest, schemes=(NONE,))
    plan = make_plan(plain)
    wanted = [one for one in candidates(plain.workers, wishes.slo, asked.schemes, asked.own) if one.name != "none"]
    able, left = possible(wanted, plain, plan.single.classes)
    points = _points(asked, able)
    compute = measured([replace(plain, schemes=(NONE, *able))], plan.compute)
    found = run_points(points, directory, compute, jobs, done)
    summaries = [found[place : place + len(asked.loads)] for place in range(0, len(found), len(asked.loads))]
    judged = [candidate_of(one, some, wishes) for one, some in zip([NONE, *able], summaries, strict=True)]
    answer = _answer(asked, judged, left, summaries[0], directory)
    names = [one.variant for one in judged]
    place = names.index(answer["choice"] or NONE.variant)
    answer["warnings"] = warned(summaries[place])
    if answer["choice"] is not None:
        exported = settings(judged[place], summaries[place][-1])
        if exported is not None:
            given, one = judged[place], fixed(judged[place], exported["delay_s"])
            if dict(one.options) != given.options:
                # A fixed delay differs from the running percentile that was judged, so it is simulated as well.
                with_it = run_points(_points_of(asked, one, named=False), directory, compute, jobs, done)
                given = candidate_of(one, with_it, wishes)
                answer["warnings"] += [text for text in warned(with_it) if text.startswith(f"{one.variant}: ")]
            answer["settings"] = {**exported, "simulated": {**_as_json(given), "status": status(given, wishes)}}
    return answer


def save(answer: dict[str, Any], directory: Path) -> None:
    """Write the answer beside its points: as JSON, as a page and, if its command needs one, the profile of the choice.

    Raises:
        OutputError: a file cannot be written.
    """
    page = recommendation_page(answer, directory.resolve().name)
    profile = {CHOICE: answer["profile"]} if answer["profile"] else {}
    keep_answer(answer, page, directory, (ANSWER, PAGE), profile)


def _points(asked: Asked, able: Sequence[SchemeConfig]) -> list[Point]:
    """Return the points of all candidates, no redundancy first, each at all loads in turn.

    They do not contain the SLO, so that a question with another SLO reuses the same records.
    """
    return [point for one in (NONE, *able) for point in _points_of(asked, one)]


def _points_of(asked: Asked, one: SchemeConfig, named: bool = True) -> list[Point]:
    """Return the points of a candidate, at all loads in turn; `named` if its name says all its options."""
    schemes = (NONE,) if one is NONE else (NONE, one)
    return [
        Point(
            _directory(one, load, named and one not in asked.own),
            replace(asked.at(load), schemes=schemes, slo_ms=None),
        )
        for load in asked.loads
    ]


def _directory(scheme: SchemeConfig, load: dict[str, float], named: bool) -> str:
    """Return the name of a point's directory, made of everything in which points of one fleet differ."""
    after = dict(scheme.options).get("default_after", "")  # depends on the SLO, and is not in the variant's name
    name = f"{scheme.variant} {after}"
    if not named:  # such as one of a profile, whose options may have changed since
        name = f"{scheme.variant[:LONGEST]} {zlib.crc32(repr(scheme).encode()):08x}"
    words = re.sub(r"[^\w.]+", "-", f"{name} {' '.join(load)}").strip("-")
    return f"{words}-{next(iter(load.values())):.12g}"


def warned(summaries: Sequence[Summary]) -> list[str]:
    """Return the warnings of some experiments; those that differ only in numbers are merged."""
    return [text for _, text in notes_of(summaries)]


def _answer(
    asked: Asked, judged: Sequence[Candidate], left: Sequence[Left], plain: Sequence[Summary], directory: Path
) -> dict[str, Any]:
    """Return the answer as plain JSON values; warnings, settings and validation are filled in later."""
    wishes = asked.wishes
    order = ranked(judged, wishes)
    nearest = {} if order else near_misses(judged, wishes)
    best = front(judged)
    choice = order[0] if order else None
    loads = [
        {
            "rate": one["rate"],
            "utilisation": scheme["utilisation"],
            "bound": scheme["bound"],
            "work_s": scheme["cost"] and scheme["cost"]["executed_s_per_request"],
        }
        for one in plain
        for scheme in one["schemes"]
    ]
    return {
        "schema": SCHEMA,
        "asked": {
            "config": as_json(asked.config),
            "stragglers": straggler_facts(asked.config),
            "arrivals": plain[0]["arrivals"],
            "loads": loads,
            "wishes": {**asdict(wishes), "allowed_loss": wishes.allowed_loss},
        },
        "choice": choice.variant if choice else None,
        "sure": status(choice, wishes) == "meets" if choice else None,
        "ranking": [one.variant for one in order],
        "near_misses": {wish: one.variant for wish, one in nearest.items()},
        "front": [one.variant for one in best],
        "explanation": explain(judged, order, nearest, left, wishes, loads),
        "candidates": [{**_as_json(one), "status": status(one, wishes), "front": one in best} for one in judged],
        "not_considered": [asdict(one) for one in left],
        "warnings": [],
        "settings": None,
        "command": choice and command_of(choice, asked.highest, loads[-1]["rate"], directory),
        "profile": choice and profile_of(choice),
        "validation": None,
    }


def _as_json(one: Candidate) -> dict[str, Any]:
    worst = one.worst
    return {
        "variant": one.variant,
        "scheme": one.scheme,
        "options": dict(one.options),
        "latency_s": finite(worst.latency),
        "ci95_s": [worst.low, worst.high] if worst.high < inf else None,
        "bounded": worst.bounded,
        "at_most_s": finite(one.at_most),
        "accuracy": one.accuracy,
        "accuracy_at_least": one.accuracy_at_least,
        "lost": one.lost,
        "lost_at_most": one.lost_at_most,
        "work": finite(one.cost),
        "unsteady": worst.unsteady,
        "loads": [
            {
                "latency_s": finite(at.latency),
                "bounded": at.bounded,
                "ci95_s": [at.low, at.high] if at.high < inf else None,
                "accuracy": at.accuracy,
                "accuracy_at_least": at.accuracy_low,
                "lost": at.lost,
                "lost_at_most": at.lost_high,
                "work": at.work,
                "unsteady": at.unsteady,
            }
            for at in one.at
        ],
    }

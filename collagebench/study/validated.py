"""Check a recommendation on real workers: run the choice, the runner-up and no redundancy at the highest load.

The recommendation is confirmed if the live run is VALID, the choice surely meets the wishes there, and the runner-up is
not better by more than noise. The runner-up is better if it surely meets the wishes, too, and is cheaper by more than
ABOUT (with an SLO, unless the choice is no redundancy, which is simpler at any cost), or faster by more than ABOUT with
an interval that does not overlap (without one). If the choice only perhaps meets the wishes, because its intervals are
too wide, it is neither confirmed nor refuted.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from collagebench.config import SchemeConfig, as_json
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.errors import Interrupted
from collagebench.report.summary import finite, summarise
from collagebench.results.directory import HEADER
from collagebench.results.reader import load
from collagebench.study.candidates import NONE
from collagebench.study.explained import figures, name_of
from collagebench.study.judged import candidate_of
from collagebench.study.points import interrupted, or_removed
from collagebench.study.ranking import ABOUT
from collagebench.study.recommend import Asked
from collagebench.study.trial import on_real_workers
from collagebench.study.wishes import Candidate, Wishes, status

LIVE = "live"
"""How the names of live runs' directories begin; a checksum of the config follows, as questions may differ in it."""


def validate(asked: Asked, answer: Mapping[str, Any], directory: Path, progress: Progress) -> dict[str, Any]:
    """Run the recommendation live below `directory`; return the result, for the answer's `validation`.

    Raises what `experiment.run` raises.
    """
    by_name = {one["variant"]: one for one in answer["candidates"]}
    after = next((name for name in answer["ranking"] if name != answer["choice"]), None)
    names = [name for name in (answer["choice"], after) if name is not None]
    schemes = [_scheme(by_name[name]) for name in names if name != NONE.variant]
    there = on_real_workers(asked.highest, answer["asked"]["loads"][-1]["rate"])
    config = replace(there, schemes=(NONE, *schemes), slo_ms=None)
    place = directory / f"{LIVE}-{zlib.crc32(json.dumps(as_json(config)).encode()):08x}"
    try:
        with or_removed(place, "run"):
            experiment.run(config, place, progress, resume=os.path.lexists(place / HEADER))
            summary = summarise([load(place)])
    except Interrupted:
        raise interrupted(directory) from None
    live = {name: candidate_of(_scheme(by_name[name]), [summary], asked.wishes) for name in names}
    choice, runner_up = live[names[0]], live[names[1]] if after is not None else None
    met = status(choice, asked.wishes)
    better = runner_up is not None and _is_better(runner_up, choice, asked.wishes)
    return {
        "directory": place.name,
        "valid": summary["valid"],
        "reasons": summary["reasons"],
        "confirmed": summary["valid"] and met == "meets" and not better,
        "refuted": summary["valid"] and (met not in ("meets", "perhaps") or better),
        "rate": summary["rate"],
        "rows": [
            {
                "variant": name,
                "simulated_s": by_name[name]["loads"][-1]["latency_s"],
                "simulated_bounded": by_name[name]["loads"][-1].get("bounded", True),
                "live_s": finite(one.worst.latency),
                "live_bounded": one.worst.bounded,
                "live_ci95_s": [one.worst.low, one.worst.high] if math.isfinite(one.worst.high) else None,
                "accuracy": one.accuracy,
                "work": finite(one.cost),
                "status": status(one, asked.wishes),
            }
            for name, one in live.items()
        ],
        "said": _said(choice, runner_up, better, summary["valid"], asked.wishes),
    }


def _is_better(runner_up: Candidate, choice: Candidate, wishes: Wishes) -> bool:
    if status(runner_up, wishes) != "meets":
        return False
    if wishes.slo is not None:
        return choice.scheme != NONE.name and runner_up.cost < choice.cost - ABOUT["cost"]
    if not runner_up.worst.latency < choice.worst.latency * (1 - ABOUT["latency"]):
        return False
    return runner_up.worst.high < choice.worst.low  # the intervals do not overlap


def _said(choice: Candidate, runner_up: Candidate | None, better: bool, valid: bool, wishes: Wishes) -> str:
    if not valid:
        return "The live run is INVALID, so it neither confirms nor refutes the choice."
    met, name = status(choice, wishes), name_of(choice)
    if met not in ("meets", "perhaps"):
        return f"Not confirmed: live, {name} did not meet the requirements."
    if better and runner_up is not None:
        return f"Not confirmed: live, {name_of(runner_up)} was better than {name}."
    if met == "perhaps":
        return (
            f"Neither confirmed nor refuted: live, {name} had {figures(choice, wishes)}, which perhaps meets "
            "the requirements; more --runs would tell."
        )
    rest = "" if runner_up is None else f", and {name_of(runner_up)} is not better by more than noise"
    return f"Confirmed: live, {name} meets the requirements{rest}."


def _scheme(one: Mapping[str, Any]) -> SchemeConfig:
    return SchemeConfig(one["scheme"], one["variant"], tuple(sorted(one["options"].items())))

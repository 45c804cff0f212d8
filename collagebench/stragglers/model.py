"""Straggler models: their interface, all families with their parameters, and how to open one by name.

Parameters that are times are in seconds. In mode scale they are factors, and a default is then ten times the number
below, because 0.1 s counts as 1. `time_scale` multiplies drawn seconds, whether given or default. It does not multiply
a given length of slow periods, nor the times of crashes and natural disturbances.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from collagebench.errors import UsageError, nearest
from collagebench.stragglers.checks import check
from collagebench.stragglers.drawn import Drawn
from collagebench.stragglers.failures import Crash, Erasure
from collagebench.stragglers.families import Bimodal, Distribution, Lognormal, Pareto, ShiftedExponential
from collagebench.stragglers.fixed import FixedStragglers, NoStragglers
from collagebench.stragglers.logs import read_logs
from collagebench.stragglers.natural import Natural
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.recorded import open_recorded
from collagebench.stragglers.replay import LASTING, replay
from collagebench.stragglers.service import Mode
from collagebench.stragglers.structured import Structured, structured_requests
from collagebench.stragglers.trace import CollageMachines, collage_trace

_DRAWN: dict[str, Any] = {"straggler_mode": "floor", "slow_share": 0.05, "persistence": 0.0}
PARAMETERS: dict[str, dict[str, Any]] = {
    "none": {"base": None},  # None: the compute time
    "fixed": {"slow_workers": 1, "slow_factor": 5.0},
    "collage-trace": {**_DRAWN, "slow_share": None},  # None: the share above 0.4 s
    "collage-machines": {**_DRAWN, "slow_share": 0.0065, "slow_place": "anywhere"},
    "shifted-exponential": {"shift": 0.1, "tail": 0.1, **_DRAWN},
    "pareto": {"scale": 0.1, "shape": 1.5, **_DRAWN},
    "lognormal": {"median": 0.1, "sigma": 0.5, **_DRAWN},
    "bimodal": {"base": 0.1, "slow_factor": 10.0, "sigma": 0.0, **_DRAWN},
    "markov": {"base": 0.1, "slow_factor": 5.0, "sigma": 0.0, **_DRAWN, "slow_share": 0.1, "persistence": 1.0},
    "structured": {
        "median": 0.1367,
        "machine_sigma": 0.202,
        "request_sigma": 0.103,
        "excursion_share": 0.0065,
        "excursion_factor": 1.83,
        "slow_machines": 0.02,
        "slow_machine": 0.702,
        "slow_place": "anywhere",
        "straggler_mode": "floor",
        "persistence": 0.0,
    },
    "trace": {"trace": None, "replay": "iid", "block": 50, "log_length": None, **_DRAWN},
    "erasure": {"base": 0.1, "drop_share": 0.02, "persistence": 0.0},
    "crash": {"base": 0.1, "crash_every": 10.0, "restart_after": 0.5},
    "stop": {"base": None, "slow_workers": 1, "stop_every": 2.0, "stop_for": 0.3},
    "corunner": {"slow_workers": 1, "load": "cpu"},
    "throttle": {"slow_workers": 1, "quota": 0.25},
    "traffic": {"slow_workers": 1, "transfers": 2, "transfer_mb": 128.0},
}
"""The parameters of each family of stragglers, and their defaults."""
NAMES = tuple(PARAMETERS)
RECORDED: dict[str, Any] = {"persistence": None}
"""The parameters of a recorded profile, whose name is a path; None: the recorded length."""
TIMES = ("shift", "tail", "scale", "median", "base", "slow_machine")
"""Parameters that are seconds, or factors in mode scale."""
_UNIT_S = 0.1
"""The seconds that count as factor 1 in mode scale."""


class Stragglers(Protocol):
    """How slowly each task is served: a pure function of the task, the worker and the time (`draws`)."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    @property
    def mode(self) -> Mode:
        """How a draw affects a service time; see `service`."""

    @property
    def mean(self) -> float:
        """The mean draw over the fleet and over time: seconds for floor and add, a factor for scale."""

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the draw for one task: seconds, or a factor for scale.

        `request` is the id of its first request. `at` is the planned begin of its service, in seconds since the cell
        began.
        """

    def without(self) -> Stragglers | None:
        """Return the same fleet without its stragglers, or None if it has none."""


def parameters_of(name: str) -> dict[str, Any]:
    """Return the parameters, with defaults, of the stragglers `name`: one of NAMES or the path of a recorded profile.

    Raises:
        UsageError: the name is unknown.
    """
    if is_path(name):
        return RECORDED
    if name not in PARAMETERS:
        others = "give the path of a file that `collagebench record` wrote, or one of"
        raise UsageError(f"there are no stragglers called {name!r}{nearest(name, NAMES, others)}")
    return PARAMETERS[name]


def open_stragglers(
    name: str, seed: int, workers: int, time_scale: float = 1.0, parameters: Mapping[str, Any] = {}
) -> Stragglers:
    """Return the straggler model `name`, one of NAMES or the path of a recorded profile, for a fleet of `workers`.

    `time_scale` multiplies drawn seconds; it has no effect on a model that draws factors or nothing. `parameters` may
    contain any of `parameters_of(name)`; missing ones, and those that are None, have their defaults.

    Raises:
        UsageError: the name or a parameter is unknown, or a value is not valid.
        DataError: a table, a trace or a recorded profile is missing or damaged.
    """
    known = parameters_of(name)
    if seed < 0:
        raise UsageError(f"the seed must be 0 or more, not {seed}")
    if workers < 1:
        raise UsageError(f"a fleet needs at least 1 worker, not {workers}")
    if not (math.isfinite(time_scale) and time_scale > 0):
        raise UsageError(f"the time scale must be above 0, not {time_scale}")
    given = {key: value for key, value in parameters.items() if value is not None}
    for key in given:
        if key not in known:
            takes = f"; it takes {', '.join(map(_option, known))}" if known else ", which takes none"
            raise UsageError(f"{_option(key)} is not a parameter of the stragglers {name}{takes}")
    if is_path(name):
        return open_recorded(name, seed, time_scale, given.get("persistence"), workers)
    mode: Mode = given.get("straggler_mode", "floor")
    unit = 1 / _UNIT_S if mode == "scale" else 1.0
    p = {key: value * unit if value and key in TIMES else value for key, value in known.items()} | given
    check(p, workers)
    return _open(name, seed, workers, time_scale, p)


def _open(name: str, seed: int, workers: int, time_scale: float, p: Mapping[str, Any]) -> Stragglers:
    """Return the model; `p` holds all its parameters, already checked."""
    mode: Mode = p.get("straggler_mode", "floor")
    scale = 1.0 if mode == "scale" else time_scale
    match name:
        case "none":
            return NoStragglers((p.get("base") or 0.0) * scale)
        case "fixed":
            return FixedStragglers(seed, workers, p["slow_workers"], p["slow_factor"])
        case "erasure":
            return Erasure(p["base"] * scale, Levels(seed, p["drop_share"], p["persistence"]))
        case "crash":
            return Crash(p["base"] * scale, seed, p["crash_every"], p["restart_after"])
        case "stop" | "corunner" | "throttle" | "traffic":
            rest = {key: value for key, value in p.items() if key not in ("base", "slow_workers")}
            return Natural((p.get("base") or 0.0) * scale, seed, workers, name, p["slow_workers"], rest)
        case "collage-trace":
            return collage_trace(seed, time_scale, mode, p["slow_share"], p["persistence"])
        case "structured":
            requests = structured_requests(p["request_sigma"], p["excursion_share"], p["excursion_factor"])
            machines = Lognormal(p["median"] * scale, p["machine_sigma"])
            levels = Levels(seed, p["excursion_share"], p["persistence"])
            slow, share = p["slow_machine"] * scale, p["slow_machines"]
            return Structured(mode, levels, workers, machines, slow, share, p["slow_place"], requests)
    levels = Levels(seed, p["slow_share"], p["persistence"])
    if name == "collage-machines":
        return CollageMachines(levels, workers, time_scale, mode, p["slow_place"])
    if name == "trace":
        if p["trace"] is None:
            raise UsageError("a replay needs a trace: give --trace, a file of measured service times")
        if p["replay"] in LASTING and p["persistence"]:
            raise UsageError(
                f"--persistence has no effect with --replay {p['replay']}, whose slow periods are the trace's own"
            )
        logs = read_logs(Path(p["trace"]), p["log_length"])
        return replay(logs, levels, p["replay"], p["block"], mode, time_scale)
    return Drawn(name, mode, _distribution(name, p).scaled(scale), levels)


def _distribution(name: str, p: Mapping[str, Any]) -> Distribution:
    match name:
        case "shifted-exponential":
            return ShiftedExponential(p["shift"], p["tail"])
        case "pareto":
            return Pareto(p["scale"], p["shape"])
        case "lognormal":
            return Lognormal(p["median"], p["sigma"])
        case "bimodal" | "markov":
            return Bimodal(p["base"], p["slow_factor"], p["slow_share"], p["sigma"])
    raise AssertionError(name)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def is_path(name: str) -> bool:
    """Whether `name` is the path of a recorded profile."""
    return name.endswith(".json") or os.sep in name

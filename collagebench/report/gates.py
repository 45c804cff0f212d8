"""Gates: conditions on the figures of a report; if one is true, the command ends with exit code 3.

A gate states the failure (`collage.p99 > 0.3`). A gate with an unknown figure also fails, with a sentence that says
why: what is not known must not pass.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from collagebench.errors import UsageError
from collagebench.report.expression import ENDS, LATENCIES, Figure, Gate, Number, Value, check
from collagebench.report.parts import UNKNOWN, print_line
from collagebench.report.summary import bound_of, failing, not_own
from collagebench.report.tails import ends_of
from collagebench.statistics.quantiles import QUANTILES, requests_needed

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


FAR = 10
"""A number more than so many times a latency in seconds was perhaps meant as milliseconds."""


class _Unknown(Exception):
    """A value is unknown; the message says why."""


def apply(summary: dict[str, Any], gates: Sequence[Gate]) -> bool:
    """Add the outcome of each gate to the object that `summarise` made, as `gates`; return whether any failed.

    An outcome is {expression, left, right, failed, reason}; `left` and `right` are None if unknown. With several runs,
    each run has its own outcomes, and the whole has all of them, each with the name of its `run`.

    Raises:
        UsageError: a gate names a scheme that a run does not have.
    """
    ones = summary.get("runs", [summary])
    for one in ones:
        one["gates"] = [_outcome(gate, one) for gate in gates]
    if "runs" in summary:
        summary["gates"] = [{"run": one["name"], **outcome} for one in ones for outcome in one["gates"]]
    return any(outcome["failed"] for one in ones for outcome in one["gates"])


def print_gates(outcomes: Sequence[dict[str, Any]], console: Console) -> None:
    """Print one line for each gate: whether it failed, both values, and its `run`, if it has one."""
    for outcome in outcomes:
        sides = " and ".join(UNKNOWN if outcome[side] is None else f"{outcome[side]:.4g}" for side in ("left", "right"))
        known = outcome["failed"] and None not in (outcome["left"], outcome["right"])  # then the values explain it
        why = f": {outcome['reason']}" if outcome["reason"] and not known else ""
        where = f"{outcome['run']}: " if "run" in outcome else ""
        print_line(
            console,
            f"{where}{_said(outcome)}  ({sides}){why}",
            indent="gate FAILED: " if outcome["failed"] else "gate passed: ",
            style="bold red" if outcome["failed"] else "",
        )
    if outcomes:
        console.print()


def labelled(outcome: dict[str, Any]) -> tuple[str, str]:
    """Return two texts: whether a gate failed, and in which `run`, if it has one; and what is true, with the reason."""
    where = f" in {outcome['run']}" if "run" in outcome else ""
    why = f" ({outcome['reason']})" if outcome["reason"] else ""
    return f"gate {'FAILED' if outcome['failed'] else 'passed'}{where}", f"{_said(outcome)}{why}"


def _said(outcome: dict[str, Any]) -> str:
    """Return what is true: the gate's condition if it failed, its negation if it passed."""
    return outcome["expression"] if outcome["failed"] else f"not ({outcome['expression']})"


def _outcome(gate: Gate, one: dict[str, Any]) -> dict[str, Any]:
    schemes = {scheme["variant"]: scheme for scheme in one["schemes"]}
    try:
        check(gate, schemes)
    except UsageError as error:
        raise UsageError(f"{one['name']}: {error}" if "name" in one else str(error)) from None
    left, left_unknown = _side(gate.left, schemes)
    right, right_unknown = _side(gate.right, schemes)
    unknown = "; ".join(reason for reason in (left_unknown, right_unknown) if reason)
    failed, reason = True, unknown
    if left is not None and right is not None:
        failed = RELATIONS[gate.relation](left, right)
        unit = _unit(gate, left, right, one["config"].get("deadline"))
        reason = f"{left:.4g} {gate.relation} {right:.4g}" if failed else unit
    return {"expression": gate.text, "left": left, "right": right, "failed": failed, "reason": reason or None}


def _unit(gate: Gate, left: float, right: float, deadline: float | None) -> str:
    """Return a note if a gate compares a latency with a far larger number above the deadline, probably milliseconds."""
    for value, found, other in ((gate.left, left, gate.right), (gate.right, right, gate.left)):
        if not (isinstance(value, Figure) and _of(value.metric) in LATENCIES and isinstance(other, Number)):
            continue
        if deadline is not None and other.value > max(deadline, FAR * found):
            ms = f"{other.value:g} ms are {other.value / 1e3:g}"
            return f"latencies are in seconds, and tasks are given up after {deadline:g} s; {ms}"
    return ""


def _side(value: Value, schemes: dict[str, dict[str, Any]]) -> tuple[float | None, str]:
    """Return a side's value and an empty text, or None and why it is unknown."""
    try:
        return _compute(value, schemes), ""
    except _Unknown as unknown:
        return None, str(unknown)


def _compute(value: Value, schemes: dict[str, dict[str, Any]]) -> float:
    if isinstance(value, Number):
        return value.value
    if isinstance(value, Figure):
        return _figure(value, schemes)
    left, right = _compute(value.left, schemes), _compute(value.right, schemes)
    if value.sign == "/" and right == 0:
        raise _Unknown("division by 0")
    found = OPERATIONS[value.sign](left, right)
    if not math.isfinite(found):
        raise _Unknown("the value is too large")
    return found


def _figure(figure: Figure, schemes: dict[str, dict[str, Any]]) -> float:
    """Return a figure of the report; raise _Unknown with the reason if it is unknown."""
    scheme, metric = schemes.get(figure.scheme), figure.metric
    if scheme is None:
        bound = bound_of(schemes.values())
        if bound is None:
            raise _Unknown(f"{figure} is not known, because there are no stragglers to remove")
        found = bound["latency_s"][metric]
        if found is None:
            raise _Unknown(f"{figure} is not known, because {_why_no_bound(bound, metric)}")
        return float(found)
    if not scheme["runs"]:
        raise _Unknown(f"{figure} is not known, because {figure.scheme} has no complete run")
    if scheme["unstable"] and (_of(metric) not in _READ or _of(metric) == "goodput"):
        raise _Unknown(f"{figure} is not known, because {figure.scheme} {failing(scheme)}")
    found = _read(scheme, metric)
    if found is not None:
        return float(found)
    if metric in ENDS and _of(metric) in LATENCIES and ends_of(scheme, _of(metric)) is not None:
        raise _Unknown(f"{figure} is infinite, because {scheme['failed']} of {scheme['requests']} requests failed")
    if metric in ENDS and _read(scheme, _of(metric)) is not None:
        raise _Unknown(f"{figure} is not known, because that takes at least two runs, each with a {_of(metric)}")
    metric = _of(metric)
    if metric in scheme["infinite"] or (metric in ("mean", "std", "max") and scheme["failed"]):
        raise _Unknown(f"{figure} is infinite, because {scheme['failed']} of {scheme['requests']} requests failed")
    least = scheme["latency_at_least_s"].get(metric)
    if metric in scheme["latency_at_least_s"]:
        at_least = "" if least is None else f"; it is at least {least:.4g}"
        raise _Unknown(f"{figure} is not known, because {scheme['requests']} requests are too few for it{at_least}")
    raise _Unknown(f"{figure} is not known in this run")


def _read(scheme: dict[str, Any], metric: str) -> float | None:
    if metric in ENDS:
        name, end = ENDS[metric]
        others = {"accuracy": scheme["accuracy"]["ci95"], "goodput": scheme["goodput_ci95_rps"]}
        interval = others[name] if name in others else ends_of(scheme, name)
        found = None if interval is None else interval[0 if end == "low" else 1]
        return None if found == math.inf else found
    return _READ[metric](scheme) if metric in _READ else scheme["latency_s"][metric]


def _of(metric: str) -> str:
    """Return the figure of a metric, which may be an end of the figure's interval."""
    return ENDS[metric][0] if metric in ENDS else metric


def _why_no_bound(bound: dict[str, Any], metric: str) -> str:
    requests = bound["requests"] or 0
    if metric not in QUANTILES or requests >= requests_needed(QUANTILES[metric]):
        return "requests fail even without stragglers"
    return f"{requests} requests are too few for it"


def _failed_share(scheme: dict[str, Any]) -> float | None:
    return scheme["failed"] / scheme["requests"] if scheme["requests"] else None


_READ: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "accuracy": lambda scheme: scheme["accuracy"]["overall"],
    "not_own": not_own,
    "failed": lambda scheme: scheme["failed"],
    "failed_share": _failed_share,
    "work": lambda scheme: scheme["relative"]["executed"],
    "busy": lambda scheme: scheme["busy"],
    "goodput": lambda scheme: scheme["goodput_rps"],
}
"""The metrics other than latencies."""

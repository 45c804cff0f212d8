"""Differences between the conditions of several runs that can affect their figures, shown below the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from collagebench.config import Config, as_json, option
from collagebench.report.parts import UNKNOWN

SHOWN = 6
"""The most differences that are named; the others are counted."""
INDIFFERENT = {
    *("schemes", "runs", "accuracy", "slo_ms", "download", "bootstrap", "remote_python", "ray_address"),
    *("tls_ca", "tls_cert", "tls_key"),
    *("models", "precision"),
}
"""Options that do not affect figures (amounts, ways of access), and those of files whose digests are compared."""

Object = dict[str, Any]


def differences(objects: Sequence[Object]) -> list[Object]:
    """Return each option in which runs differ as {option, values}, with a value for each run; None if it has none.

    `objects` are the runs' summaries. A scheme's own option is prefixed with the variant's name, and compared among the
    runs that have the variant; so is the code of a user's own scheme, by its digest. A model is compared by its digest,
    among the runs that have one for its role.
    """
    conditions = [_conditions(one) for one in objects]
    found = []
    for name in dict.fromkeys(name for some in conditions for name in some):
        known = [some[name] for some in conditions if name in some]
        if any(value != known[0] for value in known):
            found.append({"option": name, "values": [some.get(name) for some in conditions]})
    return found


def differing(found: Sequence[Object]) -> str:
    """Return a sentence about how runs differ, empty if they do not; `found` is the result of `differences`."""
    said = [_said(one["option"], one["values"]) for one in found]
    more = [f"and {len(said) - SHOWN} more"] if len(said) > SHOWN else []
    return f"the runs differ in: {', '.join([*said[:SHOWN], *more])}" if said else ""


def _said(name: str, values: Sequence[Any]) -> str:
    """Return an option's name, and its values if they are short."""
    texts = [PurePath(value).name if isinstance(value, str) else _number(value) for value in values]
    short = len(set(texts)) > 1 and sum(map(len, texts)) <= 40 and not any(isinstance(value, list) for value in values)
    return f"{name} {' / '.join(texts)}" if short else name


def _number(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _conditions(one: Object) -> Object:
    """Return the values that a run's figures depend on, by the name of the option."""
    config = {**as_json(Config()), **one["config"]}
    facts, schemes = one["stragglers"] or {}, one["schemes"]
    if config["rate"] is None:  # show the actual load if it was not given
        known = next((scheme["utilisation"] for scheme in schemes), None)
        config["utilisation"] = None if known is None else float(f"{known:.6g}")  # it was worked out from the rate
    config |= facts.get("parameters") or {}
    config["time_scale"] = facts.get("time_scale") or config["time_scale"]
    config["stragglers"] = facts.get("sha256") or config["stragglers"]
    arrivals = one.get("arrivals") or {}
    config |= arrivals.get("parameters") or {}
    config["arrivals"] = arrivals.get("sha256") or config["arrivals"]
    found = {"engine": one["engine"], "cpu": one["environment"].get("cpu")}
    found |= {option(name): value for name, value in config.items() if name not in INDIFFERENT}
    for model in one["models"]:
        grid = f" {model['grid']}x{model['grid']}" if model.get("grid") else ""
        found[f"model of {model.get('role')}{grid}"] = model.get("sha256") or model.get("name")
    for scheme in schemes:
        found |= {f"{scheme['variant']} {option(name)}": value for name, value in scheme["settings"].items()}
        found |= {f"code of {scheme['variant']}": scheme["code"]} if scheme["code"] else {}
    return found

"""The stragglers that a config describes, and what a run records about them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from collagebench.config import Config, plain
from collagebench.number_files import reading
from collagebench.stragglers.model import NAMES, Stragglers, open_stragglers, parameters_of

USUAL_TIME_SCALE = 0.2
"""The default time scale of built-in latencies, which makes them short enough for a run of about a minute."""


def stragglers_of(config: Config) -> Stragglers:
    """Return the straggler model of the config; raises the same as `open_stragglers`."""
    return open_stragglers(config.stragglers, config.seed, config.workers, time_scale(config), _parameters(config))


def _parameters(config: Config) -> dict[str, Any]:
    """Return the parameters of the stragglers that are set in the config."""
    given = {name: getattr(config, name) for name in parameters_of(config.stragglers)}
    return {name: value for name, value in given.items() if value is not None}


def time_scale(config: Config) -> float:
    """Return the factor of drawn seconds; its default is 1 for the user's own measurements, else USUAL_TIME_SCALE."""
    if config.time_scale is not None:
        return config.time_scale
    return 1.0 if config.trace is not None or config.stragglers not in NAMES else USUAL_TIME_SCALE


def straggler_facts(config: Config) -> dict[str, Any]:
    """Return the facts about a config's stragglers that a run records besides their name.

    Raises:
        DataError: the file that they replay cannot be read.
    """
    return {
        "time_scale": time_scale(config),
        "sha256": _digest(config),
        "parameters": plain({**parameters_of(config.stragglers), **_parameters(config)}),
    }


def _digest(config: Config) -> str | None:
    """Return the sha256 of the file that the stragglers replay; None if there is none."""
    file = config.trace or (None if config.stragglers in NAMES else Path(config.stragglers))
    if file is None:
        return None
    with reading(file, "the stragglers' file"):
        return hashlib.sha256(file.read_bytes()).hexdigest()

"""Validation of the parameters of straggler families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collagebench.errors import UsageError
from collagebench.stragglers.causes import LOADS
from collagebench.stragglers.placement import PLACES
from collagebench.stragglers.replay import REPLAYS
from collagebench.stragglers.service import MODES

MOST = 1e6
"""Largest time, factor or count. A larger one is a typing error, and products of numbers up to this are finite."""
_SHARE = (0.0, 1.0, "a share from 0 to below 1")
_ABOVE_0 = (0.0, MOST, f"a number above 0, at most {MOST:,.0f}")
_FROM_1 = (1.0, MOST, f"a number from 1 to {MOST:,.0f}")
_SECONDS = (0.0, MOST, f"a number of seconds from 0 to {MOST:,.0f}")
_SPREAD = (0.0, 10.0, "a standard deviation of logarithms from 0 to 10")
_RANGES: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(("tail", "scale", "median", "base", "slow_machine", "crash_every"), _ABOVE_0),
    **dict.fromkeys(("stop_every", "stop_for", "transfer_mb"), _ABOVE_0),
    **dict.fromkeys(("shift", "persistence", "restart_after"), _SECONDS),
    **dict.fromkeys(("slow_factor", "excursion_factor"), _FROM_1),
    **dict.fromkeys(("sigma", "machine_sigma", "request_sigma"), _SPREAD),
    **dict.fromkeys(("slow_share", "excursion_share", "slow_machines", "drop_share"), _SHARE),
    "shape": (1.0, MOST, f"a number above 1, so that there is a mean, at most {MOST:,.0f}"),
    "quota": (0.0, 1.0, "a share of a core, above 0 and at most 1"),
}
"""Lowest value, highest value, and the range in words; an end that the words call `above` or `below` is excluded."""
_COUNTS = ("block", "log_length", "transfers")
_CHOICES: dict[str, tuple[str, ...]] = {
    "straggler_mode": MODES,
    "slow_place": PLACES,
    "replay": REPLAYS,
    "load": LOADS,
}


def check(parameters: Mapping[str, Any], workers: int) -> None:
    """Check parameters, by name, for a fleet of `workers`; None stands for a default and is always valid.

    Raises:
        UsageError: a value is not valid; the message says which values are.
    """
    for name, value in parameters.items():
        if value is None:
            continue
        wanted = _wanted(name, value, workers)
        if wanted:
            raise UsageError(f"--{name.replace('_', '-')} must be {wanted}, not {value}")
    if parameters.get("crash_every", MOST) <= parameters.get("restart_after", 0.0):
        raise UsageError(
            f"--crash-every must be longer than --restart-after: {parameters['crash_every']} s between crashes leave "
            f"no time to serve if {parameters['restart_after']} s pass before each restart"
        )


def _wanted(name: str, value: Any, workers: int) -> str | None:
    """Return the valid values in words, or None if the value is valid."""
    if name == "trace":
        return None
    if name in _CHOICES:
        choices = _CHOICES[name]
        return None if value in choices else f"{', '.join(choices[:-1])} or {choices[-1]}"
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name == "slow_workers":
        return None if whole and 0 <= value <= workers else f"0 to {workers}, the size of the fleet"
    if name in _COUNTS:
        return None if whole and 1 <= value <= MOST else f"a whole number from 1 to {MOST:,.0f}"
    low, high, words = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        return words
    ends = ((low,) if "above" in words else ()) + ((high,) if "below" in words else ())
    return words if value in ends else None

"""Options that only some arrivals or stragglers use: refused with the others, or dropped where these come instead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from collagebench.config import Config, option
from collagebench.errors import UsageError
from collagebench.stragglers.model import NAMES, RECORDED, parameters_of
from collagebench.study.grid import Axis
from collagebench.workload.arrivals import KINDS as ARRIVALS
from collagebench.workload.arrivals import parameters_of as arrival_parameters

NEEDED = (
    ("block", "replay", ("block",)),
    ("slow_machines", "slow_place", ("anywhere",)),
    ("slow_machine", "slow_place", ("anywhere", "first", "last")),
)
"""Straggler options that have an effect only with some values of another option: (option, other option, values)."""


def drop_options_of_others(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Drop a profile's options for its arrivals or stragglers if the command line chooses others. Changes `values`."""
    for field, (takes, kinds) in OWNERS.items():
        if field in given:
            several = given[field] if isinstance(given[field], tuple) else (given[field],)
            used = {name for kind in several for name in takes(kind)}
            for name in {name for kind in kinds for name in takes(kind)} - used - given.keys():
                values.pop(name, None)


def only_used(values: dict[str, Any], axes: Sequence[Axis], field: str) -> None:
    """Refuse options that only other arrivals or stragglers (`field`) use than those of this cell.

    In a sweep over these, an option that only others of the sweep use is dropped, unless it is itself an axis. Changes
    `values`.
    """
    takes, kinds = OWNERS[field]
    chosen = values.get(field, getattr(Config(), field))
    swept = next((axis.values for axis in axes if axis.name == field), (chosen,))
    to_others = {name for other in swept for name in takes(other)} - {axis.name for axis in axes}
    for name in sorted(({name for kind in kinds for name in takes(kind)} - set(takes(chosen))) & values.keys()):
        if name not in to_others:
            takers = [kind for kind in kinds if name in takes(kind)]
            raise UsageError(f"--{option(name)} has no effect with --{field} {chosen}, only with {', '.join(takers)}")
        del values[name]


def check_straggler_options(values: dict[str, Any], given: Mapping[str, Any], axes: Sequence[Axis]) -> None:
    """Refuse or drop options that the chosen stragglers do not use. Changes `values`."""
    chosen = values.get("stragglers", Config().stragglers)
    known = parameters_of(chosen)
    only_used(values, axes, "stragglers")
    for name, owner, needed in NEEDED:
        value = values.get(owner) or known.get(owner)
        swept_by = any(axis.name == owner for axis in axes)
        if name in given and name in _straggler_options(chosen) and not swept_by and value not in needed:
            raise UsageError(f"--{option(name)} has no effect with --{option(owner)} {value}: leave it out")
    if values.get("straggler_mode") == "scale":
        if "time_scale" in given or ("time_scale" in values and "straggler_mode" not in given):
            raise UsageError("--time-scale multiplies seconds, but in mode scale draws are factors: leave it out")
        values.pop("time_scale", None)


def _straggler_options(name: str) -> Collection[str]:
    """Return the options of stragglers: their parameters, and `time_scale` if they draw seconds."""
    parameters = parameters_of(name)
    draws_seconds = parameters is RECORDED or {"straggler_mode", "base"} & parameters.keys()
    return {*parameters, *(("time_scale",) if draws_seconds else ())}


OWNERS: Mapping[str, tuple[Callable[[str], Collection[str]], Sequence[str]]] = {
    "arrivals": (arrival_parameters, ARRIVALS),
    "stragglers": (_straggler_options, NAMES),
}
"""Options whose values have options of their own: a function that returns those of a value, and the values that have a
name; others are files."""

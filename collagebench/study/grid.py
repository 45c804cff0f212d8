"""Options with several values, in a profile or on the command line.

A list for an option of the experiment (`utilisation = [0.1, 0.3]`) is an axis. Each combination of the axes' values is
a separate experiment, a cell, in which every scheme is run. A list for an option of a scheme (`grid = [2, 3]`) makes a
variant for each value. The variants run in the same experiment, with the same arrivals and slowdowns.

No result depends on the order of a list or of the options: cells are named by their values, with numbers in ascending
order, and a cell is the same experiment as one with these values alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from collagebench.config import Config, SchemeConfig, option
from collagebench.errors import UsageError
from collagebench.results.labels import labels, spelled

MOST_CELLS = 1000
MOST_VARIANTS = 100
LONGEST = 120
"""Most characters of a cell's name, which is also the name of its directory."""
FIELDS = dict.fromkeys(field.name for field in fields(Config) if field.name != "schemes").keys()
LISTS = ("host", "endpoint", "ray_resource")
"""Fields that have several values in a single experiment, so they are not axes."""
Values = Mapping[str, Any]
"""Values by Config field; a tuple stands for several values."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An option of the experiment and its values."""

    name: str
    """A Config field."""
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of the axes' values."""

    name: str
    values: Values
    """By axis."""
    config: Config


@dataclass(frozen=True, slots=True)
class Grid:
    """All cells of a sweep; an experiment without axes has a single cell with an empty name."""

    values: Values
    """The given values by Config field, lists included, without defaults."""
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]


def axes_of(values: Values) -> tuple[Axis, ...]:
    """Return the axes among the values of an experiment, in the order of the config.

    Raises:
        UsageError: they make more than `MOST_CELLS` cells.
    """
    several = [name for name in FIELDS if name not in LISTS and isinstance(values.get(name), tuple)]
    axes = tuple(Axis(name, _in_order(values[name])) for name in several)
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_CELLS:
        product_of = " x ".join(f"{len(axis.values)} of --{option(axis.name)}" for axis in axes)
        raise UsageError(
            f"{product_of} make {count:,} experiments, but at most {MOST_CELLS:,} are possible: shorten a list"
        )
    return axes


def combinations(axes: Sequence[Axis]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the values of each cell; the last axis changes fastest."""
    labelled = [list(zip(labels(axis.values), axis.values, strict=True)) for axis in axes]
    for places in product(*labelled):
        parts = [f"{option(axis.name)}={label}" for axis, (label, _) in zip(axes, places, strict=True)]
        name = ",".join(parts)
        if len(name) > LONGEST:
            name = f"{name[: LONGEST - 9]}-{zlib.crc32(name.encode()):08x}"
        yield name, {axis.name: value for axis, (_, value) in zip(axes, places, strict=True)}


def variants(scheme: SchemeConfig) -> list[SchemeConfig]:
    """Return a variant for each combination of the lists among a scheme's options, or the scheme itself.

    Raises:
        UsageError: there are more than `MOST_VARIANTS`, too many for one table.
    """
    options = dict(scheme.options)
    several = [name for name, value in options.items() if isinstance(value, tuple)]
    if not several:
        return [scheme]
    count = math.prod(len(options[name]) for name in several)
    if count > MOST_VARIANTS:
        raise UsageError(
            f"the lists of {scheme.variant} make {count:,} variants of it, but at most {MOST_VARIANTS} are possible"
        )
    found = []
    for values in product(*(_in_order(options[name]) for name in several)):
        chosen = dict(zip(several, values, strict=True))
        parts = [f"{_short(scheme.name, name)}={spelled(value)}" for name, value in chosen.items()]
        changed = tuple(sorted({**options, **chosen}.items()))
        found.append(replace(scheme, variant=" ".join([scheme.variant, *parts]), options=changed))
    return found


def several(values: Sequence[Any], what: str) -> tuple[Any, ...]:
    """Return a list of distinct values as a tuple; `what` names the list in messages.

    Raises:
        UsageError: it is empty, or contains a value twice.
    """
    if not values:
        raise UsageError(f"{what} is an empty list: give it a value, or leave it out")
    seen = set()
    for value in values:
        if value in seen:
            raise UsageError(f"{what} has {value!r} twice: name it once")
        seen.add(value)
    return tuple(values)


def _in_order(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return numbers in ascending order, followed by everything else in the given order."""
    numbers = sorted(value for value in values if isinstance(value, (int, float)))
    return (*numbers, *(value for value in values if not isinstance(value, (int, float))))


def _short(scheme: str, name: str) -> str:
    """Return an option's name without the scheme's name in front, unless a Config field has the short name."""
    without = name.removeprefix(f"{scheme.replace('-', '_')}_")
    return option(name if without in FIELDS else without)

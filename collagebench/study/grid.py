"""Options with several values: what becomes of a list, in a profile or on the command line.

A list in the place of an experiment's own option (`utilisation = [0.1, 0.3]`) is an axis: each combination of the
axes' values is an experiment of its own, a cell, in which every scheme is run. A list in the place of a scheme's option
(`grid = [2, 3]`) makes a variant for each value, and these run side by side in the same experiment, on the same
arrivals and slowdowns.

Nothing depends on the order of a list, nor on the order of the options: cells are named by their values, numbers in
ascending order, and each is the experiment that its values alone would make.
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
"""Characters of a cell's name, which is also a directory's."""
FIELDS = dict.fromkeys(field.name for field in fields(Config) if field.name != "schemes").keys()
LISTS = ("host", "endpoint", "ray_resource")
"""Those of which an experiment has several at once; they are no axes."""
Values = Mapping[str, Any]
"""Values by Config field; a tuple is several of them."""


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
    """What an experiment becomes whose options have several values; without axes it has one cell, without a name."""

    values: Values
    """What was asked for, before it was taken apart: by Config field, what is not the default."""
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]


def axes_of(values: Values) -> tuple[Axis, ...]:
    """Return the axes among the values of an experiment, in the order of the config.

    Raises:
        UsageError: they make more cells than anybody could wait for.
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
    """Yield the name and the values of each cell, the last axis changing fastest."""
    labelled = [list(zip(labels(axis.values), axis.values, strict=True)) for axis in axes]
    for places in product(*labelled):
        parts = [f"{option(axis.name)}={label}" for axis, (label, _) in zip(axes, places, strict=True)]
        name = ",".join(parts)
        if len(name) > LONGEST:
            name = f"{name[: LONGEST - 9]}-{zlib.crc32(name.encode()):08x}"
        yield name, {axis.name: value for axis, (_, value) in zip(axes, places, strict=True)}


def variants(scheme: SchemeConfig) -> list[SchemeConfig]:
    """Return the variants that a scheme with lists among its options stands for, itself if there are none.

    Raises:
        UsageError: they are too many to be seen in one table.
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
    """Return a list of values as a tuple, once it is seen to be one of different values; `what` names it.

    Raises:
        UsageError: it is empty, or has a value twice.
    """
    if not values:
        raise UsageError(f"{what} is an empty list: give it a value, or leave it out")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise UsageError(f"{what} has {value!r} twice: each value makes an experiment, so once is enough")
    return tuple(values)


def _in_order(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return numbers in ascending order, before texts as they came."""
    numbers = sorted(value for value in values if isinstance(value, (int, float)))
    return (*numbers, *(value for value in values if not isinstance(value, (int, float))))


def _short(scheme: str, name: str) -> str:
    """Return an option's name without the scheme's own, unless another option has that name."""
    without = name.removeprefix(f"{scheme.replace('-', '_')}_")
    return option(name if without in FIELDS else without)

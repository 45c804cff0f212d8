"""How the options that were typed, a profile and the defaults become one config, or the configs of a sweep."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from collagebench.config import DEFAULT_SCHEMES, Config, SchemeConfig, nearest, option
from collagebench.engine.fitted import LOG, resolve_fits
from collagebench.errors import UsageError
from collagebench.paths import profiles_dir
from collagebench.profile import Profile, check_files, located, read_profile
from collagebench.schemes import SCHEMES, make, options_of
from collagebench.stragglers.model import NAMES, PARAMETERS, RECORDED, is_path, parameters_of
from collagebench.study.grid import FIELDS, Axis, Cell, Grid, axes_of, combinations, variants


def resolve(options: Mapping[str, Any], recorded: Mapping[str, Any] = {}) -> Config:
    """Merge the defaults, the profile if one is named, and the options that were given, into one config.

    What `resolve_grid` does, for a verb that does one experiment: a scheme's option may have several values, one of the
    experiment's may not.

    Raises:
        UsageError: anything in it makes no sense; the sentence says where.
    """
    grid = resolve_grid(options, recorded)
    if grid.axes:
        profile, given = profile_of(options), given_options(options)
        with located(profile, given):
            names = " and ".join(f"--{option(axis.name)}" for axis in grid.axes)
            raise UsageError(f"{names} must have a single value here: `run` and `simulate` take several, for a sweep")
    return grid.cells[0].config


def resolve_grid(options: Mapping[str, Any], recorded: Mapping[str, Any] = {}) -> Grid:
    """Merge the defaults, the profile if one is named, and the options that were given (those that are not None).

    `recorded`, the values of a run that is to be resumed, stand in the place of the defaults.

    An option of a scheme goes to every chosen scheme that takes it.

    Raises:
        UsageError: anything in it makes no sense; the sentence says where.
    """
    given = given_options(options)
    profile = profile_of(options)
    values = {**recorded, **(profile.values if profile else {})}
    if profile:
        check_files(profile, given)
    if {"rate", "utilisation"} & given.keys():
        values.pop("rate", None)
        values.pop("utilisation", None)
    values.update({name: value for name, value in given.items() if name in FIELDS})
    for name in ("stragglers", "trace"):  # so that a resumed run finds them from anywhere
        if values.get(name):
            values[name] = _absolute(values[name])
    schemes = tuple(SchemeConfig(name, name) for name in given.get("schemes", ()))
    schemes = schemes or values.get("schemes", DEFAULT_SCHEMES)
    known = {name for scheme in SCHEMES for name in _options_of(scheme)}
    with located(profile, given):
        axes = axes_of(values)
        values["schemes"] = _with_options(schemes, {name: value for name, value in given.items() if name in known})
    written = profile if profile and "schemes" in profile.values and "schemes" not in given else None
    tables: list[int] = []
    found: list[SchemeConfig] = []
    for number, scheme in enumerate(values["schemes"]):
        with located(written, given, number):
            found += variants(scheme)
            tables += [number] * (len(found) - len(tables))
    with located(profile, given):
        cells = tuple(
            Cell(name, chosen, _config({**values, **chosen, "schemes": tuple(found)}, given, axes))
            for name, chosen in combinations(axes)
        )
    sizes = dict.fromkeys(cell.config.workers for cell in cells)
    for number, scheme in zip(tables, found, strict=True):
        with located(written, given, number):
            fitted = resolve_fits(scheme)
            for workers in sizes:
                make(fitted.name, dict(fitted.options)).allot(workers)  # says what is wrong with them, if anything
    return Grid(values, axes, cells)


def _config(values: dict[str, Any], given: Mapping[str, Any], axes: Sequence[Axis]) -> Config:
    _check_straggler_options(values, given, axes)
    return Config(**values)


def _absolute(value: Any) -> Any:
    """Return the name of stragglers, or the path of a file, or several of them, with paths from the root."""
    if isinstance(value, tuple):
        return tuple(map(_absolute, value))
    return value if isinstance(value, str) and not is_path(value) else type(value)(Path(value).resolve())


def given_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were typed: those that are not None, nor empty as a repeatable one is without values."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def profile_of(options: Mapping[str, Any]) -> Profile | None:
    """Return the profile that the options name, if they name one.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    name = options.get("profile")
    return None if name is None else read_profile(profile_path(name))


def _check_straggler_options(values: dict[str, Any], given: Mapping[str, Any], axes: Sequence[Axis]) -> None:
    """See that no option of the stragglers was given that means nothing to those that were chosen.

    A profile's options that are left over where the command line chooses other stragglers are dropped, and so are
    those that mean something to other stragglers of the same sweep only, unless they are swept themselves.
    """
    chosen = values.get("stragglers", Config().stragglers)
    takes = _with_time_scale(parameters_of(chosen))
    swept = next((axis.values for axis in axes if axis.name == "stragglers"), (chosen,))
    to_others = {name for other in swept for name in _with_time_scale(parameters_of(other))}
    for name in {name for family in NAMES for name in _with_time_scale(PARAMETERS[family])} - set(takes):
        is_axis = any(axis.name == name for axis in axes)
        if (name in given or (name in values and "stragglers" not in given)) and (is_axis or name not in to_others):
            families = [family for family in NAMES if name in _with_time_scale(PARAMETERS[family])]
            raise UsageError(
                f"--{option(name)} means nothing to the stragglers {chosen}, only to {', '.join(families)}"
            )
        values.pop(name, None)
    if values.get("straggler_mode") == "scale":
        if "time_scale" in given or ("time_scale" in values and "straggler_mode" not in given):
            raise UsageError("--time-scale multiplies seconds, and in mode scale draws are factors: leave it out")
        values.pop("time_scale", None)


def _with_time_scale(parameters: Mapping[str, Any]) -> Collection[str]:
    """Return the names of a family's parameters; those that draw seconds have a time scale as well."""
    draws_seconds = parameters is RECORDED or {"straggler_mode", "base"} & parameters.keys()
    return {*parameters, *(("time_scale",) if draws_seconds else ())}


def run_directory(out: Path | None, verb: str) -> Path:
    """Return where an experiment leaves its results: where the user said, or a new directory below `runs`."""
    if out is not None:
        return out
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{verb}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in map(Path("runs").joinpath, names) if not path.exists())


def profile_path(name: str) -> Path:
    """Return the file of a profile: a shipped one of that name, or a file.

    Raises:
        UsageError: there is neither.
    """
    named = profiles_dir() / f"{name}.toml"
    if named.is_file():
        return named
    if Path(name).is_file():
        return Path(name)
    known = [path.stem for path in profiles_dir().glob("*.toml")]
    raise UsageError(
        f"there is no profile {name!r}, neither a file nor a shipped one{nearest(name, known, 'there are')}"
    )


def _with_options(schemes: tuple[SchemeConfig, ...], given: Mapping[str, Any]) -> tuple[SchemeConfig, ...]:
    for name in given:
        if not any(name in _options_of(scheme.name) for scheme in schemes):
            chosen = ", ".join(scheme.name for scheme in schemes)
            raise UsageError(f"--{option(name)} means nothing to the chosen schemes ({chosen})")
    merged = []
    for scheme in schemes:
        taken = _options_of(scheme.name)
        options = {**dict(scheme.options), **{name: value for name, value in given.items() if name in taken}}
        merged.append(replace(scheme, options=tuple(sorted(options.items()))))
    return tuple(merged)


def _options_of(scheme: str) -> set[str]:
    """Return the options that a scheme takes, once it is fitted or before."""
    return {*options_of(scheme), *({LOG} if scheme == "hedge" else ())}

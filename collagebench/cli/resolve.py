"""Merge the options on the command line, a profile and the defaults into one config, or the configs of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from collagebench.cli.owned_options import check_straggler_options, drop_options_of_others, only_used
from collagebench.config import DEFAULT_SCHEMES, Config, SchemeConfig, called, option
from collagebench.engine.fitted import LOG, resolve_fits
from collagebench.errors import UsageError, nearest
from collagebench.fleet.where import FLEETS, Where
from collagebench.hosts import Host, read_hosts
from collagebench.paths import profiles_dir, resolved
from collagebench.profile import NAME_OR_PATH, Profile, check_files, located
from collagebench.read_profile import read_profile
from collagebench.schemes import SCHEMES, make, options_of
from collagebench.schemes.faults import ask
from collagebench.study.grid import FIELDS, Axis, Cell, Grid, axes_of, combinations, variants
from collagebench.workload.arrival_log import read_arrivals
from collagebench.workload.arrivals import is_log
from collagebench.workload.dataset import chosen


def resolve(options: Mapping[str, Any]) -> Config:
    """Merge the defaults, the profile if one is named, and the given options, into one config.

    This is `resolve_grid` for a verb that does a single experiment: an option of a scheme may have several values, but
    an option of the experiment may not.

    Raises:
        UsageError: a value makes no sense; the message says which and where.
    """
    grid = resolve_grid(options)
    if grid.axes:
        profile, given = profile_of(options), given_options(options)
        with located(profile, given):
            names = " and ".join(f"--{option(axis.name)}" for axis in grid.axes)
            raise UsageError(f"{names} must have a single value here: `run` and `simulate` take several, for a sweep")
    return grid.cells[0].config


def resolve_grid(options: Mapping[str, Any], recorded: Mapping[str, Any] = {}) -> Grid:
    """Merge the defaults, the profile if one is named, and the given options (those that are not None) into a grid.

    `recorded` holds the values of a run to resume, which replace the defaults. An option of a scheme goes to every
    chosen scheme that takes it.

    Raises:
        UsageError: a value makes no sense; the message says which and where.
    """
    given = with_hosts(given_options(options))
    profile = profile_of(options)
    values = {**recorded, **(profile.values if profile else {})}
    if profile:
        check_files(profile, given)
    if {"rate", "utilisation"} & given.keys():
        values.pop("rate", None)
        values.pop("utilisation", None)
    values.update({name: value for name, value in given.items() if name in FIELDS})
    for name in (*NAME_OR_PATH, "trace"):  # so that a run can be resumed from any working directory
        if values.get(name):
            values[name] = _absolute(values[name], NAME_OR_PATH.get(name))
    if "data" in values:
        values["dataset"] = chosen(values.get("dataset"), values["data"])
    schemes = tuple(SchemeConfig(name, called(name)) for name in given.get("schemes", ()))
    schemes = schemes or values.get("schemes", DEFAULT_SCHEMES)
    known = {name for scheme in SCHEMES for name in _options_of(scheme)}
    with located(profile, given):
        check_fleet_options(values, given)
        drop_options_of_others(values, given)
        axes = axes_of(values)
        values["schemes"] = _with_options(schemes, {name: value for name, value in given.items() if name in known})
    written = profile if profile and "schemes" in profile.values and "schemes" not in given else None
    typed = {name for name in given if name in known or name in FIELDS}  # both, since names can coincide
    found = _variants_of(enumerate(values["schemes"]), written, typed)
    shared = {**values, "schemes": tuple(scheme for _, scheme in found)}
    with located(profile, given):
        cells = tuple(
            Cell(name, chosen, _config({**shared, **chosen}, given, axes)) for name, chosen in combinations(axes)
        )
    _check_one_load(cells)
    sizes = dict.fromkeys(cell.config.workers for cell in cells)
    for number, scheme in found:
        with located(written, typed, number):
            fitted = resolve_fits(scheme)
            for workers in sizes:
                try:
                    made = make(fitted.name, dict(fitted.options))
                    ask(made, made.allot, workers)  # raises UsageError if options or workers do not fit
                except UsageError as error:
                    if values.get("fleet") != "endpoint":
                        raise
                    hint = "--workers is the number of requests that may be at the servers at once"
                    raise UsageError(f"{error}: {hint}") from None
    return Grid(values, axes, cells)


def written_schemes(profile: Profile, names: Collection[str]) -> tuple[SchemeConfig, ...]:
    """Return the variants for which the [[scheme]] tables of a profile stand: all of them, or those of schemes named.

    What is fitted is fitted. Whether there are workers enough is not asked.

    Raises:
        UsageError: a table makes no sense; the sentence says where.
    """
    tables = enumerate(profile.values.get("schemes", ()))
    wanted = [(number, scheme) for number, scheme in tables if not names or scheme.name in names]
    found = []
    for number, scheme in _variants_of(wanted, profile, ()):
        with located(profile, (), number):
            fitted = resolve_fits(scheme)
            make(fitted.name, dict(fitted.options))  # says what is wrong with them, if anything
            found.append(fitted)
    return tuple(found)


def _variants_of(
    schemes: Iterable[tuple[int, SchemeConfig]], profile: Profile | None, typed: Collection[str]
) -> list[tuple[int, SchemeConfig]]:
    """Return the variants for which schemes stand; each is after the number of its table, as in `schemes`."""
    found = []
    for number, scheme in schemes:
        with located(profile, typed, number):
            found += [(number, variant) for variant in variants(scheme)]
    return found


def _config(values: dict[str, Any], given: Mapping[str, Any], axes: Sequence[Axis]) -> Config:
    check_straggler_options(values, given, axes)
    only_used(values, axes, "arrivals")
    arrivals = values.get("arrivals", Config().arrivals)
    if is_log(arrivals) and values.get("rate") is None and values.get("utilisation") is None:
        values["rate"] = read_arrivals(Path(arrivals)).rate
    return Config(**values)


def _check_one_load(cells: Sequence[Cell]) -> None:
    """Refuse a log at its own rate beside arrivals at the usual utilisation: figures would differ by their loads."""
    usual = [cell.config.arrivals for cell in cells if cell.config.rate is None and cell.config.utilisation is None]
    logs = [cell.config.arrivals for cell in cells if is_log(cell.config.arrivals)]
    if usual and logs:
        raise UsageError(
            f"{Path(logs[0]).name} has a rate of its own, and {usual[0]} arrivals have none: give both one load with "
            "--rate or --utilisation"
        )


def _absolute(value: Any, is_path: Callable[[str], bool] | None) -> Any:
    """Return the value, or each value of a tuple: a path made absolute, a name (not `is_path`) as it is."""
    if isinstance(value, tuple):
        return tuple(_absolute(one, is_path) for one in value)
    return value if is_path and not is_path(value) else type(value)(resolved(Path(value)))


def given_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given: all but None, and () of a repeatable option without values."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def with_hosts(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options with --host and --hosts merged into one `host` entry, a tuple of `Host`.

    Raises:
        UsageError: an address is not valid, or the file cannot be read.
    """
    others = {name: value for name, value in given.items() if name not in ("host", "hosts")}
    file = read_hosts(given["hosts"]) if "hosts" in given else ()
    hosts = (*(Host(address) for address in given.get("host", ())), *file)
    return {**others, "host": hosts} if hosts else others


def check_fleet_options(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse options that the fleet does not use, and derive the number of workers if it is not given.

    That number is the sum over the hosts if all of them state theirs, or the number of endpoints. If the command line
    chooses another fleet than the profile, the profile's options for its own fleet are dropped. Changes `values`.

    Raises:
        UsageError: the fleet is unknown, or does not use an option.
    """
    chosen = values.get("fleet", Config().fleet)
    if chosen not in FLEETS:
        raise UsageError(f"--fleet must be {' or '.join(FLEETS)}, not {chosen!r}")
    for name in {name for names in FLEETS.values() for name in names} - {*FLEETS[chosen]}:
        if name in given or (name in values and "fleet" not in given):
            takers = " or ".join(kind for kind, names in FLEETS.items() if name in names)
            raise UsageError(
                f"--{option(name)} has no effect with --fleet {chosen}: use --fleet {takers}, or leave it out"
            )
        values.pop(name, None)
    said = [host.workers for host in values.get("host", ())]
    if "workers" not in values and said and None not in said:
        values["workers"] = sum(said)
    if "workers" not in values and chosen == "endpoint" and values.get("endpoint"):
        values["workers"] = len(values["endpoint"])
    for name in ("tls_ca", "tls_cert", "tls_key"):
        if name in values:
            values[name] = resolved(Path(values[name]))  # so that a run can be resumed from any working directory


def fleet_of(options: Mapping[str, Any]) -> tuple[Where, int]:
    """Return the fleet that the options describe, without a profile, and its number of workers.

    Raises:
        UsageError: an option makes no sense.
    """
    values = with_hosts(given_options(options))
    check_fleet_options(values, values)
    known = {field.name for field in fields(Where)}
    where = Where(kind=values.get("fleet", Config().fleet), **{name: values[name] for name in known & values.keys()})
    return where, values.get("workers", Config().workers)


def profile_of(options: Mapping[str, Any]) -> Profile | None:
    """Return the profile that the options name, or None.

    Raises:
        UsageError: the profile does not exist or cannot be read.
    """
    name = options.get("profile")
    return None if name is None else read_profile(profile_path(name))


def profile_path(name: str) -> Path:
    """Return the file of a profile: the bundled profile of that name, else the file at that path.

    Raises:
        UsageError: there is neither, or the path is not a regular file.
    """
    named = profiles_dir() / f"{name}.toml"
    if named.is_file():
        return named
    if Path(name).is_file():
        return Path(name)
    if Path(name).exists() and not Path(name).is_dir():
        raise UsageError(f"the profile {name} cannot be read: it is not a regular file")
    known = [path.stem for path in profiles_dir().glob("*.toml")]
    raise UsageError(
        f"there is no profile {name!r}, neither a file nor a bundled one{nearest(name, known, 'there are')}"
    )


def _with_options(schemes: tuple[SchemeConfig, ...], given: Mapping[str, Any]) -> tuple[SchemeConfig, ...]:
    for name in given:
        if not any(name in _options_of(scheme.name) for scheme in schemes):
            chosen = ", ".join(scheme.name for scheme in schemes)
            raise UsageError(f"--{option(name)} has no effect on the chosen schemes ({chosen})")
    merged = []
    for scheme in schemes:
        taken = _options_of(scheme.name)
        options = {**dict(scheme.options), **{name: value for name, value in given.items() if name in taken}}
        merged.append(replace(scheme, options=tuple(sorted(options.items()))))
    return tuple(merged)


def _options_of(scheme: str) -> set[str]:
    """Return the options that a scheme takes, including --hedge-log, which `resolve_fits` consumes."""
    return {*options_of(scheme), *({LOG} if scheme == "hedge" else ())}

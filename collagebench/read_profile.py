"""Reading of profiles: experiments in TOML files.

A profile has the command line's long options as keys (`time-scale = 0.1`), a `description`, and one `[[scheme]]` table
for each variant: its `name`, optionally a unique `variant`, and that scheme's own options. The hosts of a fleet are a
list of addresses, or `[[host]]` tables with an `address` and optionally `workers`. Paths are relative to the file.
Times are seconds, as numbers. A number or a name may be a list, which makes a sweep: see `study.grid`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from collagebench.config import ANSWERS, Config, SchemeConfig, called, option
from collagebench.errors import UsageError, nearest
from collagebench.hosts import Host, read_hosts
from collagebench.ordinary import ordinary
from collagebench.paths import resolved
from collagebench.profile import NAME_OR_PATH, Profile, at_line
from collagebench.schemes import SCHEMES, options_of
from collagebench.study.grid import several
from collagebench.toml_lines import DEEPEST, Way, key_lines, line_of, too_deep

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = {
    "tuple[str": "a list of strings",
    "bool": "true or false",
    "Path": "a path",
    "float": "a number",
    "int": "a whole number",
    "str": "a string",
    "Literal": "a string",
}
NUMBERS = ("a number", "a whole number")
SINGLE = ("slo_ms", "hedge_log")
"""Numbers and names that do not change the experiment itself, so that they cannot be lists."""
COMMAND_LINE = ("profile", "out", "resume", "format", "fail-if", "verbose", "jobs", "on-ray")
"""Options of commands that are not part of an experiment."""
SECONDS = (
    "deadline", "compute_time", "persistence", "base", "shift", "tail", "scale", "median", "slow_machine",
    "crash_every", "restart_after", "stop_every", "stop_for", "burst_for",
)  # fmt: skip
SHARES = ("utilisation", "burst_share", "warmup", "slow_share", "excursion_share", "slow_machines", "drop_share",
          "quota")  # fmt: skip
TIMES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
QUANTITY = re.compile(rf"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%|{'|'.join(TIMES)}|)\s*")
"""A number written as a string, mostly because it has a unit."""


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        UsageError: the file cannot be read, is not TOML, or has an unknown key or a wrong type; the message names the
            file, the line and the key. The schemes check their own options later.
    """
    try:
        text = ordinary(path).read_text(encoding="utf-8-sig")
        if deep := too_deep(text):
            raise UsageError(f"{at_line(path, deep)}: this is no key of a profile: it has more than {DEEPEST} parts")
        data = tomllib.loads(text)
        repr(data)  # fails for a hexadecimal number of thousands of digits, which no message could quote
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"profile {path} cannot be read: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+), ", place)
        where = at_line(path, int(found[1]) if found else max(1, len(text.splitlines())))  # otherwise the last line
        raise UsageError(f"{where}: this is not valid TOML: {what or place}") from None
    except ValueError:  # from `int` or `repr`
        raise UsageError(f"profile {path} cannot be read: a number in it has thousands of digits") from None
    except RecursionError:
        raise UsageError(f"profile {path} cannot be read: its brackets are nested too deeply") from None
    lines = {_spelled(way): line for way, line in key_lines(text).items()}
    description = data.pop("description", "")
    if not isinstance(description, str):
        raise UsageError(f"{at_line(path, line_of(lines, 'description'))}: description must be a string")
    known = {option(field.name): field for field in fields(Config) if field.name not in ("schemes", "host")}
    values: dict[str, Any] = {}
    for key, value in data.items():
        where = at_line(path, line_of(lines, key.replace("_", "-")))
        if key == "scheme":
            values["schemes"] = _read_schemes(path, value, lines)
        elif key in ("host", "hosts"):
            if "host" in values:
                raise UsageError(f"{where}: host and hosts set the same thing: keep only one of them")
            values["host"] = _read_hosts(path, key, value, lines)
        elif option(key) == "token-file":
            raise UsageError(
                f"{where}: a profile cannot choose which of your files is sent to a server: use --token-file"
            )
        elif option(key) == "ray-resource":
            values["ray_resource"] = _read_resources(where, value)
        elif key not in known:
            raise UsageError(f"{where}: {_unknown(key, [*known, 'scheme', 'host', 'hosts'])}")
        else:
            name = known[key].name
            values[name] = _typed(path.parent, where, name, value, str(known[key].type))
    return Profile(path, description, values, lines)


def _unknown(key: str, known: Collection[str]) -> str:
    """Return a message about a key that profiles do not have."""
    plain = key.replace("_", "-")
    if plain in COMMAND_LINE:
        return f"{plain} is not part of an experiment: --{plain} is an option of the command line only"
    takers = [name for name in SCHEMES if plain.replace("-", "_") in options_of(name)]
    if takers:
        return f"{plain} is an option of {' or '.join(takers)}: it belongs in the [[scheme]] table of one"
    return f"unknown key {key!r}{nearest(key, known)}"


def _read_schemes(path: Path, tables: Any, lines: Mapping[Way, int]) -> tuple[SchemeConfig, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{at_line(path, line_of(lines, 'scheme'))}: schemes are written as [[scheme]] tables")
    schemes = []
    for number, table in enumerate(tables):

        def at(key: str, number: int = number) -> str:
            return at_line(path, line_of(lines, "scheme", number, key.replace("_", "-")))

        if not isinstance(table.get("name"), str):
            raise UsageError(f"{at('name')}: every [[scheme]] table needs a name")
        name, variant = table["name"], table.get("variant", called(table["name"]))
        if not isinstance(variant, str):
            raise UsageError(f"{at('variant')}: variant must be a string, not {variant!r}")
        options = {key.replace("-", "_"): value for key, value in table.items() if key not in ("name", "variant")}
        for key, value in options.items():
            if isinstance(value, list):
                options[key] = _several(at(key), key, value)
            for one in value if isinstance(value, list) else (value,):
                found = QUANTITY.fullmatch(one) if isinstance(one, str) else None
                if found and found[2] in TIMES and (key.endswith(("_after", "_delay")) or key == "hold"):
                    hint = f"write {_number(float(found[1]) * TIMES[found[2]])}"
                    raise UsageError(f"{at(key)}: {option(key)} is in seconds, not the string {one!r}: {hint}")
        if isinstance(options.get("hedge_log"), str):
            options["hedge_log"] = str(_file(path.parent, at("hedge_log"), "hedge_log", options["hedge_log"]))
        schemes.append(SchemeConfig(name, variant, tuple(sorted(options.items()))))
    return tuple(schemes)


def _read_resources(where: str, value: Any) -> tuple[tuple[str, float], ...]:
    """Read a table of amounts by name of resource."""
    if not isinstance(value, dict) or not all(type(amount) in (int, float) for amount in value.values()):
        raise UsageError(
            f"{where}: ray-resource must be a table of amounts by name, such as {{ssd = 1}}, not {value!r}"
        )
    return tuple((name, _float(amount)) for name, amount in value.items())


def _read_hosts(path: Path, key: str, value: Any, lines: Mapping[Way, int]) -> tuple[Host, ...]:
    """Read [[host]] tables, a list of addresses, or the file that `hosts` names."""
    if key == "hosts":
        where = at_line(path, line_of(lines, key))
        if not isinstance(value, str):
            raise UsageError(f"{where}: hosts must be a path, not {value!r}")
        file = _file(path.parent, where, key, value)
        try:
            return read_hosts(file)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    hosts = []
    for number, host in enumerate(value if isinstance(value, list) else [value]):
        where = at_line(path, line_of(lines, "host", number) or line_of(lines, "host"))
        table = host if isinstance(host, dict) else {"address": host}
        if unknown := sorted(table.keys() - {"address", "workers"}):
            raise UsageError(f"{where}: unknown key {unknown[0]!r}{nearest(unknown[0], ['address', 'workers'])}")
        address, workers = table.get("address"), table.get("workers")
        if not isinstance(address, str) or type(workers) not in (int, type(None)):
            raise UsageError(
                f"{where}: a host must be an address such as 'user@name:port', or a [[host]] table with an address "
                "and, if needed, workers, a whole number"
            )
        try:
            hosts.append(Host(address, workers))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    return tuple(hosts)


def _typed(directory: Path, where: str, name: str, value: Any, wanted: str) -> Any:
    """Convert a value to the type of its field, and a list to a tuple; `where` is the beginning of messages."""
    kind = next(word for kind, word in KINDS.items() if kind in wanted)
    if isinstance(value, list) and kind in (*NUMBERS, "a string"):
        return _several(where, name, [_typed(directory, where, name, one, wanted) for one in value])
    if name == "accuracy" and isinstance(value, str) and value in ANSWERS:
        return ANSWERS[value]
    if kind == "a path" and isinstance(value, str):
        return _file(directory, where, name, value)
    if kind == "true or false" and isinstance(value, bool):
        return value
    if kind in NUMBERS and isinstance(value, int if kind == "a whole number" else (int, float)):
        if not isinstance(value, bool):
            return value if kind == "a whole number" else _float(value)
    elif kind == "a string" and isinstance(value, str):
        is_path = name in NAME_OR_PATH and NAME_OR_PATH[name](value)
        return str(_file(directory, where, name, value)) if is_path else value
    elif kind == "a list of strings" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    hint = _hint(name, value) if kind in NUMBERS and isinstance(value, str) else ""
    kind = f"all, none or {kind}" if name == "accuracy" else kind
    raise UsageError(f"{where}: {option(name)} must be {kind}, not {'the string ' if hint else ''}{value!r}{hint}")


def _file(directory: Path, where: str, name: str, value: str) -> Path:
    """Return the absolute path of a file that a profile in `directory` names."""
    if "\0" in value:
        raise UsageError(f"{where}: {option(name)} names a file with a null character, which no file's name has")
    return resolved(directory / value)


def _float(value: int | float) -> float:
    """Return a number as a float, infinite if it is too large for one; an infinite one is refused by its user."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _several(where: str, name: str, values: list[Any]) -> tuple[Any, ...]:
    """Check that an option may be a list, and return the list as a tuple."""
    if name in SINGLE:
        raise UsageError(f"{where}: {option(name)} cannot be a list: it is the same for all experiments")
    if any(isinstance(value, (list, tuple, dict)) for value in values):
        raise UsageError(f"{where}: {option(name)} must be a value or a flat list of values")
    try:
        return several(values, option(name))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _hint(name: str, text: str) -> str:
    """Return the end of a message about a number written as a string: what to write instead, if that is certain."""
    found = QUANTITY.fullmatch(text)
    if not found:
        return ""
    value, unit = float(found[1]), found[2]
    if not unit:
        return f": write {found[1]} without quotes"
    if unit == "%":
        return f": write it as a share, {_number(value / 100)}" if name in SHARES else ""
    if name == "slo_ms":
        return f": write it in milliseconds and without quotes, {_number(value * TIMES[unit] * 1e3)}"
    return f": write it in seconds and without quotes, {_number(value * TIMES[unit])}" if name in SECONDS else ""


def _number(value: float) -> str:
    return f"{value:.6g}"


def _spelled(way: Way) -> Way:
    return tuple(part.replace("_", "-") if isinstance(part, str) else part for part in way)

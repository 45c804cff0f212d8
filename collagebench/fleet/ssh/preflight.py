"""The check of every host before anything starts: facts, failures and warnings.

What makes a run impossible is a failure; then nothing is started on any host. What makes a run slower or harder to
interpret is a warning: a busy machine, or a clock that is off (which affects no figure, but the times in logs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

CLOCK_OFF = 2.0
"""A clock that differs by more than these seconds gets a warning."""
BUSY = 0.5
"""A host with a higher load per core than this, before workers start, gets a warning."""
ROOM_BYTES = 16 << 20
"""Bytes that must stay free on a disk after files are copied to it."""
ENVIRONMENT_BYTES = 400 << 20
"""Size of an environment with all packages."""
COMPARED = ("onnxruntime", "numpy")
"""Packages whose version affects the speed of workers, and the last digits of their outputs."""
WIDTH = 80
Facts = Mapping[str, Any]


@dataclass(slots=True)
class Look:
    """What was found on one host."""

    host: str
    """The host as the user named it."""
    workers: int
    facts: Facts = field(default_factory=dict)
    """Facts that its outpost reported; empty if it reported none."""
    offset: float = 0.0
    """Seconds that its clock is ahead of this one, with the travel time of a message as error."""
    failures: list[str] = field(default_factory=list)
    """Why the host cannot be used: sentences."""
    warnings: list[str] = field(default_factory=list)


def judge(look: Look, bytes_to_keep: int, bootstrap: bool, computing: bool) -> None:
    """Add failures and warnings to `look`.

    Args:
        look: a host with its facts.
        bytes_to_keep: size of the files to copy into the host's cache.
        bootstrap: whether an environment is created there if packages are missing.
        computing: whether its workers run models.
    """
    facts, failures, warnings = look.facts, look.failures, look.warnings
    lacking = facts["lacking"]
    if lacking and not bootstrap:
        failures.append(
            f"its {facts['executable']} lacks {_and(lacking)}: install that there, add --bootstrap, or name another "
            "interpreter with --remote-python"
        )
    needed = bytes_to_keep + (ENVIRONMENT_BYTES if lacking and bootstrap else 0)
    if facts["cache_problem"] and needed:
        failures.append(f"nothing can be kept there: {facts['cache_problem']}; set XDG_CACHE_HOME to another place")
    elif needed and facts["cache_free_bytes"] < needed + ROOM_BYTES:
        failures.append(
            f"{_size(needed + ROOM_BYTES)} are needed in {facts['cache']}, but {_size(facts['cache_free_bytes'])} "
            "are free"
        )
    if facts["temporary_free_bytes"] < 1 << 20:
        failures.append(f"the disk of {facts['temporary']} is full: free some space, or set TMPDIR to another place")
    if abs(look.offset) > CLOCK_OFF:
        warnings.append(f"its clock is {_offset(look.offset)} off: no figure depends on it, but its logs' times do")
    if facts["load"] > BUSY * facts["cores"]:
        warnings.append(
            f"it is busy: its load was {facts['load']:.1f} on {_cores(facts['cores'])} before anything started"
        )
    if computing and look.workers > facts["cores"]:
        warnings.append(f"its {look.workers} workers share {_cores(facts['cores'])} and will slow each other down")


def compare(looks: Sequence[Look]) -> list[str]:
    """Return sentences on differences between the hosts that affect results, and on hosts that may be the same."""
    found = []
    for what, key in (("architectures", "machine"), ("systems", "system")):
        names = sorted({look.facts[key] for look in looks if look.facts})
        if len(names) > 1:
            found.append(f"the hosts have different {what} ({', '.join(names)}), so their workers differ in speed")
    found += versions(looks)
    by_name: dict[str, list[Look]] = {}
    for look in looks:
        if look.facts:
            by_name.setdefault(look.facts["hostname"], []).append(look)
    for name, same in by_name.items():
        if len(same) > 1:
            workers, cores = sum(look.workers for look in same), _cores(same[0].facts["cores"])
            found.append(
                f"{_and([look.host for look in same])} call themselves {name}: if that is one machine, its "
                f"{workers} workers share {cores}"
            )
    return found


def versions(looks: Sequence[Look]) -> list[str]:
    """Return sentences on packages whose versions differ between the hosts, or between them and this machine."""
    found = []
    for package in COMPARED:
        there = sorted({str(look.facts["packages"].get(package) or "") for look in looks if look.facts} - {""})
        here = version(package)
        if len(there) > 1:
            found.append(
                f"the hosts have different versions of {package} ({', '.join(there)}), so their workers may differ in "
                "speed"
            )
        elif there and there != [here]:
            found.append(
                f"the hosts have {package} {there[0]}, but this machine has {here}: workers here may differ from them "
                "in speed and answers"
            )
    return found


COLUMNS = ("workers", "Python", "packages", "arch", "cores", "load", "free", "clock")


def table(looks: Sequence[Look]) -> str:
    """Return a table of all hosts, at most 80 columns wide, with one line per host and the warnings below."""
    rows = [("host", *COLUMNS), *((look.host, *_cells(look)) for look in looks)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS) + 1)]
    gap = " " if sum(widths) + 2 * len(COLUMNS) > WIDTH else "  "
    widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - len(gap) * len(COLUMNS))
    lines = []
    for name, *cells in rows:
        shown = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append(gap.join([f"{_short(name, widths[0]):<{widths[0]}}", *shown]).rstrip())
    warnings = [f"{look.host}: {warning}" for look in looks for warning in look.warnings]
    return "\n".join(lines + [f"note: {warning}" for warning in [*warnings, *compare(looks)]])


def _cells(look: Look) -> list[str]:
    facts = look.facts
    if not facts:
        return [str(look.workers), *["-"] * (len(COLUMNS) - 1)]
    lacking = len(facts["lacking"])
    free = min(facts["cache_free_bytes"], facts["temporary_free_bytes"])
    return [
        str(look.workers),
        facts["python"],
        f"{lacking} lack" if lacking else "all",
        facts["machine"],
        str(facts["cores"]),
        f"{facts['load']:.1f}",
        _size(free),
        _offset(look.offset),
    ]


def _offset(seconds: float) -> str:
    """Return a clock's offset as text, such as `0 s` or `+3 h`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if abs(seconds) >= size:
            return f"{seconds / size:+.0f} {unit}"
    return f"{seconds:+.0f} s" if abs(seconds) >= 0.5 else "0 s"


def _size(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.0f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _short(text: str, width: int) -> str:
    """Shorten a name in the middle, because its beginning and end tell hosts apart."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"

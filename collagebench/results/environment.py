"""The environment of a run: the machine, the system, the versions, and the state of the code.

Only what helps to understand a figure is recorded: no host name, no user, no path. Unknown values are None.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from collagebench import __version__
from collagebench.ordinary import ordinary

RECORDING = (
    *("claims.py", "coding", "config.py", "engine", "fleet", "import_path.py", "number_files.py"),
    *("onnx_session.py", "results", "schemes", "statistics", "stragglers", "terms.py", "worker", "workload", "zoo"),
)
"""The parts of this package that records depend on; statistics are included because they decide which runs are measured
again."""
DEPENDENCIES = (
    "click",
    "grpcio",
    "numpy",
    "onnxruntime",
    "open-inference-grpc",
    "pillow",
    "protobuf",
    "rich",
    "uvloop",
)


def capture(own: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a description of this machine and this installation, as plain JSON values; `own` is as in `sources`."""
    return {
        "captured_utc": now(),
        "cpu": _cpu_model(),
        "logical_cores": os.cpu_count(),
        "affinity_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu_quota_cores": _cpu_quota(),
        "memory_bytes": _memory_bytes("MemTotal"),
        "memory_available_bytes": _memory_bytes("MemAvailable"),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "kernel": f"{platform.system()} {platform.release()}",
        "os": _os_name(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "collagebench": __version__,
        "sources": sources(own),
        "packages": {name: _version(name) for name in DEPENDENCIES},
        "git": _git(),
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def now() -> str:
    """Return the date and time in UTC, to the second."""
    return datetime.now(timezone.utc).replace(tzinfo=None).isoformat(timespec="seconds")


@cache
def sources(own: tuple[Path, ...]) -> str | None:
    """Return a hexadecimal digest of the code that records depend on; None if it cannot be read.

    `own` are a user's files that they depend on, too. Reports, studies and commands are not included, as they do not
    change records.
    """
    package = Path(__file__).resolve().parent.parent
    rooms = [package / name for name in RECORDING]
    paths = sorted(path for room in rooms for path in ([room] if room.is_file() else room.rglob("*.py")))
    ours = [(path.relative_to(package).as_posix(), path) for path in paths]
    whole = _digest([*ours, *((path.name, path) for path in own)]) if ours else None
    return whole and whole[:16]


def digest(files: Sequence[Path]) -> str | None:
    """Return the sha256 of files and their names; None where there are none, or one cannot be read."""
    return _digest([(path.name, path) for path in files])


def _digest(named: Sequence[tuple[str, Path]]) -> str | None:
    whole = hashlib.sha256()
    try:
        for name, path in named:
            whole.update(f"{name}\n".encode() + ordinary(path).read_bytes())
    except OSError:
        return None
    return whole.hexdigest() if named else None


class Ticks(NamedTuple):
    """Processor time of this machine since it started; all are 0 if the system does not report them."""

    total: float = 0.0
    idle: float = 0.0
    stolen: float = 0.0
    """What its host took (steal)."""


def processor_time() -> Ticks:
    """Return the processor time of this machine until now."""
    for line in _lines("/proc/stat"):
        name, *ticks = line.split()
        if name == "cpu" and len(ticks) >= 8:  # user, nice, system, idle, iowait, irq, softirq, steal
            spent = list(map(float, ticks[:8]))
            return Ticks(sum(spent), idle=spent[3] + spent[4], stolen=spent[7])
    return Ticks()


def _cpu_model() -> str | None:
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Processor"):
            return value.strip()
    return platform.processor() or platform.machine() or None


def _memory_bytes(field: str) -> int | None:
    for line in _lines("/proc/meminfo"):
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    if field == "MemTotal":
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _cpu_quota() -> float | None:
    """Return how many cores the container (cgroup) may use; None if there is no limit, or it cannot be read.

    The limits of all enclosing groups apply, too.
    """
    quotas = []
    for line in _lines("/proc/self/cgroup"):
        number, controllers, own = line.strip().split(":", 2)
        group = PurePosixPath(own)
        for each in (group, *group.parents):
            if number == "0":  # version 2: "quota period", in µs
                quota, _, period = _first(f"/sys/fs/cgroup/{str(each).strip('/')}/cpu.max", "max").partition(" ")
            elif "cpu" in controllers.split(","):
                directory = f"/sys/fs/cgroup/cpu/{str(each).strip('/')}"
                quota = _first(f"{directory}/cpu.cfs_quota_us", "-1")
                period = _first(f"{directory}/cpu.cfs_period_us", "100000")
            else:
                continue
            if quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _first(path: str, otherwise: str) -> str:
    """Return the first line of a file, or `otherwise`."""
    return next(iter(_lines(path)), otherwise)


def _os_name() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return platform.platform(terse=True) or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return the revision of the source checkout that this package runs from, and whether it is modified, or None."""
    package = Path(__file__).resolve().parent.parent
    if not _git_output(package, "ls-files", "__init__.py"):
        return None  # installed, perhaps inside another repository
    revision = _git_output(package, "rev-parse", "HEAD")
    changes = _git_output(package, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": None if changes is None else bool(changes)} if revision else None


def _git_output(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []

"""Linux control groups that limit a process to a share of a core, in version 1 or 2 of their file system.

In every period a group may use a quota of CPU time; after that it waits for the next period. A new group is made where
this user may make one and has the CPU controller: in version 1 inside the group of this process, in version 2 inside
the nearest group, from there upwards, that delegates the controller to its children.

    version 1    cpu.cfs_period_us, cpu.cfs_quota_us
    version 2    cpu.max
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from collagebench.errors import FleetError

REMOVE_WITHIN = 2.0
"""Seconds for killed or moved processes to leave a group that is being removed."""
ADVICE = (
    "be root, or start it with `systemd-run --user --scope -p Delegate=yes collagebench …`, or choose the straggler "
    "model corunner or stop, which need no permission"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where groups can be made."""

    version: int
    parent: Path
    """The group inside which to make them."""


def find(cgroups: str | None = None, mounts: str | None = None) -> Place:
    """Return where this process may make groups with a CPU quota.

    Args:
        cgroups: the content of `/proc/self/cgroup`; None to read it.
        mounts: the content of `/proc/self/mountinfo`; None to read it.

    Raises:
        FleetError: it may not make any.
    """
    try:
        cgroups = Path("/proc/self/cgroup").read_text() if cgroups is None else cgroups
        mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
    except OSError:
        raise FleetError(
            "workers cannot be throttled here: this system has no control groups; choose the straggler model stop"
        ) from None
    home = _home(cgroups, mounts)
    if home is None:
        raise FleetError(f"workers cannot be throttled here: control groups have no CPU controller; {ADVICE}")
    version, group, top = home
    if version == 1:
        if _writable(group):
            return Place(1, group)
    else:
        for parent in (group, *group.parents):
            if _hands_on_cpu(parent) and _writable(parent):
                return Place(2, parent)
            if parent == top:
                break
    raise FleetError(f"workers cannot be throttled here: no control group can be created in {group}; {ADVICE}")


def _home(cgroups: str, mounts: str) -> tuple[int, Path, Path] | None:
    """Return the version with the CPU controller, the directory of the process's group, and the file system's root."""
    memberships = [line.split(":", 2) for line in cgroups.splitlines()]
    with_cpu = next((path for _, controllers, path in memberships if "cpu" in controllers.split(",")), None)
    unified = next((path for number, controllers, path in memberships if number == "0" and not controllers), None)
    version, path = (1, with_cpu) if with_cpu is not None else (2, unified)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        _, _, _, root, mount, *_ = before.split()
        kind, _, options = after.split(" ", 2)
        ours = kind == "cgroup2" if version == 2 else kind == "cgroup" and "cpu" in options.split(",")
        if not ours or path is None or (path + "/").find(root.rstrip("/") + "/") != 0:
            continue
        top = Path(mount)
        return version, top / path[len(root.rstrip("/")) :].lstrip("/"), top
    return None


def _hands_on_cpu(group: Path) -> bool:
    try:
        return "cpu" in (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def _writable(group: Path) -> bool:
    return os.access(group, os.W_OK | os.X_OK) and os.access(group / "cgroup.procs", os.W_OK)


def limit(place: Place, path: Path, pid: int, quota: float, period_ms: float) -> Path:
    """Make the group `path` with a `quota` of cores and move a process into it; return the group that it came from.

    Raises:
        FleetError: the system does not permit it.
    """
    period_us, quota_us = round(period_ms * 1e3), round(period_ms * 1e3 * quota)
    try:
        home = _home(Path(f"/proc/{pid}/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
        assert home is not None
        path.mkdir()
        if place.version == 1:
            (path / "cpu.cfs_period_us").write_text(str(period_us))
            (path / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (path / "cpu.max").write_text(f"{quota_us} {period_us}")
        (path / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        raise FleetError(
            f"no control group with {quota_us} of {period_us} µs of a core can be created at {path} "
            f"({error.strerror}); the minimum is 1000 µs; {ADVICE}"
        ) from None
    return home[1]


def move(pid: int, group: Path) -> None:
    """Move a process, if it still exists, to another group."""
    with contextlib.suppress(OSError):
        (group / "cgroup.procs").write_text(str(pid))


def exhausted(path: Path) -> tuple[int, int]:
    """Return the number of periods in which a group ran, and in how many of them it used up its quota."""
    try:
        lines = (path / "cpu.stat").read_text().splitlines()
    except OSError:
        return 0, 0
    stat = dict(line.split() for line in lines)
    return int(stat.get("nr_periods", 0)), int(stat.get("nr_throttled", 0))


def cpu_time(pid: int) -> float:
    """Return the CPU time in seconds that all threads of a process have used; 0 if it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid(3) returns
    except OSError:
        return 0.0


def remove(path: Path) -> None:
    """Remove a group, if it exists, once its killed or moved processes have left it."""
    until = time.monotonic() + REMOVE_WITHIN
    while path.exists():
        try:
            path.rmdir()
        except OSError as error:
            if time.monotonic() > until:
                print(f"control group {path} could not be removed ({error.strerror})", file=sys.stderr)
                return
            time.sleep(0.002)

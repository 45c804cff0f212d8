"""What tests of natural stragglers share: the state of processes, and what a fleet has left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collagebench.errors import FleetError
from collagebench.worker import control_group

PATIENCE = 120.0
"""Seconds to wait for an event before a test fails, long enough for a busy machine."""


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE, pause: float = 0.002) -> None:
    """Poll a condition every `pause` seconds until it holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)


def state(pid: int) -> str:
    """Return the letter of a process's state, such as T for stopped; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def affinities(pid: int) -> set[frozenset[int]]:
    """Return the sets of cores that the threads of a process may run on."""
    return {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir(f"/proc/{pid}/task")}


def processes(mark: Path) -> dict[int, str]:
    """Return the command lines of all processes whose environment contains a path, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if os.fsencode(mark) in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")[:200]
            except OSError:
                pass
    return found


def group(leader: int) -> list[int]:
    """Return the ids of the processes in a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(ValueError, OSError):
            if os.getpgid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found


def groups(mark: Path) -> list[Path]:
    """Return the control groups of throttled workers, except those of another fleet that is running."""
    try:
        found = list(control_group.find().parent.glob("collagebench-*"))
    except FleetError:
        return []
    mine = processes(mark)
    owners = {path: int(path.name.split("-")[1]) for path in found}
    return [path for path, owner in owners.items() if owner in mine or not Path(f"/proc/{owner}").exists()]


def nothing_left(mark: Path) -> None:
    """Wait until no process with the path in its environment, no file below it and no control group is left."""
    until(lambda: not processes(mark), f"only {processes(mark)} and then none is left")
    until(lambda: not list(mark.iterdir()), f"{list(mark.iterdir())} removed")
    until(lambda: not groups(mark), f"{groups(mark)} removed")


def permitted(kind: str) -> None:
    """Skip the test if it throttles workers and that is not possible here."""
    if kind == "throttle":
        try:
            control_group.find()
        except FleetError as error:
            pytest.skip(str(error))


def own_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the directories with stress-ng out of PATH, so that the built-in load is used."""
    places = os.environ["PATH"].split(os.pathsep)
    monkeypatch.setenv("PATH", os.pathsep.join(place for place in places if not shutil.which("stress-ng", path=place)))


FAST = {
    "stop": {"stop_every": 0.01, "stop_for": 3600.0},
    "corunner": {"load": "cpu"},
    "throttle": {"quota": 0.5},
    "traffic": {"transfers": 2, "transfer_mb": 1.0},
}
"""Disturbances that take effect at once; the first stop lasts for an hour."""

"""A process that tidies up when the forkserver cannot: what was stopped, started or limited for a disturbance.

Whoever kills the forkserver outright leaves it no time to undo what it did. Its own children end with it, but a
process that one of them started does not, nor does a control group. So before it touches anything it tells a janitor,
a child in a session of its own, through a pipe of which it alone holds the other end. When the disturbance is over and
undone, the janitor is killed. When instead the pipe ends, the forkserver is gone, and the janitor does what is left to
do and ends.

A process id may have been given to somebody else by then, so every process is remembered with the moment of its birth
and is left alone if that has changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from collagebench.worker import control_group
from collagebench.worker.lines import Lines, line
from collagebench.worker.loop import Loop


class Janitor:
    """The forkserver's end."""

    def __init__(self, loop: Loop, directory: str) -> None:
        """Start one, which removes `directory` as well if it has to act.

        Raises:
            OSError: it could not be started.
        """
        self._loop = loop
        reading, self._writing = os.pipe()
        loop.own(self._writing)
        self._pid = os.fork()
        if self._pid == 0:
            _be_janitor(loop, reading, directory)
        os.close(reading)

    def group(self, pid: int) -> None:
        """Register the leader of a process group, to be killed with all its members."""
        self._tell(group=pid, born=born(pid))

    def worker(self, pid: int) -> None:
        """Register a worker, to be killed even if it is stopped."""
        self._tell(worker=pid, born=born(pid))

    def forget(self, pid: int) -> None:
        """Strike a process that has been reaped off the list: its id is free for others."""
        self._tell(forget=pid)

    def control_group(self, path: Path) -> None:
        """Register a control group, before it is made, to be removed."""
        self._tell(control_group=str(path))

    def _tell(self, **fact: int | str | None) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody killed it; what it would do, the forkserver still does
            os.write(self._writing, line(fact))

    def dismiss(self) -> None:
        """End it: nothing is left to do."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._loop.hang_up(self._writing)


def _be_janitor(loop: Loop, reading: int, directory: str) -> NoReturn:
    """Turn the fresh child into a janitor."""
    try:
        os.setsid()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)  # the client waits for the end of the other one
        os.close(nothing)
        loop.leave()
        _tidy(reading, directory)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _tidy(reading: int, directory: str) -> None:
    groups: dict[int, str | None] = {}
    workers: dict[int, str | None] = {}
    paths: list[Path] = []
    lines = Lines()
    while data := os.read(reading, 65536):
        for fact in lines.feed(data):
            if "group" in fact:
                groups[fact["group"]] = fact["born"]
            elif "worker" in fact:
                workers[fact["worker"]] = fact["born"]
            elif "forget" in fact:
                groups.pop(fact["forget"], None)
                workers.pop(fact["forget"], None)
            else:
                paths.append(Path(fact["control_group"]))
    for pid, birth in workers.items():
        if born(pid) == birth:
            _kill(pid)
    for pid, birth in groups.items():
        # As long as a group has members, its leader's id is given to nobody else: gone is as good as the same.
        if born(pid) in (birth, None):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            if born(pid) == birth:
                _kill(pid)  # it was not yet the leader of its group
    for path in paths:
        control_group.remove(path)
    shutil.rmtree(directory, ignore_errors=True)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def born(pid: int) -> str | None:
    """Return what tells a process from another that had the same id before; None if there is none of that id."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            return None
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip() or None

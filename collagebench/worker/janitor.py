"""A process that undoes a disturbance if the forkserver cannot: it kills processes and removes control groups.

A forkserver that is killed (SIGKILL) has no time to undo what it did. Its children end with it, but the processes that
they started and the control groups do not. So before the forkserver changes anything, it registers it with a janitor: a
child in a session of its own, connected by a pipe of which only the forkserver holds the other end. When the
disturbance is over and undone, the forkserver kills the janitor. If the pipe closes instead, the forkserver is gone;
the janitor then cleans up and exits.

By then a process id may belong to another process. So every process is registered with its start time, and is left
alone if that differs.
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
    """The forkserver's side of a janitor."""

    def __init__(self, loop: Loop, directory: str) -> None:
        """Start a janitor, which also removes `directory` if it has to act.

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
        """Unregister a process that has been reaped: its id may be reused."""
        self._tell(forget=pid)

    def control_group(self, path: Path) -> None:
        """Register a control group to be removed; call it before the group is made."""
        self._tell(control_group=str(path))

    def _tell(self, **fact: int | str | None) -> None:
        with contextlib.suppress(BrokenPipeError):  # the janitor was killed; the forkserver still cleans up itself
            os.write(self._writing, line(fact))

    def dismiss(self) -> None:
        """Kill the janitor, because nothing is left to undo."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._loop.hang_up(self._writing)


def _be_janitor(loop: Loop, reading: int, directory: str) -> NoReturn:
    """Turn the new child into a janitor."""
    try:
        os.setsid()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)
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
        # While a group has members, its leader's id is not reused; so it is safe to kill if the leader has ended.
        if born(pid) in (birth, None):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            if born(pid) == birth:
                _kill(pid)  # in case it was not yet the leader of its group
    for path in paths:
        control_group.remove(path)
    shutil.rmtree(directory, ignore_errors=True)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def born(pid: int) -> str | None:
    """Return a process's start time as text, which tells it from others with the same id; None if there is none."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            return None
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip() or None

"""Processes that disturb workers: forked by the forkserver, each the leader of a group that is killed as a whole."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import traceback
from collections.abc import Callable
from typing import NoReturn

from collagebench.errors import FleetError
from collagebench.worker.janitor import Janitor
from collagebench.worker.loop import Loop
from collagebench.worker.process import die_with

READY_WITHIN = 20.0
"""Seconds that a helper gets to prepare its work."""
GONE_WITHIN = 2.0
"""Seconds that a killed group gets to be gone."""

Work = Callable[[], Callable[[], None]]
"""Prepares something that goes on until it is killed, and returns what does it."""


class Helper:
    """One process, and what it starts in turn."""

    def __init__(self, name: str, work: Work, loop: Loop, janitor: Janitor, lifeline: int) -> None:
        """Fork it.

        Args:
            name: what to call it in a message.
            work: what it does.
            loop: the forkserver's, in which its unasked end is noticed.
            janitor: who kills it if the forkserver cannot.
            lifeline: descriptor that reads end-of-file when the forkserver is gone.

        Raises:
            OSError: there can be no more processes.
        """
        self.status: str | None = None
        """How it ended; None while it runs."""
        self._name = name
        self._loop = loop
        self._janitor = janitor
        parent = os.getpid()
        self._pipe, report = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be_helper(work, loop, parent, lifeline, report)
        os.close(report)
        janitor.group(self.pid)
        loop.own(self._pipe)

    def await_ready(self) -> None:
        """Return when it has begun its work.

        Raises:
            FleetError: it has not.
        """
        if not select.select([self._pipe], [], [], READY_WITHIN)[0]:
            raise FleetError(f"{self._name} did not start within {READY_WITHIN:g} s")
        if not os.read(self._pipe, 1):
            self._reap()
            raise FleetError(f"{self._name} ended before it had started ({self.status}); see forkserver.log")
        self._loop.listen(self._pipe, self._heard)

    def _heard(self, data: bytes) -> None:
        if not data:
            self._reap()

    def stop(self) -> None:
        """Kill it and all that it started; return when they are gone."""
        if self.status is not None:
            return
        for kill in (os.killpg, os.kill):  # by itself as well, in case it is not yet the leader of its group
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)
        # The pipe ends when the last process that has it is gone.
        while select.select([self._pipe], [], [], GONE_WITHIN)[0] and os.read(self._pipe, 4096):
            pass
        self._reap()

    def _reap(self) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.status = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        self._janitor.forget(self.pid)
        self._loop.hang_up(self._pipe)


def _be_helper(work: Work, loop: Loop, parent: int, lifeline: int, report: int) -> NoReturn:
    """Turn the fresh child into a helper; of the forkserver's files only the log and the two pipes stay open in it."""
    try:
        # A group, to be killed as a whole, but no session of its own: Linux shares time out between sessions first
        # (autogroup), and there a load of its own session hardly slows a worker that computes for some milliseconds.
        os.setpgid(0, 0)
        for sign in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.close(nothing)
        loop.leave()
        die_with(parent, lifeline)
        os.set_inheritable(report, True)  # for the program that it may turn into
        go_on = work()
        os.write(report, b".")
        go_on()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

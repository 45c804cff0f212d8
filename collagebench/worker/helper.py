"""Processes that disturb workers: forked by the forkserver, each the leader of a process group that is killed whole."""

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
"""Seconds for a helper to prepare its work."""
GONE_WITHIN = 2.0
"""Seconds for a killed group to end."""

Work = Callable[[], Callable[[], None]]
"""Prepares the work, and returns a function that does it until the process is killed."""


class Helper:
    """One helper process, and the processes that it starts."""

    def __init__(self, name: str, work: Work, loop: Loop, janitor: Janitor, lifeline: int) -> None:
        """Fork the process.

        Args:
            name: its name in messages.
            work: what it does.
            loop: the forkserver's loop, which notices if the helper ends by itself.
            janitor: kills the helper if the forkserver cannot.
            lifeline: descriptor that reads end-of-file when the forkserver is gone.

        Raises:
            OSError: no more processes can be started.
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
        """Return when the helper has begun its work.

        Raises:
            FleetError: it ended, or took longer than `READY_WITHIN`.
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

    def stop(self) -> str | None:
        """Kill the helper and all processes that it started, and wait until they have ended.

        Returns how it had ended by itself; None if it still ran.
        """
        if self.status is not None:
            return self.status
        # It may have ended just now, and the loop, which called this, not have noticed yet.
        had_ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        for kill in (os.killpg, os.kill):  # the process itself too, because it may not lead its group yet
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)
        # The pipe reads end-of-file when the last process that has it open has ended.
        while select.select([self._pipe], [], [], GONE_WITHIN)[0] and os.read(self._pipe, 4096):
            pass
        self._reap()
        return self.status if had_ended else None

    def _reap(self) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.status = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        self._janitor.forget(self.pid)
        self._loop.hang_up(self._pipe)


def _be_helper(work: Work, loop: Loop, parent: int, lifeline: int, report: int) -> NoReturn:
    """Turn the new child into a helper; of the forkserver's files, only the log and the two pipes stay open."""
    try:
        # A process group of its own, to be killed whole, but no session of its own. Linux divides CPU time between
        # sessions first (autogroup), so a load in its own session hardly slows a worker that computes for some ms.
        os.setpgid(0, 0)
        for sign in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_DFL)
        loop.leave()
        die_with(parent, lifeline)
        os.set_inheritable(report, True)  # `go_on` may exec another program
        go_on = work()
        os.write(report, b".")
        go_on()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

"""Natural stragglers: real disturbances of workers, caused by the forkserver on their machine.

There is one disturbance at a time; the next one replaces it. If the forkserver is killed, a janitor undoes it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from collagebench.errors import FleetError
from collagebench.worker.causes import Cause, CoRunners, Facts, Helpers, Stops, Throttle, Traffic
from collagebench.worker.janitor import Janitor
from collagebench.worker.loop import Loop
from collagebench.worker.spec import Disturbance


class Natural:
    """The disturbance of this machine's workers, if there is one."""

    def __init__(self, loop: Loop, lifeline: int, directory: str) -> None:
        self._loop = loop
        self._lifeline = lifeline
        self._directory = directory
        self._janitor: Janitor | None = None
        self._cause: Cause | None = None
        self._kind = ""
        self._since: dict[int, float] = {}
        """When the disturbance of each disturbed worker began."""
        self._results: list[Facts] = []

    def disturb(self, disturbance: Disturbance, pids: Mapping[int, int]) -> list[Facts]:
        """Replace the current disturbance by another; return what was actually started.

        Args:
            disturbance: what to do, and to which workers.
            pids: the process ids of all workers, by index.

        Raises:
            FleetError: it cannot be done on this machine; then this and the previous disturbance are undone.
        """
        self.calm()
        absent = [worker for worker in disturbance.workers if worker not in pids]
        if absent:
            raise FleetError(f"worker {absent[0]} cannot be disturbed by {disturbance.kind}: it is not running")
        self._kind = disturbance.kind
        try:
            self._janitor = janitor = Janitor(self._loop, self._directory)
            self._cause = cause = self._caused_by(disturbance, janitor)
            what = []
            for worker in disturbance.workers:
                janitor.worker(pids[worker])
                self._since[worker] = time.monotonic()
                what.append({"worker": worker, "kind": self._kind, **cause.begin(worker, pids[worker])})
            cause.settle()
            return what
        except OSError as error:
            self.calm()
            raise FleetError(f"the workers cannot be disturbed by {self._kind} ({error.strerror or error})") from None
        except FleetError:
            self.calm()
            raise

    def _caused_by(self, disturbance: Disturbance, janitor: Janitor) -> Cause:
        if disturbance.kind == "stop":
            return Stops(disturbance, self._loop)
        if disturbance.kind == "throttle":
            return Throttle(disturbance, janitor)
        helpers = Helpers(self._loop, janitor, self._lifeline)
        return CoRunners(disturbance, helpers) if disturbance.kind == "corunner" else Traffic(disturbance, helpers)

    def lost(self, worker: int, pid: int) -> None:
        """End the disturbance of a worker that has ended and is about to be reaped."""
        if worker in self._since:
            self._end(worker, "the worker ended")
        if self._janitor is not None:
            self._janitor.forget(pid)

    def calm(self) -> list[Facts]:
        """Undo everything; return what it did, also for workers that have ended in the meantime."""
        for worker in list(self._since):
            self._end(worker, None)
        if self._janitor is not None:
            self._janitor.dismiss()
        results, self._results = self._results, []
        self._janitor = self._cause = None
        return results

    def _end(self, worker: int, ended: str | None) -> None:
        assert self._cause is not None
        seconds = time.monotonic() - self._since.pop(worker)
        facts = {"worker": worker, "kind": self._kind, "seconds": seconds, **self._cause.end(worker)}
        self._results.append(facts if ended is None else {"ended": ended, **facts})

"""Natural stragglers: what really slows a worker down, brought about on its machine by its forkserver.

One disturbance at a time; the next replaces it. What the forkserver cannot undo because it was killed, a janitor does.
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
    """What disturbs this machine's workers now."""

    def __init__(self, loop: Loop, lifeline: int, directory: str) -> None:
        self._loop = loop
        self._lifeline = lifeline
        self._directory = directory
        self._janitor: Janitor | None = None
        self._cause: Cause | None = None
        self._kind = ""
        self._since: dict[int, float] = {}
        """The workers that are disturbed, and from when on."""
        self._results: list[Facts] = []

    def disturb(self, disturbance: Disturbance, pids: Mapping[int, int]) -> list[Facts]:
        """Put a disturbance in the place of the one there is; return what was really started.

        Args:
            disturbance: what to do, and to whom.
            pids: the processes of all workers, by index.

        Raises:
            FleetError: it cannot be done here; then nothing of it is left, and nothing of the former one.
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
        """A worker has ended and is about to be reaped: what disturbed it ends too."""
        if worker in self._since:
            self._end(worker, "the worker ended")
        if self._janitor is not None:
            self._janitor.forget(pid)

    def calm(self) -> list[Facts]:
        """Undo everything; return what came of it, also for workers that have ended meanwhile."""
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

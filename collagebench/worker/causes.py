"""The four natural causes of slowness.

    stop        SIGSTOP, and SIGCONT some time later, at moments that are drawn beforehand
    corunner    a load on the same core: the worker and the load are both pinned to it
    throttle    a control group that gets a share of a core
    traffic     transfers over the loopback interface by unpinned processes

Each has a `begin` for one worker, which returns what was actually done, and an `end`, which undoes it even if the
worker has died, and returns what it did. Every process id is that of a child which has not been reaped, so it cannot
belong to another process.
"""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path
from typing import Any, Protocol

from collagebench.stragglers import draws
from collagebench.worker import control_group, loads, traffic
from collagebench.worker.helper import Helper, Work
from collagebench.worker.janitor import Janitor
from collagebench.worker.loop import Loop
from collagebench.worker.spec import Disturbance

Facts = dict[str, Any]


class Cause(Protocol):
    """A way to slow workers down."""

    def begin(self, worker: int, pid: int) -> Facts:
        """Disturb a worker; return what was done. Raises FleetError if that is impossible."""

    def settle(self) -> None:
        """Return when all disturbances are in effect. Raises FleetError if one fails."""

    def end(self, worker: int) -> Facts:
        """Undo everything that was done to a worker, even if `begin` failed; return what it did."""


class Stops:
    """Stops workers at times that depend only on the seed, the run and the worker."""

    def __init__(self, disturbance: Disturbance, loop: Loop) -> None:
        self._disturbance = disturbance
        self._loop = loop
        self._zero = time.monotonic()
        self._pids: dict[int, int] = {}
        self._stopped: dict[int, float] = {}
        """When each worker that is stopped now was stopped."""
        self._stops: dict[int, list[tuple[float, float]]] = {}

    def begin(self, worker: int, pid: int) -> Facts:
        """Draw the time of the first stop."""
        self._pids[worker] = pid
        self._stops[worker] = []
        self._next(worker, self._zero)
        disturbance = self._disturbance
        return {"pid": pid, "stop_every": disturbance.stop_every, "stop_for": disturbance.stop_for}

    def settle(self) -> None:
        """Return at once: the loop makes the stops."""

    def _next(self, worker: int, after: float) -> None:
        disturbance = self._disturbance
        key = draws.key(disturbance.seed, "stop", disturbance.run, worker)
        gap = -math.log(draws.uniform(key, len(self._stops[worker]))) * disturbance.stop_every
        self._loop.at(after + gap, lambda: self._stop(worker, after + gap))

    def _stop(self, worker: int, planned: float) -> None:
        if worker not in self._pids:
            return  # calm came first
        os.kill(self._pids[worker], signal.SIGSTOP)
        self._stopped[worker] = now = time.monotonic()
        self._loop.at(now + self._disturbance.stop_for, lambda: self._continue(worker, planned))

    def _continue(self, worker: int, planned: float) -> None:
        if worker in self._pids:
            self._resume(worker)
            # Counted from the planned time, so that one late stop does not shift those after it.
            self._next(worker, planned + self._disturbance.stop_for)

    def _resume(self, worker: int) -> None:
        os.kill(self._pids[worker], signal.SIGCONT)
        since = self._stopped.pop(worker)
        self._stops[worker].append((since - self._zero, time.monotonic() - since))

    def end(self, worker: int) -> Facts:
        """Continue a worker that is stopped."""
        if worker in self._stopped:
            self._resume(worker)
        self._pids.pop(worker, None)
        stops = self._stops.pop(worker, [])
        asked = sum(min(seconds, self._disturbance.stop_for) for _, seconds in stops)
        return {
            "stops": [[round(begin, 6), round(seconds, 6)] for begin, seconds in stops],
            "stopped_s": sum(seconds for _, seconds in stops),
            "asked_s": asked,
        }


class Helpers:
    """Starts and stops one helper process per worker."""

    def __init__(self, loop: Loop, janitor: Janitor, lifeline: int) -> None:
        self._surroundings = (loop, janitor, lifeline)
        self._helpers: dict[int, Helper] = {}

    def start(self, worker: int, name: str, work: Work) -> Helper:
        """Start the helper of a worker."""
        helper = self._helpers[worker] = Helper(f"{name} of worker {worker}", work, *self._surroundings)
        return helper

    def settle(self) -> None:
        """Return when all helpers have begun their work; they prepare it concurrently."""
        for helper in self._helpers.values():
            helper.await_ready()

    def stop(self, worker: int) -> Facts:
        """Stop the helper of a worker; return how it ended if it had ended by itself."""
        helper = self._helpers.pop(worker, None)
        if helper is None:
            return {}
        unasked = helper.stop()
        return {} if unasked is None else {"ended": f"its helper ended: {unasked}"}


class CoRunners:
    """A load for each worker, on the same core."""

    def __init__(self, disturbance: Disturbance, helpers: Helpers) -> None:
        self._load = disturbance.load
        self._helpers = helpers
        self._free: dict[int, tuple[int, set[int]]] = {}
        """The process of each pinned worker, and the cores on which it was allowed to run before."""

    def begin(self, worker: int, pid: int) -> Facts:
        """Pin the worker and start the load."""
        core = None
        if hasattr(os, "sched_setaffinity"):
            cores = os.sched_getaffinity(pid)
            core = sorted(cores)[worker % len(cores)]
            self._free[worker] = (pid, cores)
            loads.pin(pid, {core})
        helper = self._helpers.start(worker, "the co-runner", lambda: loads.prepare(self._load, core))
        facts = {"pid": helper.pid, "load": self._load, "tool": loads.tool(), "core": core}
        return facts if core is not None else {**facts, "note": "this system cannot pin processes to a core"}

    def settle(self) -> None:
        """Return when every core is loaded."""
        self._helpers.settle()

    def end(self, worker: int) -> Facts:
        """Stop the load and unpin the worker."""
        facts = self._helpers.stop(worker)
        if worker in self._free:
            loads.pin(*self._free.pop(worker))
        return facts


class Throttle:
    """A control group for each worker."""

    def __init__(self, disturbance: Disturbance, janitor: Janitor) -> None:
        self._disturbance = disturbance
        self._janitor = janitor
        self._place = control_group.find()
        self._groups: dict[int, tuple[Path, int, Path | None]] = {}
        """The new group, the worker's process, and the group that the process came from."""
        self._cpu: dict[int, float] = {}
        """The CPU time that each worker had used before it was throttled."""

    def begin(self, worker: int, pid: int) -> Facts:
        """Make the group and move the worker into it."""
        quota, period_ms = self._disturbance.quota, self._disturbance.period_ms
        path = self._place.parent / f"collagebench-{os.getpid()}-{worker}"
        self._janitor.control_group(path)
        self._groups[worker] = (path, pid, None)
        home = control_group.limit(self._place, path, pid, quota, period_ms)
        self._groups[worker] = (path, pid, home)
        self._cpu[worker] = control_group.cpu_time(pid)
        version = f"cgroup v{self._place.version}"
        return {"pid": pid, "quota": quota, "period_ms": period_ms, "group": str(path), "tool": version}

    def settle(self) -> None:
        """Return at once: a quota takes effect as soon as it is set."""

    def end(self, worker: int) -> Facts:
        """Move the worker back and remove the group."""
        if worker not in self._groups:
            return {}
        path, pid, home = self._groups.pop(worker)
        periods, exhausted = control_group.exhausted(path)
        cpu = control_group.cpu_time(pid) - self._cpu.pop(worker, 0.0)
        if home is not None:  # else it was never moved
            control_group.move(pid, home)
        control_group.remove(path)
        return {"periods": periods, "exhausted_periods": exhausted, "cpu_s": max(cpu, 0.0)}


class Traffic:
    """Transfers for each worker."""

    def __init__(self, disturbance: Disturbance, helpers: Helpers) -> None:
        self._disturbance = disturbance
        self._helpers = helpers
        self._moved: dict[int, traffic.Moved] = {}

    def begin(self, worker: int, pid: int) -> Facts:
        """Start the process that makes the transfers."""
        transfers, size_mb = self._disturbance.transfers, self._disturbance.transfer_mb
        moved = self._moved[worker] = traffic.Moved(transfers)
        size_bytes = round(size_mb * 1e6)
        helper = self._helpers.start(worker, "the traffic", lambda: traffic.prepare(transfers, size_bytes, moved))
        return {"pid": helper.pid, "transfers": transfers, "transfer_mb": size_mb, "over": "loopback"}

    def settle(self) -> None:
        """Return when the ports are open and the transfers begin."""
        self._helpers.settle()

    def end(self, worker: int) -> Facts:
        """Stop the transfers; return how many bytes they moved."""
        facts = self._helpers.stop(worker)
        if worker not in self._moved:
            return facts
        moved = self._moved.pop(worker)
        moved_bytes = moved.total()
        moved.close()
        return {**facts, "moved_bytes": moved_bytes}

"""A running fleet: its connections, and ways to disturb, crash and restart its workers, on any number of hosts.

A fleet has one forkserver per host. It has none if the workers are not started here; they then accept requests, but
cannot be disturbed or crashed. Callers identify a worker by its index, wherever it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from collagebench.errors import FleetError
from collagebench.fleet.connection import Connection, TaskError
from collagebench.fleet.launcher import Gone, Launcher, What
from collagebench.worker.spec import Disturbance, WorkerSpec

BACK_WITHIN = 30.0
"""Seconds for a worker to serve again after it is due to restart."""
WHY_WITHIN = 3.0
"""Seconds for a forkserver, or its connection, to report why a worker was lost, after a request to it has failed."""

Result = TypeVar("Result")


class Fleet:
    """Running workers; iterating over a fleet yields its connections."""

    def __init__(
        self,
        on_lost: Callable[[int, str], None],
        on_back: Callable[[int], None],
        cannot: str | None = None,
    ) -> None:
        """Make an empty fleet.

        `on_lost` is called with the index of a lost worker and the reason, `on_back` with the index of a worker that
        was made to crash and serves again. `cannot` is the error message if workers cannot be disturbed or crashed;
        None if they can.
        """
        self.facts: dict[str, dict[str, Any]] = {}
        """Facts about each host, by the `host` of its connections, for the records; never a secret."""
        self._on_lost = on_lost
        self._on_back = on_back
        self._cannot = cannot
        self._by_index: dict[int, Connection] = {}
        self._launchers: dict[int, Launcher] = {}
        """The forkserver of each worker that has one."""
        self._disturbed: list[tuple[Launcher, Disturbance]] = []
        """The disturbance in effect: each forkserver with its part of the workers."""
        self._ended = asyncio.Event()
        """Set whenever a forkserver reports a worker as lost."""
        self._whole = asyncio.Event()
        self._whole.set()
        self._returns: set[asyncio.Task[None]] = set()
        self._due: dict[int, float] = {}
        """Time at which each crashed worker must be back, by the event loop's clock."""

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.connections)

    @property
    def connections(self) -> list[Connection]:
        """One connection per worker, including lost workers."""
        return list(self._by_index.values())

    @property
    def hosts(self) -> list[dict[str, Any]]:
        """One dict per host: `host`, the number of its `workers`, and its facts."""
        workers = Counter(connection.host for connection in self)
        return [{"host": host, "workers": count, **self.facts.get(host, {})} for host, count in workers.items()]

    async def disturb(self, disturbance: Disturbance) -> What:
        """Slow workers down until `calm`, replacing any current disturbance; return what was actually started.

        A worker that ends is no longer disturbed, even if it comes back.

        Raises:
            FleetError: this fleet or one of the hosts cannot do it; then the disturbance is undone on all hosts.
        """
        self._refuse()
        await self.calm()
        hosts: dict[Launcher, list[int]] = {}
        for worker in disturbance.workers:
            if worker not in self._launchers:
                raise FleetError(f"worker {worker} cannot be disturbed by {disturbance.kind}: it is not running")
            hosts.setdefault(self._launchers[worker], []).append(worker)
        self._disturbed = [(host, replace(disturbance, workers=tuple(workers))) for host, workers in hosts.items()]
        answers = await asyncio.gather(*(host.disturb(part) for host, part in self._disturbed), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                await self.calm()
                raise answer
        return _in_order(answers)

    async def calm(self) -> What:
        """Undo the disturbance; return what it did, once it has completely ended.

        If a forkserver has ended, and everything it had started with it, the items of its workers say only that.

        Raises:
            FleetError: a forkserver does not answer.
        """
        disturbed, self._disturbed = self._disturbed, []
        answers = await asyncio.gather(*(host.calm() for host, _ in disturbed), return_exceptions=True)
        for (_, part), (place, answer) in zip(disturbed, enumerate(answers), strict=True):
            if isinstance(answer, Gone):
                answers[place] = [
                    {"worker": worker, "kind": part.kind, "ended": str(answer)} for worker in part.workers
                ]
            elif isinstance(answer, BaseException):
                raise answer
        return _in_order(answers)

    def _refuse(self) -> None:
        if self._cannot is not None:
            raise FleetError(self._cannot)

    def crash(self, worker: int, restart_after: float) -> bool:
        """Kill a worker and restart it `restart_after` seconds later; return False if it is not running.

        Its calls fail as `crashed` until just before `on_back` is called.

        Raises:
            FleetError: workers of this fleet cannot be crashed.
        """
        self._refuse()
        connection = self._by_index[worker]
        if connection.lost is not None or connection.crashed:
            return False
        connection.crash()
        self._whole.clear()
        self._launchers[worker].crash(worker, restart_after)
        loop = asyncio.get_running_loop()
        due = self._due[worker] = loop.time() + restart_after + BACK_WITHIN
        loop.call_at(due, self._check_back, worker, due)
        return True

    def _check_back(self, worker: int, due: float) -> None:
        """Count a worker as lost if it is not back by now, unless it has crashed again in the meantime."""
        connection = self._by_index[worker]
        if connection.crashed and connection.lost is None and self._due[worker] == due:
            self.lost(worker, f"was not back {BACK_WITHIN:g} s after it was due to restart")

    @property
    def is_whole(self) -> bool:
        """Whether every worker that was made to crash is back or lost."""
        return self._whole.is_set()

    async def whole(self) -> None:
        """Return when every worker that was made to crash is back or lost."""
        await self._whole.wait()

    def _check_whole(self) -> None:
        if not any(connection.crashed and connection.lost is None for connection in self):
            self._whole.set()

    async def launch(self, launchers: Sequence[tuple[Launcher, Sequence[WorkerSpec]]], deadline: float) -> None:
        """Start the workers of each forkserver and connect to all of them.

        Raises:
            ModelError: a worker's model is missing, damaged, of the wrong shape, or not the one that was expected.
            FleetError: a worker could not be started, or is not ready within `deadline` seconds.
        """
        until = asyncio.get_running_loop().time() + deadline
        starts = [launcher.start(specs, deadline) for launcher, specs in launchers]
        connections = []
        for (launcher, specs), reports in zip(launchers, await all_of(starts), strict=True):
            for spec, report in zip(specs, reports, strict=True):
                self._launchers[spec.index] = launcher
                connections.append(
                    Connection(spec.index, launcher.target(report), report["pid"], report["host"], report["versions"])
                )
        await self.connect(connections, until - asyncio.get_running_loop().time())

    def take_in(self, connections: Sequence[Connection]) -> None:
        """Add workers to the fleet, without connecting to them."""
        self._by_index.update({each.index: each for each in sorted(connections, key=lambda each: each.index)})

    async def connect(self, connections: Sequence[Connection], timeout: float) -> None:
        """Add workers that have been started, and return once all of them report that they are ready.

        Raises:
            FleetError: one does not within `timeout` seconds.
        """
        self.take_in(connections)
        try:
            await asyncio.gather(*(connection.ready(timeout) for connection in self))
        except TaskError as error:
            raise FleetError(f"a worker was started but cannot be reached: {error.detail}") from None

    def lost(self, index: int, reason: str) -> None:
        """Mark a worker as lost, and call `on_lost`."""
        if index in self._by_index:
            self._by_index[index].lost = reason
            self._ended.set()
            self._check_whole()
        self._on_lost(index, reason)

    async def explained(self, workers: Iterable[int]) -> None:
        """Wait until `on_lost` was called with each of these workers, but not longer than WHY_WITHIN.

        A request that fails may be the first sign that a worker is lost, and says only that the connection broke.
        """
        unexplained = [self._by_index[worker] for worker in workers if worker in self._launchers]
        loop = asyncio.get_running_loop()
        until = loop.time() + WHY_WITHIN
        while any(connection.lost is None for connection in unexplained) and (left := until - loop.time()) > 0:
            self._ended.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), left)

    def restarted(self, index: int, pid: int) -> None:
        """Connect to a restarted worker in the background, and then call `on_back`."""
        task = asyncio.create_task(self._come_back(index, pid), name=f"worker-{index}-comes-back")
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    async def _come_back(self, index: int, pid: int) -> None:
        connection = self._by_index[index]
        try:
            await connection.come_back(pid, BACK_WITHIN)
        except TaskError as error:
            if connection.lost is None:
                self.lost(index, f"was started again but cannot be reached: {error.detail}")
        else:
            if connection.lost is None:
                self._check_whole()
                self._on_back(index)

    async def close(self) -> None:
        """Close all connections; calls in progress are cancelled."""
        for task in self._returns:
            task.cancel()
        await asyncio.gather(*self._returns, return_exceptions=True)
        for connection in self:
            await connection.close()


def _in_order(answers: Sequence[Any]) -> What:
    """Return the items of several answers, sorted by worker."""
    return sorted((item for answer in answers for item in answer), key=lambda item: int(item["worker"]))


async def to_its_end(work: Awaitable[Result], hurry: Callable[[], None] = lambda: None) -> Result:
    """Await `work` to its end even if this task is cancelled meanwhile, and pass the cancellation on only then.

    `hurry` is called at once, so that the work can be cut short in an orderly way.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        hurry()
        await task
        raise


async def all_of(tasks: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Await all tasks concurrently; if one fails, cancel the others and raise its error."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        return await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

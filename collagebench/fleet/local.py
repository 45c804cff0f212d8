"""Workers as processes of this machine, which live no longer than their client, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from collagebench.errors import FleetError, OutputError
from collagebench.fleet.connection import Connection, TaskError
from collagebench.fleet.launcher import Launcher, What
from collagebench.worker.spec import Compute, Disturbance, WorkerSpec

# The forkserver imports exactly what its client would, whatever way the client was started.
PROGRAM = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from collagebench.worker.forkserver import main; main()"
)


LINE_BYTES = 1 << 24
"""The longest line that the forkserver may say: hours of stops in one."""
BACK_WITHIN = 30.0
"""Seconds that a worker gets from the moment when it is to be started again until it serves."""


class Fleet:
    """Workers of this machine that are up; to iterate over it is to iterate over its connections."""

    def __init__(
        self,
        on_lost: Callable[[int, str], None],
        on_back: Callable[[int], None],
    ) -> None:
        self._on_lost = on_lost
        self._on_back = on_back
        self._by_index: dict[int, Connection] = {}
        self._whole = asyncio.Event()
        self._whole.set()
        self._returns: set[asyncio.Task[None]] = set()
        self._due: dict[int, float] = {}
        """When each crashed worker must be back, by the event loop's clock."""
        self._launcher: Launcher

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.connections)

    @property
    def connections(self) -> list[Connection]:
        """One for every worker, those that are gone included."""
        return list(self._by_index.values())

    async def disturb(self, disturbance: Disturbance) -> What:
        """Slow workers down until `calm`, in the place of what slows any down now; return what was really started.

        A worker that ends is not disturbed any more, also if it comes back.

        Raises:
            FleetError: it cannot be done here; then nothing of it is left.
        """
        return await self._launcher.disturb(disturbance)

    async def calm(self) -> What:
        """Undo the disturbance; return what came of it once nothing of it is left.

        Raises:
            FleetError: the forkserver is gone, and with it everything that it had started.
        """
        return await self._launcher.calm()

    def crash(self, worker: int, restart_after: float) -> bool:
        """Kill a worker and start it again `restart_after` seconds later; return whether it was there to be killed.

        From now on its calls fail as `crashed`, until just before `on_back` is called.
        """
        connection = self._by_index[worker]
        if connection.lost is not None or connection.crashed:
            return False
        connection.crash()
        self._whole.clear()
        self._launcher.crash(worker, restart_after)
        loop = asyncio.get_running_loop()
        self._due[worker] = loop.time() + restart_after + BACK_WITHIN
        loop.call_at(self._due[worker], self._check_back, worker)
        return True

    def _check_back(self, worker: int) -> None:
        """Count a worker as lost that should have been back by now."""
        connection = self._by_index[worker]
        late = asyncio.get_running_loop().time() >= self._due[worker]
        if connection.crashed and connection.lost is None and late:
            self._lost(worker, f"was not back {BACK_WITHIN:g} s after it was to be started again")

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

    async def _open(self, launcher: Launcher, specs: Sequence[WorkerSpec], deadline: float) -> None:
        """Start the workers and connect to each."""
        self._launcher = launcher
        until = asyncio.get_running_loop().time() + deadline
        for spec, report in zip(specs, await launcher.start(specs, deadline), strict=True):
            self._by_index[spec.index] = Connection(
                spec.index, f"unix:{report['socket']}", report["pid"], report["host"], report["versions"]
            )
        left = until - asyncio.get_running_loop().time()
        try:
            await asyncio.gather(*(connection.ready(left) for connection in self))
        except TaskError as error:
            raise FleetError(f"a worker was started but cannot be reached: {error.detail}") from None

    def _lost(self, index: int, reason: str) -> None:
        if index in self._by_index:
            self._by_index[index].lost = reason
            self._check_whole()
        self._on_lost(index, reason)

    def _restarted(self, index: int, pid: int) -> None:
        task = asyncio.create_task(self._come_back(index, pid), name=f"worker-{index}-comes-back")
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    async def _come_back(self, index: int, pid: int) -> None:
        connection = self._by_index[index]
        try:
            await connection.come_back(pid, BACK_WITHIN)
        except TaskError as error:
            if connection.lost is None:
                self._lost(index, f"was started again but cannot be reached: {error.detail}")
        else:
            if connection.lost is None:
                self._check_whole()
                self._on_back(index)

    async def _close(self) -> None:
        for task in self._returns:
            task.cancel()
        await asyncio.gather(*self._returns, return_exceptions=True)
        for connection in self:
            await connection.close()


@contextlib.asynccontextmanager
async def local_fleet(
    specs: Sequence[WorkerSpec],
    compute: Compute,
    logs: Path,
    on_lost: Callable[[int, str], None],
    start_deadline: float = 30.0,
    drain_deadline: float = 2.0,
    on_crashed: Callable[[int], None] = lambda worker: None,
    on_back: Callable[[int], None] = lambda worker: None,
) -> AsyncIterator[Fleet]:
    """Start one process per spec, yield the fleet once it can be reached, and take it all down at the end.

    Args:
        specs: the workers; their indices must differ.
        compute: `real` loads and runs the models, `emulated` does neither.
        logs: directory for `worker-<index>.log` and `forkserver.log`; made if it is missing.
        on_lost: called once with index and reason for a worker that ends while the fleet is up.
        start_deadline: seconds until all workers must be ready.
        drain_deadline: seconds that workers get to stop before they are killed.
        on_crashed: called with the index of a worker that has ended because it was made to crash.
        on_back: called with its index when it serves again.

    Raises:
        ModelError: a model is missing, damaged, of the wrong shape, or not the one that was expected.
        FleetError: the workers could not be started in time.
        OutputError: the logs cannot be written.
    """
    fleet = Fleet(on_lost, on_back)
    launcher = Launcher(await _forkserver(compute, logs), logs, fleet._lost, on_crashed, fleet._restarted)
    try:
        await fleet._open(launcher, specs, start_deadline)
        yield fleet
    finally:
        await fleet._close()
        try:
            await launcher.drain(drain_deadline)
        finally:
            if launcher.directory is not None:  # still there only if the forkserver was killed
                shutil.rmtree(launcher.directory, ignore_errors=True)


async def _forkserver(compute: Compute, logs: Path) -> asyncio.subprocess.Process:
    """Start the forkserver in a session of its own, out of reach of the terminal's Ctrl-C."""
    try:
        logs.mkdir(parents=True, exist_ok=True)
        log = open(logs / "forkserver.log", "ab")  # noqa: SIM115 - closed below, once the process has it
    except OSError as error:
        raise OutputError(f"the workers' logs cannot be written to {logs} ({error.strerror or error})") from None
    arguments = ["\n".join(sys.path), "--compute", compute, "--logs", str(logs.absolute())]
    pipe = asyncio.subprocess.PIPE
    with log:
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROGRAM,
                *arguments,
                stdin=pipe,
                stdout=pipe,
                stderr=log,
                start_new_session=True,
                limit=LINE_BYTES,
            )
        except OSError as error:
            raise FleetError(f"the workers could not be started ({error.strerror or error})") from None

"""Workers as processes on this machine, which end with their client, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from collagebench.errors import FleetError, OutputError
from collagebench.fleet.fleet import Fleet, to_its_end
from collagebench.fleet.launcher import Launcher
from collagebench.worker.spec import Compute, WorkerSpec

# The forkserver uses the client's sys.path, so that it imports the same modules however the client was started.
PROGRAM = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from collagebench.worker.forkserver import main; main()"
)


MEMORY = Path("/proc/meminfo")
WORKER_BYTES: dict[Compute, int] = {"real": 11_000_000, "emulated": 8_000_000}
"""Memory of a worker without what it shares with the others, as measured; large models need more."""
START_WITHIN = 30.0
"""Seconds for all workers to be ready,"""
START_EACH = 0.1
"""and additional seconds for each worker."""
LINE_BYTES = 1 << 24
"""The longest line that the forkserver may send: it can list hours of stops."""


@contextlib.asynccontextmanager
async def local_fleet(
    specs: Sequence[WorkerSpec],
    compute: Compute,
    logs: Path,
    on_lost: Callable[[int, str], None],
    start_deadline: float | None = None,
    drain_deadline: float = 2.0,
    on_crashed: Callable[[int], None] = lambda worker: None,
    on_back: Callable[[int], None] = lambda worker: None,
) -> AsyncIterator[Fleet]:
    """Start one process per spec, yield the fleet once it can be reached, and stop everything at the end.

    Args:
        specs: the workers; their indices must differ.
        compute: `real` loads and runs the models, `emulated` does neither.
        logs: directory for `worker-<index>.log` and `forkserver.log`; created if it is missing.
        on_lost: called once with index and reason for a worker that ends while the fleet is up.
        start_deadline: seconds for all workers to be ready; None for a time that grows with their number.
        drain_deadline: seconds for workers to stop before they are killed.
        on_crashed: called with the index of a worker that has ended because it was made to crash.
        on_back: called with its index when it serves again.

    Raises:
        ModelError: a model is missing, damaged, of the wrong shape, or not the one that was expected.
        FleetError: the workers could not be started in time.
        OutputError: the logs cannot be written.
    """
    _see_that_they_fit(len(specs), compute)
    fleet = Fleet(on_lost, on_back)
    launcher = Launcher(await _forkserver(compute, logs), logs, fleet.lost, on_crashed, fleet.restarted)
    try:
        usual = START_WITHIN + START_EACH * len(specs)
        await fleet.launch([(launcher, specs)], usual if start_deadline is None else start_deadline)
        yield fleet
    finally:
        await to_its_end(_close(fleet, launcher, drain_deadline))


async def _close(fleet: Fleet, launcher: Launcher, deadline: float) -> None:
    await fleet.close()
    try:
        await launcher.drain(deadline)
    finally:
        if launcher.directory is not None:  # still there only if the forkserver was killed
            shutil.rmtree(launcher.directory, ignore_errors=True)


def _see_that_they_fit(workers: int, compute: Compute) -> None:
    """Refuse more workers than fit into the available memory, assuming the smallest models; only Linux is checked."""
    try:
        lines = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return
    needed = workers * WORKER_BYTES[compute]
    if needed > free:
        raise FleetError(
            f"{workers:,} workers need at least {needed / 1e9:.1f} GB of memory, but only {free / 1e9:.1f} GB are "
            "free: use fewer --workers, or simulate them"
        )


async def _forkserver(compute: Compute, logs: Path) -> asyncio.subprocess.Process:
    """Start the forkserver in a session of its own, so that a Ctrl-C in the terminal does not reach it."""
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

"""Open a fleet of any kind; all measuring code goes through here."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from collagebench.errors import FleetError
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.local import local_fleet
from collagebench.fleet.where import Where
from collagebench.worker.spec import Compute, WorkerSpec

OPEN_FILES = 32
"""Files that the client has open besides one connection per worker; measured, and rounded up."""
ADDRESS_SPACE = 1 << 30
"""Bytes of address space that the client needs, most of it for gRPC's threads; measured, and rounded up."""


@contextlib.asynccontextmanager
async def open_fleet(
    where: Where,
    specs: Sequence[WorkerSpec],
    compute: Compute,
    logs: Path,
    on_lost: Callable[[int, str], None],
    on_crashed: Callable[[int], None] = lambda worker: None,
    on_back: Callable[[int], None] = lambda worker: None,
    stage: Callable[[str], None] = lambda text: None,
    show: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[Fleet]:
    """Start or reach one worker per spec, yield the fleet once it can be reached, and stop everything at the end.

    Args:
        where: the kind of fleet and its settings.
        specs: the workers; their indices must differ.
        compute: `real` loads and runs the models, `emulated` does neither.
        logs: directory for the workers' logs; created if it is missing.
        on_lost: called once with index and reason for a worker that ends while the fleet is up.
        on_crashed: called with the index of a worker that has ended because it was made to crash.
        on_back: called with its index when it serves again.
        stage: called with a text on what is being done, for a progress display.
        show: called with a text that should stay on the screen: a table of hosts, a warning.

    Raises:
        ModelError: a model is missing, damaged, of the wrong shape, or not the one that was expected.
        FleetError: the workers could not be started or reached.
        OutputError: the logs cannot be written.
    """
    opened: Any
    if where.kind == "local":
        opened = local_fleet(specs, compute, logs, on_lost, on_crashed=on_crashed, on_back=on_back)
    elif where.kind == "ssh":
        from collagebench.fleet.ssh.fleet import ssh_fleet

        opened = ssh_fleet(where, specs, compute, logs, on_lost, on_crashed, on_back, stage, show)
    elif where.kind == "endpoint":
        from collagebench.fleet.endpoint import endpoint_fleet

        opened = endpoint_fleet(where, specs, on_lost)
    elif where.kind == "ray":
        from collagebench.fleet.ray import ray_fleet

        opened = ray_fleet(where, specs, compute, on_lost, show)
    else:
        raise FleetError(f"there is no fleet of the kind {where.kind}")
    async with opened as fleet:
        yield fleet


def see_that_limits_allow(workers: int) -> None:
    """Check that this process may open enough files for all workers, and has enough address space.

    Call this before there is an event loop, because C libraries that reach these limits abort the process.

    Raises:
        FleetError: a limit is too low.
    """
    needed, (most, _) = workers + OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and needed > most:
        raise FleetError(
            f"{workers:,} workers need at least {needed:,} open files, but this process may have only {most:,}: raise "
            "`ulimit -n`, or use fewer --workers"
        )
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if space != resource.RLIM_INFINITY and space < ADDRESS_SPACE:
        raise FleetError(
            f"real workers need at least {ADDRESS_SPACE / 1e9:.1f} GB of address space, but a process may have only "
            f"{space / 1e9:.1f} GB: raise `ulimit -v`"
        )

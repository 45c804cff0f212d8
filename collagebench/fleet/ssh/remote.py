"""The client's side of a forkserver on a remote host: like a local one, but ssh forwards its workers' sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from collagebench.errors import FleetError
from collagebench.fleet.launcher import Launcher
from collagebench.fleet.ssh.explain import lost
from collagebench.fleet.ssh.session import Session
from collagebench.worker.spec import WorkerSpec


class Remote(Launcher):
    """One forkserver, started through a session."""

    def __init__(
        self,
        session: Session,
        place: str,
        on_lost: Callable[[int, str], None],
        on_crashed: Callable[[int], None],
        on_restarted: Callable[[int, int], None],
    ) -> None:
        """Begin to listen to it; `place` is the prefix of the local paths of its workers' sockets."""
        self._session = session
        self._place = place
        self._ended: str | None = None
        log = session.log

        def lost_there(worker: int, status: str) -> None:
            address = session.host.address
            on_lost(worker, status if address in status else f"{status} on {address}")

        super().__init__(session.process, log.parent, lost_there, on_crashed, on_restarted, log.name)

    async def up(self, deadline: float) -> None:
        """Return when the forkserver is up.

        Raises:
            FleetError: it could not be started, or is not up within `deadline` seconds; the message lacks the host.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._up), deadline)
        except asyncio.TimeoutError:
            raise self._late([], deadline) from None

    async def start(self, specs: Sequence[WorkerSpec], deadline: float) -> list[dict[str, Any]]:
        """Start the workers and forward their sockets; see `Launcher.start`."""
        for spec in specs:
            with contextlib.suppress(OSError):
                (self._logs / f"worker-{spec.index}.log").touch()  # an empty log shows that nothing was written
        reports = await super().start(specs, deadline)
        address = self._session.host.address
        try:
            await self._session.forward([(self._here(report), report["socket"]) for report in reports])
        except FleetError as error:
            raise FleetError(f"host {address}: {error}") from None
        return [{**report, "host": address} for report in reports]

    def target(self, report: dict[str, Any]) -> str:
        """Return the gRPC address of a worker from its report: its local socket."""
        return f"unix:{self._here(report)}"

    def _here(self, report: dict[str, Any]) -> str:
        return f"{self._place}{report['worker']}"

    def _heard_line(self, text: bytes) -> None:
        """Handle a line from the host; if no forkserver would send it, kill the connection."""
        try:
            super()._heard_line(text)
        except (ValueError, KeyError, TypeError, AttributeError, asyncio.InvalidStateError):
            self._ended = "it sent something that is not from a forkserver"
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _heard(self, event: dict[str, Any]) -> None:
        if event["event"] == "said":
            log = f"worker-{self._specs[event['worker']].index}.log" if "worker" in event else self._session.log.name
            with contextlib.suppress(OSError), open(self._logs / log, "a", encoding="utf-8") as file:
                file.write(event["text"])
        elif event["event"] == "ended":
            self._ended = event["status"]
        else:
            super()._heard(event)

    def _how_it_ended(self, code: int) -> str:
        address = self._session.host.address
        if self._ended is not None:
            return f"forkserver on {address} ended ({self._ended})"
        why = lost(address, code, self._session.said(), self._session.paused())
        return f"connection to {address} was lost ({why})"

"""The client's end of a forkserver: start workers, hear of their deaths, take them down again.

A forkserver is any process that runs `collagebench.worker.forkserver` with its standard input and output connected to
this end; whether it runs here or at the far end of an ssh connection makes no difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from collagebench.errors import CollagebenchError, FleetError, ModelError
from collagebench.worker.spec import WorkerSpec, to_json

KILL_AFTER = 1.0
"""Seconds beyond the drain deadline after which the forkserver itself is killed."""


class Launcher:
    """One forkserver and its workers."""

    def __init__(self, process: Process, logs: Path, on_lost: Callable[[int, str], None]) -> None:
        self._process = process
        self._logs = logs
        self._on_lost = on_lost
        loop = asyncio.get_running_loop()
        self._up: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._ready: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._gone: set[int] = set()
        self._marks: dict[str, int] = {}
        """Where this fleet's part of a log begins; what is before it was written by an earlier fleet."""
        self._serving = False
        """From when all workers are ready until they are taken down: a worker that ends now is lost."""
        self._listener = asyncio.create_task(self._listen(), name="forkserver-listener")

    @property
    def directory(self) -> str | None:
        """Where the workers' sockets lie; None until the forkserver has said so."""
        up = self._up
        return up.result()["directory"] if up.done() and not up.cancelled() and up.exception() is None else None

    async def start(self, specs: Sequence[WorkerSpec], deadline: float) -> list[dict[str, Any]]:
        """Start the workers and return what each reported, with `host`, in the order of `specs`.

        Raises:
            ModelError: a worker's model is missing, damaged, of the wrong shape, or not the one that was expected.
            FleetError: a worker could not be started, or is not ready within `deadline` seconds.
        """
        loop = asyncio.get_running_loop()
        self._ready = {spec.index: loop.create_future() for spec in specs}
        logs = (self._logs / f"worker-{spec.index}.log" for spec in specs)
        self._marks = {log.name: log.stat().st_size for log in logs if log.exists()}
        orders = [json.dumps({"start": to_json(spec)}) + "\n" for spec in specs]
        assert self._process.stdin is not None
        self._process.stdin.write("".join(orders).encode())
        waiting = [self._up, *self._ready.values()]
        done, late = await asyncio.wait(waiting, timeout=deadline, return_when=asyncio.FIRST_EXCEPTION)
        # In the order of the workers, so that the same fault gives the same message.
        for future in waiting:
            if future in done and (error := future.exception()) is not None:
                raise error
        if late:
            raise self._late([index for index, future in self._ready.items() if future in late], deadline)
        if self._gone:
            index = min(self._gone)
            raise FleetError(f"worker {index} ended before the others were ready{self._said(f'worker-{index}.log')}")
        self._serving = True
        host = self._up.result()["host"]
        reports = []
        for spec in specs:
            report = self._ready[spec.index].result()
            _check(spec, report["sha256"])
            reports.append({**report, "host": host})
        return reports

    def _late(self, late: Sequence[int], deadline: float) -> FleetError:
        if not self._up.done():
            return FleetError(f"the forkserver did not start within {deadline:g} s{self._said('forkserver.log')}")
        names = "; ".join(f"worker {index}{self._said(f'worker-{index}.log')}" for index in late[:3])
        more = f"; and {len(late) - 3} more" if len(late) > 3 else ""
        return FleetError(
            f"{len(late)} of {len(self._ready)} workers were not ready within {deadline:g} s: {names}{more}"
        )

    def _said(self, log: str) -> str:
        """Return what the end of a log says, to be appended to a sentence."""
        try:
            written = (self._logs / log).read_bytes()[self._marks.get(log, 0) :]
            lines = written.decode(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f" ({self._logs / log} ends: {' / '.join(lines[-3:])})" if lines else " (its log is empty)"

    async def _listen(self) -> None:
        """Hear everything that the forkserver says, to its end."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._heard(json.loads(line))
        code = await self._process.wait()
        status = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        for index in self._ready:
            self._end(index, f"its forkserver ended ({status})")
        if not self._up.done():
            self._up.set_exception(FleetError(f"the forkserver ended ({status}){self._said('forkserver.log')}"))

    def _heard(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if "worker" not in event:
            if kind == "up":
                self._up.set_result(event)
            else:
                self._up.set_exception(FleetError(event["message"]))
            return
        index = event["worker"]
        ready = self._ready[index]
        if kind == "ready":
            ready.set_result(event)
        elif kind == "failed":
            ready.set_exception(_failure(event))
        elif kind == "exited":
            self._end(index, event["status"])

    def _end(self, index: int, status: str) -> None:
        """A worker is gone."""
        if index in self._gone:
            return
        self._gone.add(index)
        ready = self._ready[index]
        if not ready.done():
            log = self._said(f"worker-{index}.log")
            ready.set_exception(FleetError(f"worker {index} ended before it was ready: {status}{log}"))
        elif self._serving:
            self._on_lost(index, status)

    async def drain(self, deadline: float) -> None:
        """Take the workers down: ask, after `deadline` seconds kill, and return when the forkserver has ended."""
        self._serving = False
        process = self._process
        assert process.stdin is not None
        if process.returncode is None:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(json.dumps({"drain": deadline}).encode() + b"\n")
                await process.stdin.drain()
            try:
                await asyncio.wait_for(process.wait(), deadline + KILL_AFTER)
            except asyncio.TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its group: the workers as well
        await self._listener
        for future in (self._up, *self._ready.values()):
            if future.done():
                future.exception()  # whoever waited has been told another failure already


def _failure(event: dict[str, Any]) -> CollagebenchError:
    return (ModelError if event["kind"] == "model" else FleetError)(event["message"])


def _check(spec: WorkerSpec, loaded: dict[str, str]) -> None:
    for model in spec.models:
        if model.name in loaded and loaded[model.name] != model.sha256:
            raise ModelError(
                f"worker {spec.index} loaded {model.path} with sha256 {loaded[model.name][:12]}…, but "
                f"{model.sha256[:12]}… was expected: the file was replaced or damaged; export it again"
            )

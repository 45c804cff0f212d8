"""The client's side of a forkserver: start workers, disturb them, learn when they end, and stop them.

A forkserver is a process that runs `collagebench.worker.forkserver`, on this machine or at the other end of an ssh
connection. Its standard input and output are connected to this side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from collagebench.errors import CollagebenchError, FleetError, ModelError
from collagebench.worker.lines import line
from collagebench.worker.spec import Disturbance, WorkerSpec, to_json

KILL_AFTER = 1.0
"""Seconds after the drain deadline until the forkserver itself is killed."""


CONFIRM_WITHIN = 60.0
"""Seconds for the forkserver to confirm that workers are disturbed or calm."""


class Gone(FleetError):
    """The forkserver has ended, and its workers with it."""


What = list[dict[str, Any]]
"""What a disturbance actually started, or what it did: one item per worker, in the form of a run's records."""


class Launcher:
    """One forkserver and its workers."""

    def __init__(
        self,
        process: Process,
        logs: Path,
        on_lost: Callable[[int, str], None],
        on_crashed: Callable[[int], None],
        on_restarted: Callable[[int, int], None],
        log: str = "forkserver.log",
    ) -> None:
        """Begin to listen to the forkserver; `log` is the name of its own log, in the directory of its workers' logs.

        `on_lost` is called with the index of a worker that ended and why, `on_crashed` with the index of a worker that
        was made to crash, and `on_restarted` with its index and new process id when it serves again.
        """
        self._process = process
        self._logs = logs
        self._log = log
        self._on_lost = on_lost
        self._on_crashed = on_crashed
        self._on_restarted = on_restarted
        loop = asyncio.get_running_loop()
        self._up: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._ready: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._specs: dict[int, WorkerSpec] = {}
        self._unanswered: deque[asyncio.Future[What]] = deque()
        """Orders that wait for an answer; answers come in the order of the orders."""
        self._gone: set[int] = set()
        self._marks: dict[str, int] = {}
        """Offset in each log where this fleet's part begins; an earlier fleet wrote what is before."""
        self._serving = False
        """True from when all workers are ready until they are stopped; a worker that ends in this time is lost."""
        self._listener = asyncio.create_task(self._listen(), name="forkserver-listener")

    @property
    def directory(self) -> str | None:
        """The directory of the workers' sockets; None until the forkserver has reported it."""
        up = self._up
        return up.result()["directory"] if up.done() and not up.cancelled() and up.exception() is None else None

    async def start(self, specs: Sequence[WorkerSpec], deadline: float) -> list[dict[str, Any]]:
        """Start the workers and return their reports, with `host` added, in the order of `specs`.

        Raises:
            ModelError: a worker's model is missing, damaged, of the wrong shape, or not the one that was expected.
            FleetError: a worker could not be started, or is not ready within `deadline` seconds.
        """
        loop = asyncio.get_running_loop()
        self._ready = {spec.index: loop.create_future() for spec in specs}
        self._specs = {spec.index: spec for spec in specs}
        logs = (self._logs / f"worker-{spec.index}.log" for spec in specs)
        self._marks = {log.name: log.stat().st_size for log in logs if log.exists()}
        for spec in specs:
            self._order(start=to_json(spec))
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
            check(spec, report["sha256"])
            reports.append({**report, "host": host})
        return reports

    def target(self, report: dict[str, Any]) -> str:
        """Return the gRPC address of a worker from its report."""
        return f"unix:{report['socket']}"

    def _order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line(order))

    async def disturb(self, disturbance: Disturbance) -> What:
        """Slow workers down until `calm`, replacing any current disturbance; return what was actually started.

        Raises:
            FleetError: the host cannot do it, or the forkserver has ended.
        """
        return await self._carried_out(disturb=asdict(disturbance))

    async def calm(self) -> What:
        """Undo the disturbance; return what it did, once it has completely ended.

        Raises:
            Gone: the forkserver has ended, and everything it had started with it.
            FleetError: the forkserver does not answer.
        """
        return await self._carried_out(calm=True)

    async def _carried_out(self, **order: Any) -> What:
        name = next(iter(order))
        if self._listener.done():
            raise Gone(f"nothing is left to {name} the workers: their forkserver has ended")
        answer = asyncio.get_running_loop().create_future()
        self._unanswered.append(answer)
        self._order(**order)
        try:
            return await asyncio.wait_for(answer, CONFIRM_WITHIN)
        except asyncio.TimeoutError:
            raise FleetError(
                f"the forkserver did not {name} its workers within {CONFIRM_WITHIN:g} s{self._said(self._log)}"
            ) from None

    def crash(self, worker: int, restart_after: float) -> None:
        """Kill a worker and restart it `restart_after` seconds later; `on_crashed` and `on_restarted` report both."""
        self._order(crash={"worker": worker, "restart_after": restart_after})

    def _late(self, late: Sequence[int], deadline: float) -> FleetError:
        if not self._up.done():
            return FleetError(f"the forkserver did not start within {deadline:g} s{self._said(self._log)}")
        names = "; ".join(f"worker {index}{self._said(f'worker-{index}.log')}" for index in late[:3])
        more = f"; and {len(late) - 3} more" if len(late) > 3 else ""
        return FleetError(
            f"{len(late)} of {len(self._ready)} workers were not ready within {deadline:g} s: {names}{more}"
        )

    def _said(self, log: str) -> str:
        """Return the last lines of a log in parentheses, to append to a message."""
        try:
            written = (self._logs / log).read_bytes()[self._marks.get(log, 0) :]
            lines = written.decode(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f" ({self._logs / log} ends: {' / '.join(lines[-3:])})" if lines else " (its log is empty)"

    async def _listen(self) -> None:
        """Handle every event of the forkserver until it ends, and then its end."""
        assert self._process.stdout is not None
        async for text in self._process.stdout:
            self._heard_line(text)
        ended = self._how_it_ended(await self._process.wait())
        for index in self._ready:
            self._end(index, f"its {ended}")
        if not self._up.done():
            self._up.set_exception(FleetError(f"the {ended}{self._said(self._log)}"))
        while self._unanswered:
            self._answer(Gone(f"the {ended}"))

    def _how_it_ended(self, code: int) -> str:
        """Return how the forkserver ended, as text to follow `its` or `the`."""
        return f"forkserver ended ({'killed by signal' if code < 0 else 'exit status'} {abs(code)})"

    def _answer(self, answer: What | FleetError) -> None:
        waiting = self._unanswered.popleft()
        if waiting.done():
            return  # the caller timed out or was cancelled
        if isinstance(answer, FleetError):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _heard_line(self, text: bytes) -> None:
        self._heard(json.loads(text))

    def _heard(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "up":
            self._up.set_result(event)
        elif kind in ("disturbed", "calm"):
            self._answer(event["what"])
        elif kind == "refused":
            self._answer(FleetError(event["message"]))
        elif "worker" not in event:
            self._up.set_exception(FleetError(event["message"]))
        elif event.get("again"):
            self._heard_again(event)
        else:
            self._heard_of(event["worker"], kind, event)

    def _heard_of(self, index: int, kind: str, event: dict[str, Any]) -> None:
        if kind == "ready":
            self._ready[index].set_result(event)
        elif kind == "failed":
            self._ready[index].set_exception(_failure(event))
        elif kind == "exited":
            self._end(index, event["status"])
        elif kind == "crashed" and self._serving:
            self._on_crashed(index)

    def _heard_again(self, event: dict[str, Any]) -> None:
        """Handle the restart of a crashed worker; if it failed, the worker is lost."""
        index = event["worker"]
        if event["event"] == "failed":
            self._end(index, event["message"])
            return
        try:
            check(self._specs[index], event["sha256"])
        except ModelError as error:
            self._end(index, str(error))
        else:
            if self._serving:
                self._on_restarted(index, event["pid"])

    def _end(self, index: int, status: str) -> None:
        """Handle the end of a worker: fail its start, or report it as lost."""
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
        """Ask the workers to stop, kill them after `deadline` seconds, and return when the forkserver has ended."""
        self._serving = False
        process = self._process
        assert process.stdin is not None
        if process.returncode is None:
            with contextlib.suppress(ConnectionError):
                self._order(drain=deadline)
                await process.stdin.drain()
            try:
                await asyncio.wait_for(process.wait(), deadline + KILL_AFTER)
            except asyncio.TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its group: the workers as well
        await self._listener
        for future in (self._up, *self._ready.values()):
            if future.done():
                future.exception()  # retrieved, so that asyncio does not log it: another failure was raised already


def _failure(event: dict[str, Any]) -> CollagebenchError:
    return (ModelError if event["kind"] == "model" else FleetError)(event["message"])


def check(spec: WorkerSpec, loaded: dict[str, str]) -> None:
    """Check by SHA-256 that a worker loaded the expected models; ModelError if not."""
    for model in spec.models:
        if model.name in loaded and loaded[model.name] != model.sha256:
            raise ModelError(
                f"worker {spec.index} loaded {model.path} with sha256 {loaded[model.name][:12]}…, but "
                f"{model.sha256[:12]}… was expected: the file was replaced or damaged; export it again"
            )

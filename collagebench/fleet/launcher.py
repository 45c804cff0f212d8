"""The client's end of a forkserver: start workers, disturb them, hear of their deaths, take them down again.

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
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from collagebench.errors import CollagebenchError, FleetError, ModelError
from collagebench.worker.lines import line
from collagebench.worker.spec import Disturbance, WorkerSpec, to_json

KILL_AFTER = 1.0
"""Seconds beyond the drain deadline after which the forkserver itself is killed."""


CONFIRM_WITHIN = 60.0
"""Seconds in which the forkserver must say that workers are disturbed or calm."""


class Gone(FleetError):
    """The forkserver has ended, and its workers with it."""


What = list[dict[str, Any]]
"""What a disturbance has really started, or what came of it: one item a worker, as it goes into a run's records."""


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
        """Listen to the forkserver, whose own log, among those of its workers, is called `log`.

        `on_lost` is told of a worker that ended and why, `on_crashed` of one that ended because it was told to, and
        `on_restarted` of one that serves again after that, and its new process id.
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
        """What waits for answers, which come in the order of the orders."""
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
        """Return what gRPC calls the address of a worker that has reported to be ready."""
        return f"unix:{report['socket']}"

    def _order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line(order))

    async def disturb(self, disturbance: Disturbance) -> What:
        """Slow workers down until `calm`, in the place of what slows any down now; return what was really started.

        Raises:
            FleetError: it cannot be done there, or the forkserver is gone.
        """
        return await self._carried_out(disturb=asdict(disturbance))

    async def calm(self) -> What:
        """Undo the disturbance; return what came of it once nothing of it is left.

        Raises:
            Gone: the forkserver is, and with it everything that it had started.
            FleetError: it does not answer.
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
        """Kill a worker and start it again `restart_after` seconds later; the callbacks tell of both."""
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
        """Return what became of the forkserver, as it reads behind `its` and `the`."""
        return f"forkserver ended ({'killed by signal' if code < 0 else 'exit status'} {abs(code)})"

    def _answer(self, answer: What | FleetError) -> None:
        waiting = self._unanswered.popleft()
        if waiting.done():
            return  # nobody waits for it any more
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
        """A worker that was made to crash is back, or could not be started again, which is its end."""
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
                future.exception()  # whoever waited has been told another failure already


def _failure(event: dict[str, Any]) -> CollagebenchError:
    return (ModelError if event["kind"] == "model" else FleetError)(event["message"])


def check(spec: WorkerSpec, loaded: dict[str, str]) -> None:
    """See that a worker loaded the models that were meant, by their SHA-256; ModelError if not."""
    for model in spec.models:
        if model.name in loaded and loaded[model.name] != model.sha256:
            raise ModelError(
                f"worker {spec.index} loaded {model.path} with sha256 {loaded[model.name][:12]}…, but "
                f"{model.sha256[:12]}… was expected: the file was replaced or damaged; export it again"
            )

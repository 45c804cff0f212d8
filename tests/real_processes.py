"""What tests of real processes share: a forkserver driven by hand, a wait for processes to end, and a tiny model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import collagebench
from collagebench.worker.spec import ModelFile, WorkerSpec, to_json

_PATH = Path(__file__).parent / "worker" / "sums.onnx"
SUMS = ModelFile("sums", str(_PATH), hashlib.sha256(_PATH.read_bytes()).hexdigest(), (4, 4, 3))
"""A model that answers each image with the sums of its three channels."""
SPEC = WorkerSpec(0, (SUMS, replace(SUMS, name="again")))
"""A worker with two models."""
ROOT = str(Path(collagebench.__file__).parents[1])
SOON = 10.0
"""Seconds within which processes that end at once have ended, even on a busy machine."""


class Driven:
    """A forkserver and the test's end of its streams."""

    def __init__(self, compute: str, logs: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "collagebench.worker.forkserver", "--compute", compute, "--logs", str(logs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": ROOT},
        )

    def order(self, **order: Any) -> None:
        """Send an order, as one line of JSON."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def start(self, spec: WorkerSpec) -> None:
        """Order a worker."""
        self.order(start=to_json(spec))

    def hear(self) -> dict[str, Any]:
        """Return the next event, or an empty one at the end of the stream."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline() or "{}")

    def started(self, workers: int) -> list[int]:
        """Start the first workers, and return their process ids when all are ready."""
        assert self.hear()["event"] == "up"
        for index in range(workers):
            self.start(replace(SPEC, index=index))
        events = [self.hear() for _ in range(workers)]
        assert [event["event"] for event in events] == ["ready"] * workers
        return [event["pid"] for event in sorted(events, key=lambda event: event["worker"])]


class Watched:
    """Processes to wait for, without polling and without confusing them with later ones of the same ids.

    Those that have already ended are ignored.
    """

    def __init__(self, pids: list[int]) -> None:
        self._open: dict[int, int] = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                self._open[os.pidfd_open(pid)] = pid

    def left_after(self, seconds: float) -> set[int]:
        """Wait until all have ended, at most `seconds`; return the ids of those that have not."""
        with contextlib.closing(select.epoll()) as poll:
            for descriptor in self._open:
                poll.register(descriptor, select.EPOLLIN)
            until = time.monotonic() + seconds
            while self._open and (ended := poll.poll(max(until - time.monotonic(), 0))):
                for descriptor, _ in ended:
                    os.close(descriptor)
                    del self._open[descriptor]
        left = set(self._open.values())
        for descriptor in self._open:
            os.close(descriptor)
        return left


@contextlib.contextmanager
def driven(compute: str, logs: Path) -> Iterator[Driven]:
    """Run a forkserver until the block ends and closes its input."""
    server = Driven(compute, logs)
    try:
        yield server
    finally:
        assert server.process.stdin is not None
        assert server.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            server.process.stdin.close()
        server.process.stdout.close()
        server.process.wait(30)


def worker_pids() -> list[int]:
    """Return the worker processes below this one: children of its forkserver."""
    return [pid for server in children(os.getpid()) for pid in children(server)]


def children(parent: int) -> list[int]:
    """Return the ids of a process's children."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found

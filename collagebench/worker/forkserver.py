"""The program that starts workers: `python -m collagebench.worker.forkserver --compute real --logs DIRECTORY`.

It imports once what every worker needs and forks a child for each, so that ten workers start about as fast as one. It
needs nothing but its standard streams, so it runs as well at the far end of an ssh connection. JSON lines come in:

    {"start": {"index": 0, "models": [...]}}     fork a worker
    {"drain": 2.0}                               ask the workers to stop, kill after 2 s what is left, and end

and go out:

    {"event": "up", "pid": …, "host": …, "directory": …}
    {"event": "failed", "kind": "fleet", "message": …}                   it cannot start at all
    {"worker": 0, "event": "ready", "pid": …, "socket": …, "sha256": {…}, "versions": {…}}
    {"worker": 0, "event": "failed", "kind": "model" | "fleet", "message": …}
    {"worker": 0, "event": "exited", "status": "killed by signal 9" | "exit status 1"}

When its standard input ends, because the client is gone, it kills its workers at once. When it is itself killed, the
workers notice (`process.py`). The workers' sockets lie in a directory that only this user can enter, and go with it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from collagebench.errors import FleetError
from collagebench.worker.spec import Compute, WorkerSpec, from_json

SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""The longest path that a Unix socket can have."""


class Lines:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Any]:
        """Return the JSON values of the lines that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


@dataclass(slots=True)
class Child:
    """A worker as its parent sees it."""

    index: int
    pid: int
    pipe: int
    """Where its report comes from; ends when it ends."""
    lines: Lines = field(default_factory=Lines)


def main() -> None:
    """Serve the client on standard input and output until it is done or gone."""
    parser = argparse.ArgumentParser(prog="collagebench.worker.forkserver")
    parser.add_argument("--compute", choices=("real", "emulated"), required=True)
    parser.add_argument("--logs", type=Path, required=True)
    arguments = parser.parse_args()
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with socket_directory() as directory:
            preload(arguments.compute)
            say({"event": "up", "pid": os.getpid(), "host": socket.gethostname(), "directory": directory})
            Forkserver(arguments.compute, arguments.logs, directory).run()
    except FleetError as error:
        say({"event": "failed", "kind": "fleet", "message": str(error)})
        sys.exit(1)


def _leave(sign: int, frame: object) -> NoReturn:
    sys.exit(128 + sign)


def say(event: dict[str, Any]) -> None:
    """Tell the client; a client that is gone is noticed on standard input."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(event).encode() + b"\n")


def preload(compute: Compute) -> None:
    """Import what every worker needs without starting a thread, whose locks a fork would leave as they happen to be."""
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    modules = ["collagebench.worker.process"] + (["onnxruntime"] if compute == "real" else [])
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that collections in the children do not copy the pages they share


@contextlib.contextmanager
def socket_directory() -> Iterator[str]:
    """Make a directory that only this user can enter, and remove it at the end.

    Raises:
        FleetError: it cannot be made, or its path is too long for a socket or means something else to gRPC.
    """
    try:
        directory = tempfile.mkdtemp(prefix="collagebench-")
    except OSError as error:
        raise FleetError(
            f"no directory for the workers' sockets can be made ({error}); set TMPDIR to another"
        ) from None
    try:
        longest = len(os.fsencode(os.path.join(directory, "99999.sock")))
        if longest > SOCKET_PATH_BYTES:
            raise FleetError(
                f"the workers' sockets would lie in {directory}, too long a path ({longest} bytes, a Unix socket "
                f"allows {SOCKET_PATH_BYTES}); set TMPDIR to a shorter one"
            )
        if not set("%?#").isdisjoint(directory):
            raise FleetError(
                f"the workers' sockets would lie in {directory}, but gRPC takes no path with %, ? or # in it; set "
                "TMPDIR to another"
            )
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Forkserver:
    """The children and the loop that listens to them and to the client."""

    def __init__(self, compute: Compute, logs: Path, directory: str) -> None:
        self._compute = compute
        self._logs = logs
        self._directory = directory
        self._children: dict[int, Child] = {}
        """By the pipe that their reports come from."""
        self._lifeline, self._alive = os.pipe()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Carry out the client's orders; return when all workers are gone."""
        orders = Lines()
        deadline: float | None = None
        self._selector.register(0, selectors.EVENT_READ)
        try:
            while deadline is None or self._children:
                timeout = None if deadline is None else deadline - time.monotonic()
                if timeout is not None and timeout <= 0:
                    return
                for key, _ in self._selector.select(timeout):
                    data = os.read(key.fd, 65536)
                    if key.fd != 0:
                        self._heard(self._children[key.fd], data)
                        continue
                    if not data:
                        return
                    for order in orders.feed(data):
                        if "start" in order:
                            self._start(from_json(order["start"]))
                        else:
                            deadline = time.monotonic() + order["drain"]
                            self._signal(signal.SIGTERM)
        finally:
            self._signal(signal.SIGKILL)
            for child in self._children.values():
                os.waitpid(child.pid, 0)

    def _signal(self, sign: int) -> None:
        for child in self._children.values():
            os.kill(child.pid, sign)  # it is not reaped yet, so its id is still its own

    def _heard(self, child: Child, data: bytes) -> None:
        for event in child.lines.feed(data):
            say({"worker": child.index, **event})
        if data:
            return
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        del self._children[child.pipe]
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        status = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        say({"worker": child.index, "event": "exited", "status": status})

    def _start(self, spec: WorkerSpec) -> None:
        parent = os.getpid()
        try:
            pipe, report = os.pipe()
            pid = os.fork()
        except OSError as error:
            message = f"worker {spec.index} could not be started ({error.strerror})"
            say({"worker": spec.index, "event": "failed", "kind": "fleet", "message": message})
            return
        if pid == 0:
            self._become(spec, parent, report)
        os.close(report)
        self._children[pipe] = Child(spec.index, pid, pipe)
        self._selector.register(pipe, selectors.EVENT_READ)

    def _become(self, spec: WorkerSpec, parent: int, report: int) -> None:
        """Turn the fresh child into a worker; of the forkserver's files only the two pipes stay open in it."""
        code = 1
        try:
            for sign in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(sign, signal.SIG_DFL)
            from collagebench.worker.process import live, tell

            try:
                log = os.open(self._logs / f"worker-{spec.index}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            except OSError as error:
                message = f"the log of worker {spec.index} in {self._logs} cannot be written ({error.strerror})"
                tell(report, {"event": "failed", "kind": "fleet", "message": message})
                return
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            self._selector.close()
            for descriptor in (log, nothing, self._alive, *self._children):
                os.close(descriptor)
            path = os.path.join(self._directory, f"{spec.index}.sock")
            code = live(spec, path, self._compute, parent, self._lifeline, report)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


if __name__ == "__main__":
    main()

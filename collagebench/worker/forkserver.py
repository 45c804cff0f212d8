"""The program that starts workers: `python -m collagebench.worker.forkserver --compute real [--logs DIRECTORY]`.

It imports the modules that every worker needs once, and forks a child for each worker, so that ten workers start about
as fast as one. It needs only its standard streams, so it also runs at the other end of an ssh connection. It reads JSON
lines:

    {"start": {"index": 0, "models": [...]}}            fork a worker
    {"disturb": {"kind": "stop", "workers": [0], …}}    cause natural slowness (`natural.py`)
    {"calm": true}                                      undo it
    {"crash": {"worker": 0, "restart_after": 0.5}}      kill a worker, and restart it on the same socket
    {"drain": 2.0}                                      ask the workers to stop, kill the rest after 2 s, and exit

and writes JSON lines:

    {"event": "up", "pid": …, "host": …, "directory": …}
    {"event": "failed", "kind": "fleet", "message": …}                   it cannot start at all
    {"worker": 0, "event": "ready", "pid": …, "socket": …, "sha256": {…}, "versions": {…}}
    {"worker": 0, "event": "failed", "kind": "model" | "fleet", "message": …}
    {"worker": 0, "event": "exited", "status": "killed by signal 9" | "exit status 1"}
    {"worker": 0, "event": "crashed"}                                    as ordered; `ready` with `again` follows
    {"worker": 0, "event": "said", "text": …}                            its output, if there are no log files
    {"event": "disturbed", "what": [{"worker": 0, "kind": "stop", …}]}   or else:
    {"event": "refused", "message": …}
    {"event": "calm", "what": [{"worker": 0, "seconds": …, …}]}          what the disturbance did

When its standard input ends, because the client is gone, it kills its workers at once. When it is killed itself, the
workers notice (`process.py`), and a janitor undoes the disturbance (`janitor.py`). The workers' sockets are in a
directory that only this user can enter. It is removed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import importlib
import math
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from collagebench.errors import CollagebenchError, FleetError
from collagebench.worker.lines import Lines, line
from collagebench.worker.loop import Loop
from collagebench.worker.report import failed
from collagebench.worker.socket_directory import socket_directory
from collagebench.worker.spec import Compute, Disturbance, WorkerSpec, from_json


@dataclass(slots=True)
class Child:
    """A worker as its parent sees it."""

    spec: WorkerSpec
    pid: int
    pipe: int
    """Descriptor from which its report is read; reads end-of-file when the worker ends."""
    said: int | None
    """Descriptor from which its output is read; None if the output goes into a log file."""
    again: bool
    """Whether it replaces a worker that was made to crash."""
    restart_at: float | None = None
    """When to restart it, if it has been made to crash."""
    lines: Lines = field(default_factory=Lines)


def main() -> None:
    """Serve the client on standard input and output until it is done or gone."""
    parser = argparse.ArgumentParser(prog="collagebench.worker.forkserver")
    parser.add_argument("--compute", choices=("real", "emulated"), required=True)
    parser.add_argument("--logs", type=Path, help="for what workers write; without it the client is told")
    parser.add_argument("--directory", help="for their sockets: an empty one, removed at the end; else one is made")
    arguments = parser.parse_args()
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with socket_directory(arguments.directory) as directory:
            preload(arguments.compute)
            say({"event": "up", "pid": os.getpid(), "host": socket.gethostname(), "directory": directory})
            Forkserver(arguments.compute, arguments.logs, directory).run()
    except FleetError as error:
        say(failed(error))
        sys.exit(1)


def _leave(sign: int, frame: object) -> NoReturn:
    sys.exit(128 + sign)


def say(event: dict[str, Any]) -> None:
    """Send an event to the client; a client that is gone is noticed on standard input, not here."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, line(event))


def preload(compute: Compute) -> None:
    """Import what every worker needs without starting threads: a fork could leave their locks held forever."""
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    for module in ("process", "natural"):
        importlib.import_module(f"collagebench.worker.{module}")
    if compute == "real":
        importlib.import_module("onnxruntime")
    gc.collect()
    gc.freeze()  # so that collections in the children do not copy the pages they share


def advice(error: int | None) -> str:
    """Return advice on the error number of a failed start, to append to a message; empty if there is none."""
    limit = {errno.EMFILE: "-n", errno.EAGAIN: "-u"}.get(error or 0)
    return f": raise `ulimit {limit}`, or use fewer workers" if limit else ""


def _again(again: bool) -> dict[str, Any]:
    return {"again": True} if again else {}


class Forkserver:
    """The workers, and the loop that listens to them and to the client."""

    def __init__(self, compute: Compute, logs: Path | None, directory: str) -> None:
        self._compute = compute
        self._logs = logs
        self._directory = directory
        self._children: dict[int, Child] = {}
        """By the worker's index; none has been reaped, so the process ids are valid."""
        self._orders = Lines()
        self._deadline = math.inf
        """When to exit, once it is told to drain."""
        self._gone = False
        """Whether the client is gone."""
        self._sign: int | None = None
        """The signal that asked it to end."""
        from collagebench.worker.natural import Natural  # loads NumPy, so `preload` must have set the environment

        self._lifeline, alive = os.pipe()
        self._loop = Loop()
        self._loop.own(alive)
        self._natural = Natural(self._loop, self._lifeline, directory)

    def run(self) -> None:
        """Carry out the client's orders until it is drained or the client is gone; exit if a signal asks for it."""
        self._loop.listen(0, self._ordered)
        self._loop.heed((signal.SIGTERM, signal.SIGHUP), self._asked_to_end)
        try:
            while not self._gone and self._sign is None and (self._deadline == math.inf or self._children):
                if time.monotonic() >= self._deadline:
                    return
                self._loop.turn(self._deadline)
        finally:
            try:
                self._natural.calm()
            finally:
                self._signal(signal.SIGKILL)
                for child in self._children.values():
                    os.waitpid(child.pid, 0)
        if self._sign is not None:
            sys.exit(128 + self._sign)

    def _asked_to_end(self, signs: bytes) -> None:
        self._sign = signs[0]

    def _ordered(self, data: bytes) -> None:
        self._gone = not data
        for order in self._orders.feed(data):
            if "start" in order:
                self._start(from_json(order["start"]))
            elif "disturb" in order:
                self._disturb(order["disturb"])
            elif "calm" in order:
                say({"event": "calm", "what": self._natural.calm()})
            elif "crash" in order:
                self._crash(**order["crash"])
            else:
                self._deadline = time.monotonic() + order["drain"]
                self._natural.calm()  # a stopped worker cannot handle SIGTERM
                self._signal(signal.SIGTERM)

    def _signal(self, sign: int) -> None:
        for child in self._children.values():
            os.kill(child.pid, sign)

    def _disturb(self, order: dict[str, Any]) -> None:
        pids = {worker: child.pid for worker, child in self._children.items()}
        try:
            disturbance = Disturbance(**{**order, "workers": tuple(order["workers"])})
            say({"event": "disturbed", "what": self._natural.disturb(disturbance, pids)})
        except CollagebenchError as error:
            say({"event": "refused", "message": str(error)})

    def _crash(self, worker: int, restart_after: float) -> None:
        child = self._children.get(worker)
        if child is not None and child.restart_at is None:  # else it has just ended, and the client will be told
            child.restart_at = time.monotonic() + restart_after
            os.kill(child.pid, signal.SIGKILL)

    def _heard(self, child: Child, data: bytes) -> None:
        index = child.spec.index
        for event in child.lines.feed(data):
            say({"worker": index, **event, **_again(child.again)})
        if data:
            return
        self._loop.hang_up(child.pipe)
        if child.said is not None:
            self._said(child, os.read(child.said, 65536))  # cannot block: the worker has ended
            self._loop.hang_up(child.said)
        self._natural.lost(index, child.pid)
        del self._children[index]
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        if child.restart_at is not None:
            say({"worker": index, "event": "crashed"})
            self._loop.at(child.restart_at, lambda: self._start(child.spec, again=True))
            return
        status = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        say({"worker": index, "event": "exited", "status": status})

    def _said(self, child: Child, data: bytes) -> None:
        if data:
            say({"worker": child.spec.index, "event": "said", "text": data.decode(errors="replace")})

    def _start(self, spec: WorkerSpec, again: bool = False) -> None:
        if self._deadline < math.inf:
            return  # due to restart, but the workers are being stopped
        parent = os.getpid()
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._socket(spec))  # left behind by a crash
            pipe, report = os.pipe()
            self._loop.own(pipe)
            said, log = os.pipe() if self._logs is None else (None, None)
            if said is not None:
                self._loop.own(said)
            pid = os.fork()
        except OSError as error:
            message = f"worker {spec.index} could not be started ({error.strerror}){advice(error.errno)}"
            say({"worker": spec.index, **failed(message), **_again(again)})
            return
        if pid == 0:
            self._become(spec, parent, report, log)
        os.close(report)
        child = self._children[spec.index] = Child(spec, pid, pipe, said, again)
        self._loop.listen(pipe, lambda data: self._heard(child, data))
        if said is not None and log is not None:
            os.close(log)
            self._loop.listen(said, lambda data: self._said(child, data))

    def _log(self, spec: WorkerSpec) -> Path:
        assert self._logs is not None
        return self._logs / f"worker-{spec.index}.log"

    def _socket(self, spec: WorkerSpec) -> str:
        return os.path.join(self._directory, f"{spec.index}.sock")

    def _become(self, spec: WorkerSpec, parent: int, report: int, log: int | None) -> None:
        """Turn the new child into a worker; of the forkserver's files, only the pipes that it needs stay open.

        Its output goes to the descriptor `log`, or to a log file if that is None.
        """
        code = 1
        try:
            for sign in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(sign, signal.SIG_DFL)
            from collagebench.worker.process import live, tell

            try:
                log = os.open(self._log(spec), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666) if log is None else log
            except OSError as error:
                why = f"the log of worker {spec.index} in {self._logs} cannot be written ({error.strerror})"
                tell(report, failed(why))
                return
            self._loop.leave()
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            code = live(spec, self._socket(spec), self._compute, parent, self._lifeline, report)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


if __name__ == "__main__":
    main()

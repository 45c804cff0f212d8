"""One worker process, from the fork to its end.

It loads and tries its models, listens on its socket, reports that it is ready, and serves until it is told to stop
(SIGTERM) or its parent has ended. Only the parent holds the write end of a pipe. A thread of the worker waits for that
pipe to close, which happens however the parent ends, and then ends the process. On Linux the kernel does the same, even
for a worker that is stopped (SIGSTOP).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

import grpc.aio

from collagebench.errors import CollagebenchError
from collagebench.worker.inference import Hosted, emulated, load
from collagebench.worker.report import failed, ready
from collagebench.worker.service import Service, handler
from collagebench.worker.spec import Compute, WorkerSpec
from collagebench.worker.station import Station
from collagebench.worker.wire import MESSAGE_SIZES

try:
    from uvloop import run
except ImportError:
    from asyncio import run

GRACE = 1.0
"""Seconds for calls in progress to finish when the worker is told to stop."""


def live(spec: WorkerSpec, socket: str, compute: Compute, parent: int, lifeline: int, report: int) -> int:
    """Run as the worker `spec`, and return the exit status.

    Args:
        spec: the models to serve.
        socket: path of the Unix socket to listen on.
        compute: `real` loads and runs the models, `emulated` does neither.
        parent: process id of the parent.
        lifeline: file descriptor that reads end-of-file when the parent has ended.
        report: file descriptor for one JSON line, `ready` or `failed`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client handles Ctrl-C
    die_with(parent, lifeline)
    try:
        models = {file.name: load(file) if compute == "real" else emulated(file) for file in spec.models}
    except CollagebenchError as error:
        tell(report, failed(error))
        return 1
    run(_serve(models, socket, report, ready(models, compute, socket=socket)))
    return 0


async def _serve(models: Mapping[str, Hosted], socket: str, report: int, when_up: dict[str, Any]) -> None:
    server = grpc.aio.server(options=MESSAGE_SIZES)
    server.add_generic_rpc_handlers((handler(Service(models, Station())),))
    try:
        server.add_insecure_port(f"unix:{socket}")
    except RuntimeError as error:
        tell(report, failed(f"socket {socket} cannot be used: {error}"))
        return
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.start()
    tell(report, when_up)
    await stop.wait()
    await server.stop(GRACE)
    os._exit(0)  # without waiting for a task in service, whose answer nobody needs


def tell(report: int, event: dict[str, Any]) -> None:
    """Write one JSON line for the client, in a single write."""
    os.write(report, json.dumps(event).encode() + b"\n")


def die_with(parent: int, lifeline: int) -> None:
    """Make this process end when its parent ends; `lifeline` then reads end-of-file."""

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before prctl was called
        os._exit(1)

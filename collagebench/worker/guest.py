"""A worker inside a process that another system started and watches, such as Ray; it listens on the node's address.

It does what `process.py` does for a worker of the forkserver: it loads and tries its models, listens, reports, and
serves until its process is ended. Nothing is written to disk: the models come as bytes and stay in memory. Callers must
use TLS and show the token of the run.

At import time this module needs no package that may be missing on the node; a missing one is reported as a failure.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from collagebench.errors import CollagebenchError
from collagebench.worker.report import failed, ready

UP_WITHIN = 30.0
"""Seconds for the server to listen."""


class Guest:
    """One worker."""

    def __init__(self) -> None:
        """Set the priority of an ordinary process, if that is allowed: Ray starts its processes with a lower one."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)  # of this thread, and of those that it starts
        self._end: str | None = None
        self._ended = threading.Event()

    def start(self, order: dict[str, Any], *contents: bytes) -> dict[str, Any]:
        """Start to serve, and return the report with the `node`: `ready`, or `failed` with `kind` and `message`.

        Args:
            order: the `spec` as JSON, `compute`, and the `digest` of the token.
            contents: the contents of the model files, in the order of the spec; empty for emulated models.
        """
        import ray.util

        node = ray.util.get_node_ip_address()
        return {"node": node, **self.started(order, node, contents)}

    def started(self, order: dict[str, Any], address: str, contents: Sequence[bytes]) -> dict[str, Any]:
        """Do what `start` does, for a node with this address."""
        try:
            return self._start(order, address, contents)
        except CollagebenchError as error:
            return failed(error)
        except ImportError as error:
            return failed(
                f"the package {(error.name or str(error)).partition('.')[0]} is missing there: pip install "
                "'collagebench[ray]' in the environment that the cluster's nodes run"
            )

    def wait(self) -> str:
        """Wait until the server ends, and return why; an unfinished call shows that the process lives."""
        self._ended.wait()
        return self._end or "ended"

    def _start(self, order: dict[str, Any], address: str, contents: Sequence[bytes]) -> dict[str, Any]:
        from collagebench.worker import certificate
        from collagebench.worker.inference import emulated, hosted
        from collagebench.worker.spec import from_json

        spec, compute = from_json(order["spec"]), order["compute"]
        if compute == "real":
            models = {file.name: hosted(file, content) for file, content in zip(spec.models, contents, strict=True)}
        else:
            models = {file.name: emulated(file) for file in spec.models}
        key, own = certificate.certificate()
        port = self._serve(models, address, key, own, order["digest"])
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        return ready(models, compute, hostname=socket.gethostname(), port=port, certificate=own, niceness=niceness)

    def _serve(self, models: Mapping[str, Any], address: str, key: bytes, own: bytes, digest: str) -> int:
        """Start the server on a thread of its own; return its port.

        Raises:
            FleetError: it cannot listen there.
        """
        from collagebench.errors import FleetError

        listening = threading.Event()
        port: list[int] = []

        def up(at: int) -> None:
            port.append(at)
            listening.set()

        try:
            from uvloop import run as complete
        except ImportError:
            from asyncio import run as complete

        def run() -> None:
            try:
                complete(_serve(models, address, (key, own), digest, up))
            except BaseException as error:
                self._end = f"ended ({error or type(error).__name__})"
            self._ended.set()
            listening.set()

        threading.Thread(target=run, name="server", daemon=True).start()
        if not listening.wait(UP_WITHIN) or not port:
            raise FleetError(f"the worker cannot listen on {address}: {self._end or 'the server does not start'}")
        return port[0]


async def _serve(
    models: Mapping[str, Any], address: str, pair: tuple[bytes, bytes], digest: str, up: Callable[[int], None]
) -> None:
    """Serve forever; call `up` with the port once the server listens."""
    import grpc
    import grpc.aio

    from collagebench.worker.doorkeeper import Doorkeeper
    from collagebench.worker.service import Service, handler
    from collagebench.worker.station import Station
    from collagebench.worker.wire import MESSAGE_SIZES

    options = [*MESSAGE_SIZES, ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options, interceptors=[Doorkeeper(digest)])
    server.add_generic_rpc_handlers((handler(Service(models, Station())),))
    place = f"[{address}]:0" if ":" in address else f"{address}:0"
    port = server.add_secure_port(place, grpc.ssl_server_credentials([pair]))
    await server.start()
    up(port)
    await server.wait_for_termination()

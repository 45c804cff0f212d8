"""A connection to a running Ray cluster, which gets a copy of this package.

Ray ships the copy to every node that runs our code. The dependencies must be installed there: the `ray` extra, in the
nodes' Python environment. Only that copy is written to the nodes' disks, in Ray's session directory, and Ray removes it
when it needs the space.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import collagebench
from collagebench.errors import FleetError, MissingExtra
from collagebench.paths import profiles_dir

REACH_WITHIN = 20.0
"""Seconds to connect to a cluster."""
KNOCK_WITHIN = 5.0
"""Seconds to open a TCP connection to its port."""


def connect(address: str, package: Path) -> Any:
    """Connect to the cluster at `address` and return the module `ray`; blocks for `REACH_WITHIN` seconds at most.

    `address` is `auto`, `host:port` or `ray://host:port`; `package` is the copy of this package to ship.

    Raises:
        MissingExtra: Ray is not installed.
        FleetError: the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # Ray would print its warnings among our output
    try:
        import ray
    except ImportError:
        raise MissingExtra("Ray is not installed: pip install 'collagebench[ray]'") from None
    _knock(address)
    failure: list[BaseException] = []

    def call() -> None:
        try:
            shipped = {"py_modules": [str(package)]}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env=shipped)
        except BaseException as error:
            failure.append(error)

    # Ray waits forever for a cluster that does not exist, and on the main thread it would replace the SIGTERM handler.
    thread = threading.Thread(target=call, name="ray-init", daemon=True)
    thread.start()
    thread.join(REACH_WITHIN)
    if thread.is_alive():
        raise FleetError(f"the Ray cluster at {address} did not answer within {REACH_WITHIN:g} s")
    if failure:
        text = str(failure[0]).strip().splitlines() or [type(failure[0]).__name__]
        hint = ": start one with `ray start --head`, or name it with --ray-address" if address == "auto" else ""
        raise FleetError(f"the Ray cluster at {address} cannot be reached ({text[0].rstrip('.')}){hint}")
    if threading.current_thread() is threading.main_thread():
        restore_signals()
    return ray


@contextmanager
def copied_package(with_models: bool) -> Iterator[Path]:
    """Yield a temporary copy of this package, with profiles like an installed one, and with or without the models."""
    source = Path(collagebench.__file__).parent
    needless = ("__pycache__", "profiles", *(() if with_models else ("*.onnx",)))
    with tempfile.TemporaryDirectory(prefix="collagebench-") as directory:
        place = Path(directory) / source.name
        shutil.copytree(source, place, ignore=shutil.ignore_patterns(*needless))
        shutil.copytree(profiles_dir(), place / "profiles")
        yield place


def restore_signals() -> None:
    """Give signals back to Python's handlers, where Ray has installed its own; call it on the main thread."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if (handler := signal.getsignal(number)) is not None:
            signal.signal(number, handler)


def _knock(address: str) -> None:
    """Check that a server listens at the address, if it names a host and a port.

    Raises:
        FleetError: none does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_WITHIN).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise FleetError(f"the Ray cluster at {address} cannot be reached ({why})") from None

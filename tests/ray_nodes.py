"""A Ray cluster of two nodes on this machine, each with its own loopback address.

If the tests run as root, the package is hidden from the nodes, as on other machines: they can run only what was
shipped to them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_processes import ROOT

CORES = 4
"""The number of cores that each node reports."""
UP_WITHIN = 60.0


@dataclass
class Nodes:
    """A cluster that is up."""

    address: str
    client: str
    """The address for clients on machines outside the cluster."""
    processes: list[subprocess.Popen[bytes]]
    """The head node's, then the second's."""

    def kill_second(self) -> None:
        """Kill the second node and all that runs on it, as if its machine had failed."""
        os.killpg(self.processes[1].pid, signal.SIGKILL)


@contextlib.contextmanager
def ray_nodes() -> Iterator[Nodes]:
    """Start a cluster of two nodes, and end it."""
    with socket.create_server(("127.0.0.2", 0)) as held:
        port = held.getsockname()[1]
    client = _free("127.0.0.2")
    home = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # the paths of Unix sockets must be short
    ray = [*_hidden(), sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    ray += ["--num-cpus", str(CORES), "--object-store-memory", "100000000"]
    head = ["--head", "--node-ip-address", "127.0.0.2", "--port", str(port), "--temp-dir", str(home)]
    head += ["--include-dashboard", "false", "--ray-client-server-port", str(client)]
    address = f"127.0.0.2:{port}"
    second = ["--address", address, "--node-ip-address", "127.0.0.3"]
    nodes = Nodes(address, f"ray://127.0.0.2:{client}", [])
    try:
        for place, options in enumerate((head, second)):
            with open(home / f"node-{place}.log", "wb") as log:
                nodes.processes.append(
                    subprocess.Popen(
                        [*ray, *options],
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                        env={**os.environ, "PYTHONPATH": ""},
                    )
                )
            _wait(home / f"node-{place}.log", nodes.processes[-1])
        yield nodes
    finally:
        for process in nodes.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _hidden() -> list[str]:
    """Return a prefix for a command that hides the package from it; empty if that is not possible."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return []
    hide = 'mount -t tmpfs none "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", hide, str(Path(ROOT) / "collagebench")]


def _free(host: str) -> int:
    with socket.create_server((host, 0)) as held:
        return int(held.getsockname()[1])


def _wait(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Return once a node's log says that it runs; fail after `UP_WITHIN` seconds."""
    until = time.monotonic() + UP_WITHIN
    while "Ray runtime started" not in log.read_text():
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"the node did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)  # the interval of polling


def processes_named(name: str) -> set[int]:
    """Return the ids of processes whose command line begins with a name, such as the one that Ray gives its workers."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(name.encode()):
                found.add(int(path.parent.name))
    return found

"""What distance to workers costs: one round trip and the client's CPU time, in one interleaved run.

    python benchmarks/distance.py [--quick] [--host HOST --remote-python PYTHON] [--ray-address ADDRESS]

Workers that compute nothing are called one after the other: local ones over a Unix socket; workers over SSH, on a named
host, or through an sshd that is started for this user on the loopback interface; an endpoint over TCP, and over TLS if
the package cryptography is installed; workers of a Ray cluster (TLS and a token) if one is named. Unless a host or a
cluster is named, all are on this machine, so the figures are the cost of the connection without the distance. Fleets
take turns in every round, so that other load on the machine affects all alike; ratios are medians over the rounds. CPU
time is that of the whole client process and its ssh; the start is that of two workers, with everything that it takes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import grpc
import grpc.aio
import numpy as np
import uvloop
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from collagebench.errors import MissingExtra
from collagebench.fleet import Where
from collagebench.fleet.connection import Connection
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.opening import open_fleet
from collagebench.hosts import Host
from collagebench.worker.certificate import certificate
from collagebench.worker.inference import Hosted
from collagebench.worker.service import Service, handler
from collagebench.worker.spec import ModelFile, WorkerSpec
from collagebench.worker.station import Station
from collagebench.worker.wire import MESSAGE_SIZES

SIDES = {"3 KB": 32, "150 KB": 224}
ANSWER = np.zeros((1, 10), np.float32)
SSHD = "/usr/sbin/sshd"
Numbers = dict[tuple[str, str], list[float]]


async def serve(key: str, chain: str) -> None:
    """Serve an endpoint that answers at once, with TLS if there is a key; print the port."""
    server = grpc.aio.server(options=MESSAGE_SIZES)
    models = {
        name: Hosted(name, (side, side, 3), "uint8", None, (10,), None, lambda pixels: ANSWER)
        for name, side in SIDES.items()
    }
    server.add_generic_rpc_handlers((handler(Service(models, Station())),))
    if key:
        pair = (Path(key).read_bytes(), Path(chain).read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


@contextlib.contextmanager
def endpoint(*pair: Path) -> Iterator[int]:
    """Run an endpoint in a process of its own; yield its port."""
    command = [sys.executable, __file__, "--serve", *(map(str, pair) if pair else ("", ""))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def loopback(home: Path) -> Iterator[Host]:
    """Run an sshd with temporary keys for this user, and make ssh use them; yield it as a host."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name, lines in {
        "sshd_config": [
            *(f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {home}/host", f"AuthorizedKeysFile {home}/user.pub"),
            *("PermitRootLogin yes", "PasswordAuthentication no", "StrictModes no", "UsePAM no", "PidFile none"),
            f"SetEnv XDG_CACHE_HOME={home}",
        ],
        "ssh_config": [
            *("Host *", f"Port {port}", f"User {pwd.getpwuid(os.geteuid()).pw_name}", f"IdentityFile {home}/user"),
            *("IdentitiesOnly yes", f"UserKnownHostsFile {home}/known", "GlobalKnownHostsFile /dev/null"),
        ],
        "known": [f"[127.0.0.1]:{port} {(home / 'host.pub').read_text()}"],
        "ssh": ["#!/bin/sh", f'exec {shutil.which("ssh")} -F {home}/ssh_config "$@"'],
    }.items():
        (home / name).write_text("\n".join(lines) + "\n")
    (home / "ssh").chmod(0o755)
    os.environ["PATH"] = f"{home}:{os.environ['PATH']}"
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    quiet = subprocess.DEVNULL
    with subprocess.Popen([SSHD, "-D", "-f", str(home / "sshd_config")], stderr=quiet) as process:
        try:
            while subprocess.run(["ssh", "127.0.0.1", "true"], stderr=quiet).returncode:
                if process.poll() is not None:
                    sys.exit("sshd does not start here: name a host with --host")
                time.sleep(0.05)
            yield Host("127.0.0.1")
        finally:
            process.terminate()


def client_cpu(tunnels: list[Path]) -> float:
    """Return the CPU seconds that this process and its ssh processes have used."""
    return time.process_time() + sum(int(path.read_text().split()[0]) for path in tunnels) / 1e9


def tunnels() -> list[Path]:
    """Return the files that say how much CPU time each ssh child of this process has used."""
    children = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return [Path(f"/proc/{pid}/schedstat") for pid in children if Path(f"/proc/{pid}/comm").read_text() == "ssh\n"]


async def called(connections: list[Connection], name: str, requests: int, ssh: list[Path]) -> tuple[list[float], float]:
    """Return the seconds of each of many calls, one after the other, and the client's CPU seconds for one."""
    pixels = np.zeros((1, SIDES[name], SIDES[name], 3), np.uint8)
    times = []
    cpu = client_cpu(ssh)
    for task in range(requests):
        began = time.perf_counter()
        await connections[task % len(connections)].infer(task, name, pixels, None, 0.0, 10)
        times.append(time.perf_counter() - began)
    return times, (client_cpu(ssh) - cpu) / requests


async def measure(places: dict[str, Where], logs: Path, rounds: int, requests: int) -> Table:
    """Open all fleets, let them take turns, and return the table."""
    models = tuple(ModelFile(name, "", "", (side, side, 3), "uint8", (10,)) for name, side in SIDES.items())
    specs = [WorkerSpec(index, models) for index in range(2)]
    times: Numbers = {}
    medians: Numbers = {}
    cpus: Numbers = {}
    starts: dict[str, float] = {}
    async with contextlib.AsyncExitStack() as stack:
        fleets: dict[str, Fleet] = {}
        for place, where in places.items():
            began = time.perf_counter()
            opened = open_fleet(where, specs, "emulated", logs / place, lambda worker, reason: None)
            fleets[place] = await stack.enter_async_context(opened)
            starts[place] = time.perf_counter() - began
            for name in SIDES:
                await called(fleets[place].connections, name, 50, [])  # warm-up
        ssh = tunnels()
        for turn in range(rounds):
            order = list(fleets) if turn % 2 else list(fleets)[::-1]
            for name in SIDES:
                for place in order:
                    took, cpu = await called(fleets[place].connections, name, requests, ssh)
                    times.setdefault((place, name), []).extend(took)
                    medians.setdefault((place, name), []).append(median(took))
                    cpus.setdefault((place, name), []).append(cpu)
    table = Table(
        "fleet",
        "image",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "p50 ratio",
        "CPU ratio",
        "start s",
        title="cost of distance",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for name in SIDES:
        for place in fleets:
            low, high = np.quantile(times[place, name], [0.5, 0.99], method="inverted_cdf")
            ratios = [
                median(mine / local for mine, local in zip(kind[place, name], kind["local", name], strict=True))
                for kind in (medians, cpus)
            ]
            cpu = median(cpus[place, name])
            figures = [f"{low * 1e3:.3f}", f"{high * 1e3:.3f}", f"{cpu * 1e6:.0f}", *_times(ratios)]
            table.add_row(place, name, *figures, f"{starts[place]:.1f}")
    return table


def _times(ratios: list[float]) -> list[str]:
    return [f"{ratio:.2f}x" for ratio in ratios]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what it costs that workers are elsewhere.")
    parser.add_argument("--quick", action="store_true", help="a fifteenth of the requests")
    parser.add_argument("--host", metavar="H", help="a host that SSH reaches")
    parser.add_argument("--remote-python", metavar="P", default=sys.executable, help="the interpreter there")
    parser.add_argument("--ray-address", metavar="A", help="a Ray cluster that runs")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        uvloop.run(serve(*asked.serve))
        return
    rounds, requests = (4, 50) if asked.quick else (60, 50)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(endpoint())
        places = {"local": Where()}
        host = Host(asked.host) if asked.host else None
        if host is None and Path(SSHD).exists():
            (home / "ssh").mkdir()
            host = stack.enter_context(loopback(home / "ssh"))
        if host is not None:
            places["SSH"] = Where("ssh", workers=2, host=(host,), remote_python=asked.remote_python)
        places["endpoint"] = Where("endpoint", endpoint=(f"grpc://127.0.0.1:{port}",))
        with contextlib.suppress(MissingExtra):
            for name, content in zip(("key", "chain"), certificate("localhost"), strict=True):
                (home / name).write_bytes(content)
            port = stack.enter_context(endpoint(home / "key", home / "chain"))
            url = f"grpcs://localhost:{port}"
            places["with TLS"] = Where("endpoint", endpoint=(url,), tls_ca=home / "chain")
        if asked.ray_address:
            places["Ray"] = Where("ray", ray_address=asked.ray_address)
        table = asyncio.run(measure(places, home, rounds, requests))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    Console(width=80).print(table, f"{os.cpu_count()} cores, load {load} at the end", sep="\n")


if __name__ == "__main__":
    main()

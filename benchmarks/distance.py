"""What it costs that workers are elsewhere: one round trip and the client's CPU time, in one interleaved run.

    python benchmarks/distance.py [--quick] [--ray-address ADDRESS]

Workers that compute nothing are called one after the other: local ones over a Unix socket; an endpoint over TCP, and
over TLS where the package cryptography is there; workers of a Ray cluster (TLS and a token) where one is named. All are
on this machine unless the cluster is not, so this is the cost of the way, without the length of it. Fleets take turns
in every round, so that what else the machine does meets all alike; ratios are medians over the rounds. CPU time is that
of the whole client process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
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
from rich.console import Console
from rich.table import Table

from collagebench.errors import MissingExtra
from collagebench.fleet import Where
from collagebench.fleet.connection import Connection
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.opening import open_fleet
from collagebench.worker.certificate import certificate
from collagebench.worker.inference import Hosted
from collagebench.worker.service import Service, handler
from collagebench.worker.spec import ModelFile, WorkerSpec
from collagebench.worker.station import Station
from collagebench.worker.wire import MESSAGE_SIZES

SIDES = {"3 KB": 32, "150 KB": 224}
ANSWER = np.zeros((1, 10), np.float32)
Numbers = dict[tuple[str, str], list[float]]


async def serve(key: str, chain: str) -> None:
    """Be an endpoint that answers at once, with TLS if there is a key; print the port."""
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
    """Run one in a process of its own; yield its port."""
    command = [sys.executable, __file__, "--serve", *(map(str, pair) if pair else ("", ""))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def called(connections: list[Connection], name: str, requests: int) -> tuple[list[float], float]:
    """Return the seconds of each of many calls, one after the other, and the client's CPU seconds for one."""
    pixels = np.zeros((1, SIDES[name], SIDES[name], 3), np.uint8)
    times = []
    cpu = time.process_time()
    for task in range(requests):
        began = time.perf_counter()
        await connections[task % len(connections)].infer(task, name, pixels, None, 0.0, 10)
        times.append(time.perf_counter() - began)
    return times, (time.process_time() - cpu) / requests


async def measure(places: dict[str, Where], logs: Path, rounds: int, requests: int) -> Table:
    """Open all fleets, let them take turns, and return the table."""
    models = tuple(ModelFile(name, "", "", (side, side, 3), "uint8", (10,)) for name, side in SIDES.items())
    specs = [WorkerSpec(index, models) for index in range(2)]
    times: Numbers = {}
    medians: Numbers = {}
    cpus: Numbers = {}
    async with contextlib.AsyncExitStack() as stack:
        fleets: dict[str, Fleet] = {}
        for place, where in places.items():
            opened = open_fleet(where, specs, "emulated", logs / place, lambda worker, reason: None)
            fleets[place] = await stack.enter_async_context(opened)
            for name in SIDES:
                await called(fleets[place].connections, name, 50)  # warm-up
        for turn in range(rounds):
            order = list(fleets) if turn % 2 else list(fleets)[::-1]
            for name in SIDES:
                for place in order:
                    took, cpu = await called(fleets[place].connections, name, requests)
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
        title="cost of distance",
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
            table.add_row(place, name, f"{low * 1e3:.3f}", f"{high * 1e3:.3f}", f"{cpu * 1e6:.0f}", *_times(ratios))
    return table


def _times(ratios: list[float]) -> list[str]:
    return [f"{ratio:.2f}x" for ratio in ratios]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what it costs that workers are elsewhere.")
    parser.add_argument("--quick", action="store_true", help="a fifth of the requests")
    parser.add_argument("--ray-address", metavar="A", help="a Ray cluster that runs")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        uvloop.run(serve(*asked.serve))
        return
    rounds, requests = (4, 50) if asked.quick else (20, 50)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(endpoint())
        places = {"local": Where(), "endpoint": Where("endpoint", endpoint=(f"grpc://127.0.0.1:{port}",))}
        with contextlib.suppress(MissingExtra):
            for name, content in zip(("key", "chain"), certificate("localhost"), strict=True):
                (home / name).write_bytes(content)
            port = stack.enter_context(endpoint(home / "key", home / "chain"))
            url = f"grpcs://localhost:{port}"
            places["endpoint, TLS"] = Where("endpoint", endpoint=(url,), tls_ca=home / "chain")
        if asked.ray_address:
            places["Ray"] = Where("ray", ray_address=asked.ray_address)
        table = asyncio.run(measure(places, home, rounds, requests))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    Console(width=80).print(table, f"{os.cpu_count()} cores, load {load} at the end", sep="\n")


if __name__ == "__main__":
    main()

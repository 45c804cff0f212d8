"""What the local fleet itself costs: starting workers, one round trip, and the client's CPU time for a request.

    python benchmarks/fleet_cost.py [--quick]

Workers that start with real compute load the bundled single and 3x3 collage models. All other figures are of workers
that compute nothing, so that they measure the fleet and not a model. CPU time is that of the whole client process,
including gRPC's threads and the pacing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from collagebench import zoo
from collagebench.fleet.connection import Connection
from collagebench.fleet.local import local_fleet
from collagebench.worker.spec import Compute, ModelFile, WorkerSpec

SIDES = {"3 KB": 32, "150 KB": 224}
RATE = 100.0
"""Requests per second."""
FLOOR = 0.010
"""The seconds of service asked for when the accuracy of injection is measured."""


def real_specs(workers: int) -> list[WorkerSpec]:
    """Return workers that each serve a single and a collage model."""
    shapes = [model for model in zoo.load() if model.dataset == "shapes"]
    models = [zoo.find(shapes, "single"), zoo.find(shapes, "collage", grid=3)]
    files = tuple(ModelFile(model.name, str(model.path), model.sha256, model.input) for model in models)
    return [WorkerSpec(index, files) for index in range(workers)]


def emulated_specs(workers: int) -> list[WorkerSpec]:
    """Return workers that compute nothing and take images of both sizes."""
    models = tuple(ModelFile(name, "", "", (side, side, 3)) for name, side in SIDES.items())
    return [WorkerSpec(index, models) for index in range(workers)]


def lost(index: int, reason: str) -> None:
    """Fail, because nothing measured after this would be valid."""
    raise RuntimeError(f"worker {index} was lost: {reason}")


async def start(compute: Compute, workers: int, logs: Path) -> float:
    """Return the seconds that it takes to start and connect `workers` workers."""
    began = time.perf_counter()
    specs = real_specs(workers) if compute == "real" else emulated_specs(workers)
    async with local_fleet(specs, compute, logs, lost, start_deadline=120):
        return time.perf_counter() - began


async def round_trips(connections: Sequence[Connection], name: str, requests: int) -> tuple[list[float], float]:
    """Return the time of each of many calls, one after the other, and the client's CPU time per call."""
    pixels = np.zeros((1, SIDES[name], SIDES[name], 3), np.uint8)
    times = []
    cpu = time.process_time()
    for task in range(requests):
        began = time.perf_counter()
        await connections[task % len(connections)].infer(task, name, pixels, None, 0.0, 10)
        times.append(time.perf_counter() - began)
    return times, (time.process_time() - cpu) / requests


async def paced(connections: Sequence[Connection], name: str, requests: int) -> tuple[list[float], list[float], float]:
    """Send at a steady rate; return transport times, errors of the injected time, and CPU time per call."""
    pixels = np.zeros((1, SIDES[name], SIDES[name], 3), np.uint8)
    transport, errors = [], []

    async def one(task: int) -> None:
        began = time.perf_counter()
        reply = await connections[task % len(connections)].infer(task, name, pixels, "floor", FLOOR, 10)
        assert reply.service is not None
        assert reply.queue is not None
        transport.append(time.perf_counter() - began - reply.service - reply.queue)
        errors.append(reply.service - FLOOR)

    calls = []
    cpu = time.process_time()
    zero = time.perf_counter()
    for task in range(requests):
        await asyncio.sleep(zero + task / RATE - time.perf_counter())
        calls.append(asyncio.create_task(one(task)))
    await asyncio.gather(*calls)
    return transport, errors, (time.process_time() - cpu) / requests


async def measure(logs: Path, quick: bool) -> Table:
    """Measure everything and return it as a table."""
    table = Table("figure", "p50", "p99", title="cost of the local fleet", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for compute in ("real", "emulated"):
        for workers in (10, 50):
            table.add_row(f"start of {workers} workers, {compute}", f"{await start(compute, workers, logs):.2f} s", "")
    requests = 200 if quick else 2000
    async with local_fleet(emulated_specs(10), "emulated", logs, lost) as fleet:
        connections = fleet.connections
        for name in SIDES:
            await round_trips(connections, name, 100)  # warm-up
            times, cpu = await round_trips(connections, name, requests)
            table.add_row(f"round trip of nothing, {name}", *milliseconds(times))
            table.add_row(f"  client CPU per request, one after the other, {name}", f"{cpu * 1e6:.0f} µs", "")
        for name in SIDES:
            transport, errors, cpu = await paced(connections, name, requests)
            table.add_row(f"transport at {RATE:.0f} requests/s, {name}", *milliseconds(transport))
            table.add_row(f"  client CPU per request, {name}", f"{cpu * 1e6:.0f} µs", "")
        table.add_row(f"service beyond the {FLOOR * 1e3:.0f} ms asked for", *milliseconds(errors))
    return table


def milliseconds(times: Sequence[float]) -> tuple[str, str]:
    """Return p50 and p99, in ms."""
    low, high = np.quantile(times, [0.5, 0.99], method="inverted_cdf")
    return f"{low * 1e3:.3f} ms", f"{high * 1e3:.3f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what the local fleet costs.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as logs:
        table = uvloop.run(measure(Path(logs), quick))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    Console(width=80).print(table, f"{os.cpu_count()} cores, load {load} at the end", sep="\n")


if __name__ == "__main__":
    main()

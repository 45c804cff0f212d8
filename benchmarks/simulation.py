"""How many requests a second `simulate` handles, compared with SimPy, and how that scales with requests and workers.

Everything runs on one core. Speeds are requests per second of CPU time, so that other load on the machine matters
little.

1. The same fleet as a plain SimPy model: one `Resource` for each worker, where each request goes to the least loaded of
   all workers, with random ties. Arrivals are the same, and services come from the same distribution, drawn beforehand
   for SimPy. Speeds and latencies stand side by side. Most of the difference on large fleets is the choice of a worker,
   for which the plain model looks at each worker, and `simulate` at a few. So SimPy is shown as well with one queue for
   all workers (an M/G/k queue, which is another model, without a choice).
2. Requests per second by scheme and number of workers, without records.
3. Growth with the number of requests, without records.
4. The user's command, in a process of its own: a million requests over 1,000 workers under collage, 100 of them for
   collages, with records and report, with accuracy and without: seconds and peak memory.

    pip install '.[bench]'
    python benchmarks/simulation.py [--requests 200000] [--command-requests 1000000] [--parts 1234]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from collagebench.engine.bound import Latencies
from collagebench.engine.conductor import Conductor
from collagebench.engine.router import Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.schemes import make
from collagebench.schemes.protocol import Request
from collagebench.stragglers.draws import key, stream, uniform
from collagebench.stragglers.model import open_stragglers
from collagebench.workload.arrivals import poisson

FLEETS = (10, 1_000, 10_000)
LOAD = 0.5
SEED = 0
SIMPY_SECONDS = 20.0
"""About how long each SimPy model may take; if it would take longer, it gets fewer requests."""
SCHEMES: list[tuple[str, str, float, dict[str, Any]]] = [
    ("none", "none", LOAD, {}),
    ("replication", "replication", 0.3, {}),
    ("hedge", "hedge", LOAD, {}),
    ("collage", "collage", LOAD, {}),
    ("collage, idle", "collage", LOAD, {"flush": "idle"}),
]


def schedule(workers: int, requests: int, load: float) -> list[float]:
    """Return Poisson arrivals at `load`."""
    mean = open_stragglers("collage-trace", SEED, workers).mean
    times: list[float] = poisson(load * workers / mean, requests, stream(SEED, "arrivals", 0)).tolist()
    return times


def ours(name: str, options: dict[str, Any], workers: int, arrivals: list[float]) -> tuple[float, NDArray[np.float64]]:
    """Return CPU seconds and latencies of a simulated cell."""
    if name == "collage":
        options = {"collage_workers": max(1, workers // 10), **options}
    stragglers, scheme = open_stragglers("collage-trace", SEED, workers), make(name, options)
    numbers = iter(range(workers))
    roles = {role: [next(numbers) for _ in range(count)] for role, count in scheme.allot(workers).items()}
    listener = Latencies(len(arrivals))

    def conduct(transport: SimulatedTransport) -> Conductor:
        draw, tie = partial(stragglers.draw, 0), partial(uniform, key(SEED, "routing", 0))
        return Conductor(scheme, Router(roles), draw, tie, lambda task, drawn: drawn, transport, listener)

    began = time.process_time()
    simulate_cell(conduct, (Request(i, 0, at) for i, at in enumerate(arrivals)), lambda task: 0.0, 10.0)
    return time.process_time() - began, listener.values


def in_simpy(workers: int, arrivals: list[float], services: list[float]) -> tuple[float, NDArray[np.float64]]:
    """Return CPU seconds and latencies of the plain model: a queue for each worker."""
    environment = simpy.Environment()
    fleet = [simpy.Resource(environment, 1) for _ in range(workers)]
    latencies = np.full(len(arrivals), np.inf)
    ties = random.Random(SEED)

    def in_hand(worker: simpy.Resource) -> int:
        return int(worker.count) + len(worker.queue)

    def serve(number: int, worker: simpy.Resource) -> Any:
        with worker.request() as turn:
            yield turn
            yield environment.timeout(services[number])
        latencies[number] = environment.now - arrivals[number]

    def arrive() -> Any:
        for number, at in enumerate(arrivals):
            yield environment.timeout(at - environment.now)
            least = min(map(in_hand, fleet))
            environment.process(serve(number, ties.choice([worker for worker in fleet if in_hand(worker) == least])))

    began = time.process_time()
    environment.process(arrive())
    environment.run()
    return time.process_time() - began, latencies


def in_simpy_with_one_queue(workers: int, arrivals: list[float], services: list[float]) -> float:
    """Return CPU seconds of the plain model with one queue for all workers."""
    environment = simpy.Environment()
    fleet = simpy.Resource(environment, workers)
    latencies = np.full(len(arrivals), np.inf)

    def serve(number: int) -> Any:
        with fleet.request() as turn:
            yield turn
            yield environment.timeout(services[number])
        latencies[number] = environment.now - arrivals[number]

    def arrive() -> Any:
        for number, at in enumerate(arrivals):
            yield environment.timeout(at - environment.now)
            environment.process(serve(number))

    began = time.process_time()
    environment.process(arrive())
    environment.run()
    return time.process_time() - began


def beside_simpy(requests: int) -> None:
    """Print the first part."""
    print(f"none at load {LOAD}, requests per second of CPU time, latencies in ms (p50, p99)")
    print(f"{'workers':>8}{'here':>10}{'SimPy':>10}{'ratio':>7}{'one queue':>11}{'ratio':>7}   {'here':16}{'SimPy':16}")
    for workers in FLEETS:
        arrivals = schedule(workers, requests, LOAD)
        levels = stream(SEED, "services", 0).random(requests)
        distribution = open_stragglers("collage-trace", SEED, workers).distribution  # type: ignore[attr-defined]
        services = [distribution.at(level) for level in levels.tolist()]
        probe = 200
        seconds, _ = in_simpy(workers, arrivals[:probe], services[:probe])
        few = min(requests, max(probe, round(probe * SIMPY_SECONDS / seconds)))
        seconds, theirs = in_simpy(workers, arrivals[:few], services[:few])
        simpy_speed = few / seconds
        one_queue = requests / in_simpy_with_one_queue(workers, arrivals, services)
        seconds, mine = ours("none", {}, workers, arrivals)
        speed = requests / seconds
        shown = [
            " ".join(f"{1e3 * np.quantile(values[: len(theirs)], q):.1f}" for q in (0.5, 0.99))
            for values in (mine, theirs)
        ]
        print(
            f"{workers:8,}{speed:10,.0f}{simpy_speed:10,.0f}{speed / simpy_speed:7.1f}{one_queue:11,.0f}"
            f"{speed / one_queue:7.1f}   {shown[0]:16}{shown[1]:16}",
            flush=True,
        )


def by_scheme(requests: int) -> None:
    """Print the second part."""
    print(f"\nrequests per second of CPU time, {requests:,} requests, no records")
    print(f"{'scheme':15}{'load':>5}" + "".join(f"{f'{workers:,} workers':>16}" for workers in FLEETS))
    for label, name, load, options in SCHEMES:
        speeds = []
        for workers in FLEETS:
            seconds, latencies = ours(name, options, workers, schedule(workers, requests, load))
            assert np.isfinite(latencies).all()
            speeds.append(requests / seconds)
        print(f"{label:15}{load:5.1f}" + "".join(f"{speed:16,.0f}" for speed in speeds), flush=True)


def growth(requests: int) -> None:
    """Print the third part."""
    print(f"\nmicroseconds a request, {FLEETS[1]:,} workers, no records, by number of requests")
    counts = [requests // 4, requests // 2, requests, 2 * requests, 4 * requests]
    print(f"{'scheme':15}{'load':>5}" + "".join(f"{count:>11,}" for count in counts))
    for label, name, load, options in (SCHEMES[0], SCHEMES[3]):
        took = [ours(name, options, FLEETS[1], schedule(FLEETS[1], count, load))[0] / count for count in counts]
        print(f"{label:15}{load:5.1f}" + "".join(f"{1e6 * seconds:11.1f}" for seconds in took), flush=True)


def command(requests: int) -> None:
    """Print the fourth part."""
    print(f"\nthe whole command, {requests:,} requests, 1,000 workers, collage with 100 collage workers")
    print(f"{'--accuracy':12}{'wall s':>8}{'CPU s':>8}{'memory MB':>11}{'records MB':>12}")
    for accuracy in ("none", "50000", "all"):
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "run"
            arguments = (
                f"simulate --requests {requests} --workers 1000 --runs 1 --scheme collage --collage-workers 100 "
                f"--accuracy {accuracy} --seed {SEED}"
            )
            began = time.perf_counter()
            child = subprocess.Popen(
                [sys.executable, "-m", "collagebench", *arguments.split(), "--out", str(out)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            wall = time.perf_counter() - began
            assert child.returncode == 0, child.returncode
            size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
        print(
            f"{accuracy:12}{wall:8.1f}{used.ru_utime + used.ru_stime:8.1f}{used.ru_maxrss / 1024:11,.0f}{size:12,.0f}",
            flush=True,
        )


def main() -> None:
    """Print the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--command-requests", type=int, default=1_000_000)
    parser.add_argument("--parts", default="1234")
    arguments = parser.parse_args()
    if "1" in arguments.parts:
        beside_simpy(arguments.requests)
    if "2" in arguments.parts:
        by_scheme(arguments.requests)
    if "3" in arguments.parts:
        growth(arguments.requests)
    if "4" in arguments.parts:
        command(arguments.command_requests)


if __name__ == "__main__":
    main()

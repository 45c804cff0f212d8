"""What natural stragglers really do to a worker: asked for and achieved, disturbed against calm within one run.

    python benchmarks/natural.py [--quick] [--rounds 4] [--seconds 5] [--batch 4] [--only stop]

One real worker serves the bundled single model, with several images in each request. Every round is a calm block and
then a disturbed one, so that other load on the machine affects both alike. In a block, requests come at a steady rate
for the given seconds, then one after the other for a fifth as long. Service is the worker's own figure; latency counts
from the moment when a request should have been sent; the share of a core is that of the worker while it always has
something to do. Ratios are of the quantiles over all rounds, disturbed to calm.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from collagebench import zoo
from collagebench.errors import FleetError
from collagebench.fleet.connection import Connection
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.local import local_fleet
from collagebench.worker.control_group import cpu_time
from collagebench.worker.spec import Disturbance, ModelFile, WorkerSpec

MODEL = "cifar10-single"
RATE = 10.0
"""Requests per second: even a worker with a quarter of a core keeps up."""
DISTURBANCES = {
    "stop 0.3 s every 2 s": Disturbance("stop", (0,)),
    "stop 0.05 s every 0.2 s": Disturbance("stop", (0,), stop_every=0.2, stop_for=0.05),
    "corunner cpu": Disturbance("corunner", (0,), load="cpu"),
    "corunner cache": Disturbance("corunner", (0,), load="cache"),
    "corunner memory": Disturbance("corunner", (0,), load="memory"),
    "throttle 25 % of 10 ms": Disturbance("throttle", (0,)),
    "traffic, 2 x 128 MB": Disturbance("traffic", (0,)),
    "traffic, 5 x 256 MB": Disturbance("traffic", (0,), transfers=5, transfer_mb=256.0),
}


@dataclass
class Seen:
    """The measurements of all calm or all disturbed blocks; times in seconds."""

    service: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)


@dataclass
class Compared:
    """The measurements of calm and disturbed blocks, what was started, and the results of each disturbance."""

    calm: Seen = field(default_factory=Seen)
    disturbed: Seen = field(default_factory=Seen)
    what: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)


class Bench:
    """One fleet and one batch of images."""

    def __init__(self, fleet: Fleet, model: str, pixels: NDArray[Any], seconds: float, rounds: int) -> None:
        self._fleet = fleet
        self._worker: Connection = fleet.connections[0]
        self._call = (model, pixels, None, 0.0, 60.0)
        self._seconds = seconds
        self._rounds = rounds

    async def block(self, seen: Seen) -> None:
        """Send at a steady rate, then one after the other."""

        async def one(due: float) -> None:
            reply = await self._worker.infer(1, *self._call)
            assert reply.service is not None
            seen.latency.append(time.perf_counter() - due)
            seen.service.append(reply.service)

        zero = time.perf_counter()
        calls = []
        for place in range(int(RATE * self._seconds)):
            due = zero + place / RATE
            await asyncio.sleep(due - time.perf_counter())
            calls.append(asyncio.create_task(one(due)))
        await asyncio.gather(*calls)
        seen.cores.append(await self._saturated(self._seconds / 5))

    async def _saturated(self, seconds: float) -> float:
        """Return the share of a core that the worker uses while it serves a task and another one waits."""
        assert self._worker.pid is not None
        until = time.perf_counter() + seconds

        async def go_on() -> None:
            while time.perf_counter() < until:
                await self._worker.infer(1, *self._call)

        began, used = time.perf_counter(), cpu_time(self._worker.pid)
        await asyncio.gather(go_on(), go_on())
        return (cpu_time(self._worker.pid) - used) / (time.perf_counter() - began)

    async def compare(self, disturbance: Disturbance) -> Compared:
        """Take turns between calm and disturbed blocks."""
        seen = Compared()
        for turn in range(self._rounds):
            await self.block(seen.calm)
            [seen.what] = await self._fleet.disturb(replace(disturbance, run=turn))
            await self.block(seen.disturbed)
            seen.results += await self._fleet.calm()
        return seen


def row(name: str, disturbance: Disturbance, seen: Compared) -> str:
    """Return one row of the table."""
    cells = [f"{name:24}"]
    for kind in ("service", "latency"):
        before, after = (np.quantile(getattr(state, kind), [0.5, 0.99]) * 1e3 for state in (seen.calm, seen.disturbed))
        cells += [f"{low:6.1f} {high:6.1f}" for low, high in (before, after)]
        cells.append("{:6.2f} {:6.2f}".format(*after / before))
    cells.append(f"{np.mean(seen.calm.cores):.2f} {np.mean(seen.disturbed.cores):.2f}")
    cells.append(achieved(disturbance, seen))
    return " | ".join(cells)


def achieved(disturbance: Disturbance, seen: Compared) -> str:
    """Return what was asked for and what was achieved, in words."""
    results, what = seen.results, seen.what
    seconds = sum(result["seconds"] for result in results)
    if disturbance.kind == "stop":
        asked = disturbance.stop_for / (disturbance.stop_for + disturbance.stop_every)
        share = sum(result["stopped_s"] for result in results) / seconds
        whole = [length for result in results for _, length in result["stops"] if length >= disturbance.stop_for]
        beyond = (np.array(whole) - disturbance.stop_for) * 1e3
        low, high = np.quantile(beyond, [0.5, 0.99]) if whole else (np.nan, np.nan)
        return (
            f"stopped {share:.1%} of the time (asked {asked:.1%} on average), {len(whole)} stops, "
            f"each {low:.2f} ms too long (p99 {high:.2f})"
        )
    if disturbance.kind == "corunner":
        return f"by {what['tool']} on core {what['core']}"
    if disturbance.kind == "throttle":
        periods, exhausted = (sum(result[name] for result in results) for name in ("periods", "exhausted_periods"))
        return f"{what['tool']}, share asked {disturbance.quota:.2f}, used up in {exhausted / periods:.0%} of periods"
    return f"{sum(result['moved_bytes'] for result in results) / seconds / 1e6:.0f} MB/s over {what['over']}"


HEADER = "\n".join(
    " | ".join(cells)
    for cells in (
        [" " * 24, f"{'service, ms':45}", f"{'latency, ms':45}", "busy cores"],
        [" " * 24, *[f"{'calm':13}", f"{'disturbed':13}", f"{'ratio':12} "] * 2, "calm dist."],
        [f"{'disturbance':24}", *["   p50    p99"] * 6, " " * 9, "asked and achieved"],
    )
)


async def measure(logs: Path, batch: int, seconds: float, rounds: int, only: str) -> None:
    """Measure every disturbance and print its row."""
    model = next(model for model in zoo.load() if model.name == MODEL)
    file = ModelFile(model.name, str(model.path), model.sha256, model.input)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *model.input), np.uint8)
    print(f"{MODEL}, {batch} images a request, {RATE:g} requests/s, {rounds} rounds of {seconds:g} s")
    print(HEADER)

    def lost(index: int, reason: str) -> None:
        raise RuntimeError(f"worker {index} was lost: {reason}")

    async with local_fleet([WorkerSpec(0, (file,))], "real", logs, lost) as fleet:
        bench = Bench(fleet, model.name, pixels, seconds, rounds)
        await bench.block(Seen())  # warm-up
        for name, disturbance in DISTURBANCES.items():
            if only not in name:
                continue
            try:
                print(row(name, disturbance, await bench.compare(disturbance)), flush=True)
            except FleetError as error:
                print(f"{name:24} | {error}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what natural stragglers do.")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--batch", type=int, default=4, help="images a request")
    parser.add_argument("--only", default="", help="part of a name: leave the other disturbances out")
    arguments = parser.parse_args()
    seconds, rounds = (2.0, 1) if arguments.quick else (arguments.seconds, arguments.rounds)
    with tempfile.TemporaryDirectory() as logs:
        uvloop.run(measure(Path(logs), arguments.batch, seconds, rounds, arguments.only))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load} at the end")


if __name__ == "__main__":
    main()

"""How exactly workers take the time that they are asked to take, on an idle machine and on a busy one.

Ten workers that really compute run at half their capacity under stragglers of several families, first alone and then
beside a load: one process for each core, which computes for a share of every 10 ms and sleeps for the rest. The error
is the distance between the service time that the draw should have given and the one that the worker took.

    python benchmarks/injection.py [--requests 1500] [--busy 0.7] [--stragglers collage-trace pareto ...]
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from collagebench.config import Config, SchemeConfig
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.results.reader import load
from collagebench.statistics.injection import Injection, injection

PERIOD_S = 0.01


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--busy", type=float, default=0.7, help="share of each core that the load takes")
    parser.add_argument("--stragglers", nargs="+", default=["collage-trace", "pareto", "markov"])
    asked = parser.parse_args()
    print(f"{'stragglers':>20} {'load':>6} {'machine busy':>13} {'tasks':>7} {'p50 ms':>7} {'p99 ms':>7} {'of p50':>7}")
    for name in asked.stragglers:
        for share in (0.0, asked.busy):
            with loaded(share):
                before = ticks()
                found = measured(name, asked.requests)
                busy, whole = (after - then for after, then in zip(ticks(), before, strict=True))
            assert found.p50 is not None
            assert found.p99 is not None
            assert found.wanted is not None
            print(
                f"{name:>20} {share:6.0%} {busy / whole:13.0%} {found.tasks:7} {found.p50 * 1e3:7.3f} "
                f"{found.p99 * 1e3:7.3f} {found.p50 / found.wanted:7.1%}"
            )


def measured(name: str, requests: int) -> Injection:
    """Run one cell and return how exactly its tasks took the time asked for."""
    config = Config(schemes=(SchemeConfig("none", "none"),), stragglers=name, requests=requests, runs=1)
    with tempfile.TemporaryDirectory() as directory:
        experiment.run(config, Path(directory) / "run", Progress())
        return injection(load(Path(directory) / "run"))


@contextlib.contextmanager
def loaded(share: float) -> Iterator[None]:
    """Keep every core busy for a share of the time."""
    processes = [
        multiprocessing.get_context("spawn").Process(target=spin, args=(core, share), daemon=True)
        for core in (sorted(os.sched_getaffinity(0)) if share else ())
    ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def spin(core: int, share: float) -> None:
    """Compute for a share of every period, for ever."""
    os.sched_setaffinity(0, {core})
    while True:
        begun = time.perf_counter()
        while time.perf_counter() - begun < share * PERIOD_S:
            pass
        time.sleep((1 - share) * PERIOD_S)


def ticks() -> tuple[int, int]:
    """Return the busy time and the whole time of all cores so far."""
    times = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


if __name__ == "__main__":
    main()

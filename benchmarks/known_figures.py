"""Compare simulated tail latencies with an independent discrete-event simulation of the same fleet.

Ten workers in all serve Poisson arrivals under the authors' latencies, drawn independently: 40,000 requests, of which
the first 5 % are left out, with five seeds. The table has the mean and the standard deviation of the p99 in seconds,
the reference's p99, and their ratio. The reference was computed with another program, from the raw latencies of the
public repository krishnagirinarra/collage-inference; `unstable` means that its queue grew without end.

Two cells differ by more than their spread. `collage wait` under load is faster here because a queued collage is
cancelled once all its requests are answered; the reference serves it (without cancelling, 0.385 at load 0.7 as well).
`hedge` at load 0.7 is close to saturation: single seeds lie anywhere from 0.44 to 0.9, and the mean of five with them.

    python benchmarks/known_figures.py [--requests 40000] [--seeds 5]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from functools import partial
from statistics import mean, stdev
from typing import Any

import numpy as np

from collagebench.engine.bound import Latencies
from collagebench.engine.conductor import Conductor
from collagebench.engine.router import Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.schemes import make
from collagebench.schemes.protocol import Request
from collagebench.stragglers.draws import key, stream, uniform
from collagebench.stragglers.model import open_stragglers
from collagebench.workload.arrivals import poisson

WORKERS = 10
LOADS = (0.1, 0.3, 0.5, 0.7)
ROWS: list[tuple[str, str, dict[str, Any], tuple[float, ...]]] = [
    ("none", "none", {}, (0.703, 0.702, 0.705, 0.721)),
    ("replication x2", "replication", {}, (0.191, 0.275, 0.600, math.inf)),
    ("hedge at 0.215 s", "hedge", {"hedge_delay": 0.215}, (0.356, 0.357, 0.367, 0.634)),
    ("collage wait", "collage", {"flush": "wait"}, (0.654, 0.354, 0.322, 0.385)),
    ("collage idle", "collage", {}, (0.238, 0.250, 0.271, 0.320)),
    ("collage idle, hold", "collage", {"flush_after": 0.1, "hold": 0.25}, (0.251, 0.252, 0.269, 0.325)),
]


def simulate(name: str, options: dict[str, Any], load: float, requests: int, seed: int) -> float:
    """Return the p99 in seconds of one cell."""
    stragglers = open_stragglers("collage-trace", seed, WORKERS)
    rate = load * WORKERS / stragglers.mean
    arrivals = poisson(rate, requests, stream(seed, "arrivals", 0)).tolist()
    scheme = make(name, options)
    workers = iter(range(WORKERS))
    roles = {role: [next(workers) for _ in range(count)] for role, count in scheme.allot(WORKERS).items()}
    listener = Latencies(requests)

    def conduct(transport: SimulatedTransport) -> Conductor:
        draw, tie = partial(stragglers.draw, 0), partial(uniform, key(seed, "routing", 0))
        return Conductor(scheme, Router(roles), draw, tie, lambda task, drawn: drawn, transport, listener)

    schedule = [Request(i, 0, at) for i, at in enumerate(arrivals)]
    simulate_cell(conduct, schedule, lambda task: 0.0, math.inf)
    return float(np.quantile(listener.values[requests // 20 :], 0.99, method="inverted_cdf"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'p99, seconds':19}{'load':>5}{'here':>16}{'reference':>11}{'ratio':>7}{'requests/s':>12}")
    worst = 0.0
    for label, name, options, references in ROWS:
        for load, reference in zip(LOADS, references, strict=True):
            start = time.perf_counter()
            found = [simulate(name, options, load, arguments.requests, seed) for seed in range(arguments.seeds)]
            speed = arguments.requests * arguments.seeds / (time.perf_counter() - start)
            spread = stdev(found) if len(found) > 1 else math.nan
            here = f"{mean(found):.3f} ± {spread:.3f}"
            if math.isinf(reference):
                print(f"{label:19}{load:5.1f}{here:>16}{'unstable':>11}{'':7}{speed:12,.0f}", flush=True)
                continue
            ratio = mean(found) / reference
            worst = max(worst, abs(ratio - 1))
            print(f"{label:19}{load:5.1f}{here:>16}{reference:11.3f}{ratio:7.3f}{speed:12,.0f}", flush=True)
    print(f"largest difference {worst:.1%}")
    sys.exit(0)


if __name__ == "__main__":
    main()

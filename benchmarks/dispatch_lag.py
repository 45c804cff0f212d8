"""How late the client of a live run handles arrivals, and how much CPU time a request costs it.

Ten emulated workers serve Poisson arrivals under the authors' latencies (x 0.2). For each rate and scheme the table has
the dispatch lag (handling minus intended arrival), the transport phase (client, kernel and wire, both ways) and the
client's CPU time, without and with the live view, which is drawn on a terminal that accepts all output at once.

    python benchmarks/dispatch_lag.py [--seconds 10] [--rates 50 100 160] [--times 1]
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from itertools import product
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Console

from collagebench.cli.live_view import LiveView
from collagebench.config import Config, SchemeConfig
from collagebench.engine import experiment
from collagebench.engine.cells import Progress

RATES = (50.0, 100.0, 160.0)
SCHEMES = ("none", "collage")


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def terminal(file: TextIO) -> Console:
    """Return a console that takes `file` for a terminal of 80 x 24."""
    return Console(file=file, force_terminal=True, width=80, height=24)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each run")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="requests per second")
    parser.add_argument("--times", type=int, default=1, help="how often each is measured, in turn")
    asked = parser.parse_args()
    print(
        f"{'rate/s':>6}  {'scheme':10}{'view':>5}{'lag p50':>9}{'p99':>8}{'transport p50':>15}{'p99':>8}"
        f"{'CPU/request':>13}  (ms)"
    )
    for rate, _, view in product(asked.rates, range(asked.times), (False, True)):
        config = Config(
            schemes=tuple(SchemeConfig(name, name) for name in SCHEMES),
            rate=rate,
            requests=round(rate * asked.seconds),
            runs=1,
            compute="emulated",
            compute_time=0.001,
        )
        with tempfile.TemporaryDirectory() as directory:
            run = Path(directory) / "run"
            if view:
                with Path(os.devnull).open("w") as nowhere, LiveView(console=terminal(nowhere)) as progress:
                    experiment.run(config, run, progress)
            else:
                experiment.run(config, run, Progress())
            requests, cells = read(run / "requests.csv"), read(run / "cells.csv")
        for scheme in SCHEMES:
            mine = [row for row in requests if row["scheme"] == scheme and row["warmup"] == "False"]
            lag = np.array([float(row["lag"]) for row in mine]) * 1e3
            transport = np.array([float(row["transport"]) for row in mine]) * 1e3
            cpu = next(float(row["client_cpu"]) for row in cells if row["scheme"] == scheme) * 1e3
            (lag50, lag99), (wire50, wire99) = (np.quantile(times, [0.5, 0.99]) for times in (lag, transport))
            print(
                f"{rate:6.0f}  {scheme:10}{'yes' if view else 'no':>5}{lag50:9.3f}{lag99:8.3f}"
                f"{wire50:15.2f}{wire99:8.2f}{cpu / config.requests:13.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

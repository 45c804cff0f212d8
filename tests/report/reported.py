"""A run of several schemes for the tests of reports, with names and outcomes that are hard to display."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from synthetic_run import HEADER, cell, request, task

from collagebench.results.writer import RunWriter

NASTY = "</script><script>alert('x')</script>&|`*"
NAMES = ("none", "replication", "collage", "collage-deadline-hold-3x3", NASTY)
BOUND = {
    **{"p50": 0.02, "p90": 0.03, "p95": 0.035, "p99": 0.05, "mean": 0.02, "requests": 400, "source": "simulated"},
    "curve": [[0.5, 0.02], [0.9, 0.03], [0.95, 0.035], [0.99, 0.05]],
}


def reported(directory: Path, names: tuple[str, ...] = NAMES, requests: int = 200, runs: int = 2, **header) -> Path:
    """Write a run with queues, collage answers, a failed request in the second scheme, and cancelled tasks."""
    schemes = [
        {"scheme": "none", "variant": name, "allotment": {"single": 9, "collage": 1}, "options": {}} for name in names
    ]
    writer = RunWriter(directory, {**HEADER, "schemes": schemes, **header})
    for place, name in enumerate(names):
        rng = np.random.default_rng(place)
        for run in range(runs):
            slow = 0.02 * np.exp(0.4 * rng.standard_normal(requests)) * (1 + 0.1 * place)
            for number, service in enumerate(slow.tolist()):
                arrival = 0.01 * number
                times = {"arrival": arrival, "queue": 0.002, "service": service, "injected": 0.9 * service}
                failed = number == 5 and place == 1
                source = "collage" if number % 4 == 3 and place > 1 else "own"
                latency = None if failed else service + 0.002
                writer.request(
                    request(name, run, number, latency=latency, **{"source": None if failed else source, **times})
                )
                asked = {"asked": service, "wanted_s": service * (1 + 0.01 * rng.standard_normal())}
                sent = {"sent": arrival, "ended": arrival + service + 0.0025, "queue": 0.002, "service": service}
                if not failed:
                    writer.task(task(name, run, number, **sent, **asked))
            missing = {"service": None, "queue": None, "compute": None, "injected": None, "worker": 9}
            writer.task(task(name, run, requests, requests="5 6", sent=0.05, outcome="cancelled", **missing))
            writer.cell(cell(name, run, requests))
    writer.finish("done", bound=BOUND)
    writer.close()
    return directory

"""Run directories of given latencies, written by the code that writes real runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from collagebench.results.directory import HEADER as HEADER_FILE
from collagebench.results.records import CellRecord, RequestRecord, TaskRecord
from collagebench.results.seal import OWN, header_checksum
from collagebench.results.writer import RunWriter

HEADER: dict[str, Any] = {
    "engine": "live",
    "config": {
        "workers": 10,
        "stragglers": "collage-trace",
        "time_scale": 0.1,
        "compute": "real",
        "dataset": "shapes",
        "seed": 0,
        "slo_ms": None,
    },
    "environment": {"cpu": "a test"},
    "models": [],
    "hosts": [],
    "service": {"mean_s": 0.01, "utilisation": 0.5, "rate": 500.0},
}


def request(scheme: str = "none", run: int = 0, number: int = 0, **changes: Any) -> RequestRecord:
    """Return the record of a request that arrived at `number` s and was answered 10 ms later, with changes.

    `transport` is what the other phases leave of the latency; a request without a latency failed.
    """
    latency = changes.get("latency", 0.01)
    if latency is None:
        changes = {name: value for name, value in changes.items() if name not in ("source", "task", "predicted")}
    arrival = changes.get("arrival", float(number))
    fields: dict[str, Any] = {
        "scheme": scheme,
        "run": run,
        "request": number,
        "image": number,
        "label": 3,
        "warmup": False,
        "straggled": False,
        "arrival": arrival,
        "lag": 0.00001,
        "answered": None if latency is None else arrival + latency,
        "latency": latency,
        "source": None if latency is None else "own",
        "task": None if latency is None else number,
        "predicted": None if latency is None else 3,
        "group": 0.0,
        "encode": 0.0,
        "queue": None if latency is None else 0.1 * latency,
        "service": None if latency is None else 0.9 * latency,
        "injected": 0.0,
        "decode": 0.0,
        "hold": 0.0,
        "reason": "deadline" if latency is None else None,
        **changes,
    }
    others = [fields[phase] for phase in ("group", "encode", "queue", "service", "decode", "hold")]
    rest = None if latency is None else latency - sum(phase for phase in others if phase is not None)
    return RequestRecord(**{"transport": rest, **fields})


def task(scheme: str = "none", run: int = 0, number: int = 0, **changes: Any) -> TaskRecord:
    """Return the record of a task with a service of 10 ms, as drawn, whose reply was used, with changes."""
    fields: dict[str, Any] = {
        "scheme": scheme,
        "run": run,
        "task": number,
        "role": "single",
        "worker": number % 10,
        "attempt": 0,
        "share": 0,
        "requests": str(number),
        "sent": float(number),
        "ended": number + 0.01,
        "outcome": "used",
        "asked": 0.01,
        "wanted_s": 0.01,
        "queue": 0.0,
        "compute": 0.002,
        "service": 0.01,
        "bytes_sent": 3072,
        **changes,
    }
    known = None not in (fields["service"], fields["compute"])
    return TaskRecord(**{"injected": fields["service"] - fields["compute"] if known else None, **fields})


def cell(scheme: str = "none", run: int = 0, requests: int = 1, **changes: Any) -> CellRecord:
    """Return the record of an undisturbed cell that lasted a second per request, with changes."""
    fields: dict[str, Any] = {
        "scheme": scheme,
        "run": run,
        "order": run,
        "requests": requests,
        "tasks": None,
        "duration": float(requests),
        "client_cpu": 0.1,
        "lost_workers": "",
    }
    return CellRecord(**{**fields, **changes})


def make_run(
    directory: Path,
    latencies: Mapping[str, Iterable[Iterable[float | None]]],
    *,
    status: str = "done",
    header: Mapping[str, Any] = {},
    **changes: Any,
) -> Path:
    """Write a run: `latencies` gives, for each scheme and run, the seconds of each request (None: it failed).

    Requests arrive once a second, each is answered by a task of its own, and `changes` apply to all their records.
    """
    latencies = {scheme: [list(values) for values in runs] for scheme, runs in latencies.items()}
    sizes = {len(values) for runs in latencies.values() for values in runs}
    shape = {"requests": sizes.pop()} if len(sizes) == 1 and min(sizes) else {}
    counts = {**shape, "runs": max(map(len, latencies.values()), default=0) or 1}
    if header.get("config", HEADER["config"]) == HEADER["config"]:
        header = {**header, "config": {**HEADER["config"], **counts}}
    schemes = [{"scheme": name, "variant": name, "allotment": {"single": 10}, "options": {}} for name in latencies]
    writer = RunWriter(directory, {**HEADER, "schemes": schemes, **header})
    for scheme, runs in latencies.items():
        for run, values in enumerate(runs):
            values = list(values)
            for number, latency in enumerate(values):
                writer.request(request(scheme, run, number, latency=latency, **changes))
                writer.task(task(scheme, run, number))
            facts = {"tasks": len(values), "duration": len(values) - 1 + 0.01} if values else {}
            writer.cell(cell(scheme, run, len(values), **facts))
    writer.finish(status)
    writer.close()
    return directory


def change_header(directory: Path, **facts: Any) -> None:
    """Change keys of `run.json`, with the checksum that belongs to the new contents."""
    path = directory / HEADER_FILE
    header = {**json.loads(path.read_text()), **facts}
    path.write_text(json.dumps({**header, OWN: header_checksum(header)}))


def lognormal(seed: int, runs: int, requests: int, median: float = 0.02) -> list[list[float]]:
    """Return latencies in seconds of `runs` runs, lognormal with sigma 0.5."""
    rng = np.random.default_rng(seed)
    return [(median * np.exp(0.5 * rng.standard_normal(requests))).tolist() for _ in range(runs)]


def times(latencies: list[list[float]], factor: float) -> list[list[float]]:
    """Return the same runs, `factor` times as long."""
    return [[factor * value for value in run] for run in latencies]

"""Time and memory of a report on a large run directory: `report` in a process of its own, as JSON and as a table.

The records are synthetic (a fleet with independent latencies, every task used) but have every column of a real run,
with as many digits. They are written to a temporary directory first, which is not part of the figures.

    python benchmarks/report_size.py [--requests 1000000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import numpy as np

from collagebench.results.records import CellRecord, RequestRecord, TaskRecord
from collagebench.results.seal import FILES, OWN, file_checksum, header_checksum
from collagebench.results.writer import RunWriter

SCHEMES = ("none", "replication", "hedge", "collage")
RUNS = 10
RATE = 162.6
REQUEST = (
    "{scheme},{run},%d,%d,%d,%s,False,%.10g,%.10g,%.10g,%.10g,{source},"
    "%d,%d,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,0,"
)
TASK = "{scheme},{run},%d,single,%d,0,0,%d,%.10g,%.10g,used,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,3072"


def write(directory: Path, requests: int) -> None:
    """Write a run directory of about `requests` requests, and as many tasks."""
    per_cell = requests // (len(SCHEMES) * RUNS)
    schemes = [{"scheme": name, "variant": name, "allotment": {"single": 10}, "options": {}} for name in SCHEMES]
    config = {"workers": 10, "requests": per_cell, "runs": RUNS, "stragglers": "collage-trace", "slo_ms": None}
    writer = RunWriter(directory, {"engine": "live", "config": config, "schemes": schemes, "service": {}})
    rng = np.random.default_rng(0)
    with (directory / "requests.csv").open("a") as request_file, (directory / "tasks.csv").open("a") as task_file:
        for order, (run, scheme) in enumerate((run, scheme) for run in range(RUNS) for scheme in SCHEMES):
            number, of_run = np.arange(per_cell), np.random.default_rng((1, run))  # the same for every scheme
            arrival = np.sort(of_run.uniform(0, per_cell / RATE, per_cell))
            label, image = of_run.integers(0, 10, per_cell), of_run.integers(0, 10_000, per_cell)
            service = 0.02 * rng.lognormal(0, 0.5, per_cell)
            queue, encode, transport, decode = rng.exponential(0.001, (4, per_cell))
            lag, compute = rng.exponential(0.0001, per_cell), rng.uniform(0.001, 0.002, per_cell)
            latency = lag + encode + queue + service + transport + decode
            predicted = np.where(rng.random(per_cell) < 0.98, label, (label + 1) % 10)
            warmup = np.where(number < 0.05 * per_cell, "True", "False")
            columns = [
                number, image, label, warmup, arrival, lag, arrival + latency, latency, number, predicted,
                lag, encode, queue, service, service - compute, transport, decode,
            ]  # fmt: skip
            request_file.write(_lines(REQUEST.format(scheme=scheme, run=run, source="own"), columns))
            columns = [
                number, rng.integers(0, 10, per_cell), number, arrival, arrival + latency, service, service,
                queue, compute, service - compute, service,
            ]  # fmt: skip
            task_file.write(_lines(TASK.format(scheme=scheme, run=run), columns))
            request_file.flush()
            task_file.flush()
            duration = float((arrival + latency).max() - arrival[0])
            writer.cell(CellRecord(scheme, run, order, per_cell, per_cell, duration, client_cpu=1.0, lost_workers=""))
    writer.finish("done")
    writer.close()
    header = json.loads((directory / "run.json").read_text())  # the writer did not see the rows that were added here
    header[FILES] = {name: file_checksum(directory / name) for name in header[FILES]}
    header[OWN] = header_checksum(header)
    (directory / "run.json").write_text(json.dumps(header))


def _lines(line: str, columns: list[np.ndarray]) -> str:
    return "".join([line % row + "\n" for row in zip(*[column.tolist() for column in columns], strict=True)])


def main() -> None:
    """Print the figures; the run is a valid one, so the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=1_000_000)
    arguments = parser.parse_args()
    assert len(fields(RequestRecord)) == REQUEST.count(",") + 1
    assert len(fields(TaskRecord)) == TASK.count(",") + 1
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        write(directory, arguments.requests)
        size = sum(path.stat().st_size for path in directory.iterdir())
        print(f"{arguments.requests:,} requests, as many tasks, {size / 1e6:.0f} MB of records")
        for form in ("json", "table"):
            command = [sys.executable, "-m", "collagebench", "report", str(directory), "--format", form]
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
            assert process.stdout is not None
            printed = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            if form == "json":
                assert sum(scheme["requests"] for scheme in json.loads(printed)["schemes"]) > 0.9 * arguments.requests
            print(
                f"report --format {form}: {seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s of CPU), "
                f"{usage.ru_maxrss / 1e6:.2f} GB at most, exit code {os.waitstatus_to_exitcode(status)}"
            )


if __name__ == "__main__":
    main()

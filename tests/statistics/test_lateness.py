"""For which schemes and runs the client was late."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synthetic_run import HEADER, cell, request

from collagebench.results.reader import Run, load
from collagebench.results.writer import RunWriter
from collagebench.statistics.lateness import Times, late_runs, late_schemes


def run_with(directory: Path, lags: dict[tuple[str, int], list[float]], latency: Mapping[str, float] = {}) -> Run:
    """Return a run whose requests the client handled late by `lags` seconds, by scheme and run.

    Latencies are 20 ms, or the scheme's `latency`.
    """
    schemes = [
        {"scheme": name, "variant": name, "allotment": {"single": 10}, "options": {}}
        for name in dict.fromkeys(scheme for scheme, _ in lags)
    ]
    writer = RunWriter(directory, {**HEADER, "schemes": schemes})
    for (scheme, number), values in lags.items():
        for place, lag in enumerate(values):
            writer.request(request(scheme, number, place, latency=latency.get(scheme, 0.02), lag=lag))
        writer.cell(cell(scheme, number, len(values)))
    writer.finish("done")
    writer.close()
    return load(directory)


def test_a_run_may_be_late_where_its_scheme_is_not(tmp_path: Path) -> None:
    """Each run is judged by itself with all of its schemes, even if a scheme is in time over all runs."""
    early, disturbed = [1e-5] * 100, [1e-5] * 97 + [0.005, 0.006, 0.007]
    lags = {("none", number): early for number in range(5)} | {("none", 4): disturbed}
    lags |= {("hedge", number): early for number in range(5)}
    found = run_with(tmp_path / "run", lags)
    assert late_schemes(found) == {}
    late = {"none": Times(0.006, 0.02, 0.02), "hedge": Times(1e-5, 0.02, 0.02)}
    assert late_runs(found) == {4: late}


def test_all_schemes_of_a_run_are_measured_alike(tmp_path: Path) -> None:
    """The lag of every scheme is compared with the median latency of the run's fastest scheme."""
    lags = {("none", 0): [0.0015] * 100, ("slow", 0): [0.0015] * 100}
    assert late_runs(run_with(tmp_path / "fast", lags, {"slow": 0.04})).keys() == {0}
    assert late_runs(run_with(tmp_path / "slow", lags, {"slow": 0.04, "none": 0.04})) == {}


def test_times_are_those_of_requests_that_count(tmp_path: Path) -> None:
    """Warm-up requests do not count, and a failed request is infinitely slow."""
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": [{"scheme": "none", "variant": "none"}]})
    for number in range(1, 201):
        latency = None if number == 1 else number / 1000
        writer.request(request(number=number, latency=latency, lag=number / 10000))
    writer.request(request(number=201, latency=9.0, lag=9.0, warmup=True))
    writer.cell(cell(requests=201))
    writer.finish("done")
    writer.close()
    found = load(tmp_path / "run")
    assert late_schemes(found) == {"none": Times(0.0198, 0.101, 0.199)}
    assert late_runs(found) == {0: late_schemes(found)}


def test_a_simulation_is_never_late(tmp_path: Path) -> None:
    """If no lag is known, nothing is late."""
    writer = RunWriter(tmp_path / "run", HEADER)
    writer.request(request(lag=None))
    writer.cell(cell())
    writer.finish("done")
    writer.close()
    assert late_schemes(load(tmp_path / "run")) == {}
    assert late_runs(load(tmp_path / "run")) == {}

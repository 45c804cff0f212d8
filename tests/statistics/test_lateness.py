"""Which schemes and runs the client was late for."""

from __future__ import annotations

from pathlib import Path

from synthetic_run import HEADER, cell, request

from collagebench.results.reader import Run, load
from collagebench.results.writer import RunWriter
from collagebench.statistics.lateness import Times, late_cells, late_schemes


def run_with(directory: Path, lags: dict[tuple[str, int], list[float]]) -> Run:
    """Return a run of requests of 20 ms that the client handled so much too late, by scheme and run."""
    schemes = [
        {"scheme": name, "variant": name, "allotment": {"single": 10}, "options": {}}
        for name in dict.fromkeys(scheme for scheme, _ in lags)
    ]
    writer = RunWriter(directory, {**HEADER, "schemes": schemes})
    for (scheme, number), values in lags.items():
        for place, lag in enumerate(values):
            writer.request(request(scheme, number, place, latency=0.02, lag=lag))
        writer.cell(cell(scheme, number, len(values)))
    writer.finish("done")
    writer.close()
    return load(directory)


def test_a_run_may_be_late_where_its_scheme_is_not(tmp_path: Path) -> None:
    """Each run is judged by itself, all of a scheme's requests together: of two schemes with one late run each, the one
    with more requests beside it is in time."""
    early, disturbed = [1e-5] * 100, [1e-5] * 97 + [0.005, 0.006, 0.007]
    lags = {("none", 0): early, ("none", 1): disturbed}
    lags |= {("hedge", number): early for number in range(4)} | {("hedge", 4): disturbed}
    found = run_with(tmp_path / "run", lags)
    assert late_schemes(found) == {"none": (0.005, 0.02)}
    assert late_cells(found) == {("none", 1): Times(0.006, 0.02, 0.02), ("hedge", 4): Times(0.006, 0.02, 0.02)}


def test_a_simulation_is_never_late(tmp_path: Path) -> None:
    """Where no lag is known, nothing is late."""
    writer = RunWriter(tmp_path / "run", HEADER)
    writer.request(request(lag=None))
    writer.cell(cell())
    writer.finish("done")
    writer.close()
    assert late_schemes(load(tmp_path / "run")) == {} == late_cells(load(tmp_path / "run"))

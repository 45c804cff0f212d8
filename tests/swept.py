"""A sweep of given latencies, written by the code that writes real sweeps; and the records of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthetic_run import HEADER, lognormal, make_run

from collagebench.results.directory import REQUESTS, TASKS
from collagebench.results.sweep import Sweep, write_sweep


def swept(
    directory: Path,
    axes: Mapping[str, Sequence[Any]],
    medians: Mapping[str, Mapping[str, float]],
    status: str = "done",
    missing: Sequence[str] = (),
) -> Path:
    """Write a sweep over one or two axes; `medians` has the median latency of each scheme in s, by the cell's name.

    The cells in `missing` are listed in the sweep's file but not written.
    """
    names: dict[str, dict[str, Any]] = {"": {}}
    for axis, values in axes.items():
        option = axis.replace("_", "-")
        names = {
            f"{name},{option}={value}".lstrip(","): {**chosen, axis: value}
            for name, chosen in names.items()
            for value in values
        }
    tuples = {axis: tuple(values) for axis, values in axes.items()}
    write_sweep(directory, Sweep("simulated", status, "2026-01-01T00:00:00", {}, tuples, names, {}))
    for place, (name, values) in enumerate(names.items()):
        if name in missing:
            continue
        latencies = {
            scheme: lognormal(10 * place + number, 4, 300, median)
            for number, (scheme, median) in enumerate(medians[name].items())
        }
        config = {**HEADER["config"], **values, "runs": 4, "requests": 300}
        make_run(directory / name, latencies, header={"config": config, "engine": "simulated"})
    return directory


def records(sweep: Path) -> dict[str, bytes]:
    """Return the files of records of all cells of a sweep, by their paths in it."""
    found = (path for table in (REQUESTS, TASKS) for path in sweep.rglob(table))
    return {str(path.relative_to(sweep)): path.read_bytes() for path in found}

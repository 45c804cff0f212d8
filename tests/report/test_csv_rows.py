"""The report as CSV."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from reported import NAMES, reported
from synthetic_run import lognormal, make_run

from collagebench.report.csv import COLUMNS, rows
from collagebench.report.summary import summarise
from collagebench.results.reader import load


def read(*directories) -> list[dict[str, str]]:
    """Return the rows of run directories."""
    text = rows(summarise([load(directory) for directory in directories]), [path.name for path in directories])
    return list(csv.DictReader(StringIO(text), strict=True))


def test_a_row_for_each_scheme_of_each_run(tmp_path):
    """Every scheme of every run has one row with all columns, and names survive as they are."""
    found = read(reported(tmp_path / "one"), make_run(tmp_path / "two", {"none": [[0.1] * 500] * 2}))
    assert [(row["run"], row["variant"]) for row in found] == [*(("one", name) for name in NAMES), ("two", "none")]
    assert all(tuple(row) == COLUMNS for row in found)


def test_figures_of_a_row(tmp_path):
    """Times are in seconds, unknown figures are empty, and booleans are words."""
    (row,) = read(make_run(tmp_path / "run", {"none": [[0.1] * 500, [0.2] * 500]}))
    assert (row["latency_p50_s"], row["latency_p99_s"], row["latency_p999_s"]) == ("0.1", "0.2", "")
    assert float(row["latency_p999_at_least_s"]) == 0.2
    assert (row["valid"], row["runs"], row["requests"], row["failed"]) == ("true", "2", "1000", "0")
    assert (row["p99_difference_s"], row["p99_real"], row["unstable"]) == ("", "", "false")


def test_an_interval_without_an_upper_end_has_its_lower_end(tmp_path):
    """Where so many requests failed that the interval of the p99 ends at infinity, only its lower end is given."""
    runs = lognormal(1, 4, 300)
    runs[3][:6] = [None] * 6
    (row,) = read(make_run(tmp_path / "run", {"none": runs}))
    assert 0 < float(row["latency_p99_ci95_low_s"]) < float(row["latency_p99_s"])
    assert row["latency_p99_ci95_high_s"] == ""


def test_paired_differences(tmp_path):
    """A scheme that is twice as slow in every run differs by the baseline's p99."""
    base = [[0.1 + 0.001 * run] * 500 for run in range(4)]
    slow = [[2 * value for value in values] for values in base]
    row = read(make_run(tmp_path / "run", {"none": base, "slow": slow}))[1]
    assert float(row["p99_difference_s"]) == pytest.approx(0.1015)
    assert float(row["p99_difference_ci95_low_s"]) < 0.1015 < float(row["p99_difference_ci95_high_s"])
    assert row["p99_real"] == "true"


def test_columns_have_unique_names_with_units():
    """No column name occurs twice, and every time has the suffix `_s`."""
    assert len(set(COLUMNS)) == len(COLUMNS)
    times = [name for name in COLUMNS if name.startswith(("latency_", "phase_", "dispatch_", "bound_"))]
    assert all(name.endswith("_s") for name in times)

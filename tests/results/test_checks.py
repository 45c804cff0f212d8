"""Every changed field that contradicts another makes reading a run fail, with file and line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from synthetic_run import make_run

from collagebench.errors import DataError
from collagebench.results.reader import load

KNOWN = {"models": [{"classes": 10}], "service": {"mode": "floor"}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of two schemes with two runs of three requests each, one of which failed."""
    config = {"workers": 10, "requests": 3, "runs": 2, "warmup": 0.4}
    latencies = {"none": [[0.1, 0.2, 0.3], [0.1, None, 0.1]], "hedge": [[0.1] * 3, [0.2] * 3]}
    make_run(tmp_path / "run", latencies, header={"config": config, **KNOWN})
    path = tmp_path / "run" / "requests.csv"
    lines = path.read_text().splitlines()
    path.write_text("".join(line.replace("0,0,3,False", "0,0,3,True") + "\n" for line in lines))
    load(tmp_path / "run")
    return tmp_path / "run"


def change(run: Path, file: str, column: str, value: str, row: int = 1) -> None:
    """Set one field of a row, counted from 0."""
    path = run / f"{file}.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    rows[row + 1][rows[0].index(column)] = value
    path.write_text("".join(",".join(fields) + "\n" for fields in rows))


@pytest.mark.parametrize(
    ("file", "column", "value", "sentence"),
    [
        ("requests", "run", "-1", "run cannot be -1"),
        ("requests", "run", "4294967296", "run cannot be 4294967296"),
        ("requests", "request", "0", "this request was there before"),
        ("requests", "image", "7", "its image is not that of the same request"),
        ("requests", "label", "4", "its label is not that of the same request"),
        ("requests", "label", "10", "label cannot be 10"),
        ("requests", "label", "", "label cannot be -1"),
        ("requests", "warmup", "True", "warmup is not that of the same request"),
        ("requests", "arrival", "", "arrival is empty"),
        ("requests", "arrival", "-1", "arrival cannot be -1"),
        ("requests", "arrival", "1.001", "its latency is not the time from its arrival to its answer"),
        ("requests", "answered", "1.201", "its latency is not the time from its arrival to its answer"),
        ("requests", "answered", "", "it has a latency but no answer"),
        ("requests", "latency", "0.20001", "its latency is not the time from its arrival to its answer"),
        ("requests", "latency", "-0.2", "latency cannot be -0.2"),
        ("requests", "latency", "", "no answer, or an answer but no latency"),
        ("requests", "source", "", "it has a source but no latency, or a latency but no source"),
        ("requests", "source", "luck", "source cannot be 'luck'"),
        ("requests", "task", "17", "its task is not in tasks.csv"),
        ("requests", "predicted", "10", "predicted cannot be 10"),
        ("requests", "predicted", "-3", "predicted cannot be -3"),
        ("requests", "service", "0.19", "its phases do not add up to its latency"),
        ("requests", "queue", "-0.02", "queue cannot be -0.02"),
        ("requests", "queue", "", "queue and service must be both known, or neither"),
        ("requests", "decode", "", "encode and decode must be both known, or neither"),
        ("requests", "group", "", "a task answered it, but its group is empty"),
        ("requests", "hold", "", "a task answered it, but its hold is empty"),
        ("requests", "reason", "deadline", "either an answer or a reason"),
        ("tasks", "task", "0", "this task was there before"),
        ("tasks", "worker", "10", "worker cannot be 10"),
        ("tasks", "role", "janitor", "role cannot be 'janitor'"),
        ("tasks", "attempt", "-1", "attempt cannot be -1"),
        ("tasks", "sent", "", "sent is empty"),
        ("tasks", "ended", "0.5", "it ended before it was sent"),
        ("tasks", "outcome", "eaten", "outcome cannot be 'eaten'"),
        ("tasks", "outcome", "wasted", "the task that answered it was not used"),
        ("tasks", "asked", "-0.01", "asked cannot be -0.01"),
        ("tasks", "asked", "", "compute is known, but not what was asked of it"),
        ("tasks", "service", "", "computing and injection are known, but not its service"),
        ("tasks", "service", "0.02", "its service is not the sum of computing and injection"),
        ("tasks", "bytes_sent", "-7", "bytes_sent cannot be -7"),
        ("cells", "run", "0", "this cell was there before"),
        ("cells", "run", "2", "run cannot be 2"),
        ("cells", "requests", "4", "a run has 3 requests"),
        ("cells", "duration", "", "duration is empty"),
        ("cells", "duration", "2.02", "its duration is not that of its requests and tasks"),
        ("cells", "client_cpu", "-1", "client_cpu cannot be -1"),
    ],
)
def test_one_changed_field_is_refused(run, file, column, value, sentence):
    """A field that is impossible or contradicts another is refused in one sentence with file and line."""
    change(run, file, column, value)
    with pytest.raises(DataError, match=r"(requests|tasks|cells)\.csv line \d+: .*; the file was changed") as error:
        load(run)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "NaN", "x", "1,5"])
@pytest.mark.parametrize(("file", "column"), [("requests", "latency"), ("tasks", "service"), ("cells", "duration")])
def test_a_time_is_a_finite_number(run, file, column, value):
    """A time that is not a finite number is refused, because an unknown time is an empty field."""
    change(run, file, column, value)
    with pytest.raises(DataError, match=rf"{file}\.csv line 3 is not a record"):
        load(run)


@pytest.mark.parametrize(
    ("column", "value"), [("warmup", "Tru"), ("straggled", "no"), ("request", "1.0"), ("image", "9" * 30)]
)
def test_a_field_of_another_type_is_refused(run, column, value):
    """A boolean must be True or False, and a whole number must be one of at most 64 bits."""
    change(run, "requests", column, value)
    with pytest.raises(DataError, match=r"requests\.csv line 3 is not a record"):
        load(run)


@pytest.mark.parametrize("file", ["requests", "tasks"])
def test_a_missing_record_leaves_its_cell_out(run, file):
    """A cell that lacks one of its requests or tasks is left out as incomplete."""
    path = run / f"{file}.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:]))
    assert load(run).left_out == ("none run 1",)


def test_the_warm_up_is_as_long_as_the_header_says(run):
    """A run is refused if its warm-up is not as long as configured, because other requests would count."""
    path = run / "run.json"
    path.write_text(path.read_text().replace('"warmup": 0.4', '"warmup": 0.7'))
    with pytest.raises(DataError, match=r"requests\.csv line 3: the first 2 requests are the warm-up"):
        load(run)

"""The Chrome trace."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
from reported import reported
from synthetic_run import cell, make_run, request, task

from collagebench.errors import DataError
from collagebench.report.trace import trace
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter


def events(*directories, most=100_000):
    """Return the events of run directories, and the note on what is left out."""
    text, note = trace([load(path) for path in directories], [path.name for path in directories], most)
    return json.loads(text)["traceEvents"], note


def test_a_task_and_its_request(tmp_path):
    """Times are in microseconds, and service begins after half the transport time and the queueing."""
    writer = RunWriter(tmp_path / "run", {"engine": "live", "schemes": [{"scheme": "none"}]})
    writer.request(request(number=7, arrival=1.0, latency=0.5))
    sent = {"sent": 1.0, "ended": 1.5, "queue": 0.1, "service": 0.3, "worker": 4, "requests": "7"}
    writer.task(task(number=3, **sent))
    writer.cell(cell(requests=1))
    writer.close()
    found, note = events(tmp_path / "run")
    (slice_,) = [event for event in found if event["ph"] == "X"]
    assert (slice_["ts"], slice_["dur"], slice_["name"]) == (1_150_000.0, 300_000.0, "single, used")
    assert (slice_["args"]["task"], slice_["args"]["requests"]) == (3, [7])
    begin, end = (next(event for event in found if event["ph"] == kind) for kind in "be")
    assert (begin["ts"], end["ts"], begin["id"]) == (1_000_000.0, 1_500_000.0, end["id"])
    assert (begin["args"]["source"], begin["args"]["right"]) == ("own", True)
    named = {event["args"]["name"] for event in found if event["name"] == "thread_name"}
    assert named == {"worker 4 (single)"}
    assert note is None


def test_a_lost_reply_is_drawn_where_it_was_served(tmp_path):
    """A task whose reply was lost was served after its queueing, however long the client waited for the reply."""
    writer = RunWriter(tmp_path / "run", {"engine": "simulated", "schemes": [{"scheme": "none"}]})
    writer.request(request(number=7, arrival=1.0, latency=None))
    sent = {"sent": 1.0, "ended": 2.0, "queue": 0.1, "service": 0.3, "requests": "7"}
    writer.task(task(number=3, outcome="dropped", **sent))
    writer.cell(cell(requests=1))
    writer.close()
    found, _ = events(tmp_path / "run")
    (slice_,) = [event for event in found if event["ph"] == "X"]
    assert (slice_["ts"], slice_["dur"], slice_["name"]) == (1_100_000.0, 300_000.0, "single, dropped")


def test_a_request_that_failed_ends_with_the_last_of_its_tasks(tmp_path):
    """A failed request ends with the last of its tasks to end, or at its arrival; it has a reason, but no source."""
    writer = RunWriter(tmp_path / "run", {"engine": "live", "schemes": [{"scheme": "none"}]})
    for number, latency in ((5, 0.25), (7, None), (8, None)):
        writer.request(request(number=number, arrival=1.0, latency=latency))
    for number, ended in ((0, 3.0), (1, 2.0), (2, None)):
        writer.task(task(number=number, requests="7", sent=1.0, ended=ended, outcome="deadline", service=None))
    writer.task(task(number=5, requests="5", sent=1.0, ended=1.25))
    writer.cell(cell(requests=3))
    writer.close()
    found, _ = events(tmp_path / "run")
    begun, ended = ({event["id"]: event for event in found if event["ph"] == kind} for kind in "be")
    assert {name: event["ts"] / 1e6 for name, event in ended.items()} == {"1.5": 1.25, "1.7": 3.0, "1.8": 1.0}
    said = {name: (event["args"]["source"], event["args"]["failed"]) for name, event in begun.items()}
    assert said == {"1.5": ("own", None), "1.7": (None, "deadline"), "1.8": (None, "deadline")}


def test_every_scheme_and_run_is_a_process_and_every_request_has_two_ends(tmp_path):
    """Each scheme and run is a process, services lie on named threads, and each request begins and ends once."""
    found, _ = events(reported(tmp_path / "run"))
    names = [event["args"]["name"] for event in found if event["name"] == "process_name"]
    assert len(names) == len(set(names)) == 10
    threads = {(event["pid"], event["tid"]) for event in found if event["name"] == "thread_name"}
    assert all((event["pid"], event["tid"]) in threads and event["dur"] >= 0 for event in found if event["ph"] == "X")
    ends = defaultdict(list)
    for event in found:
        if event["ph"] in "be":
            ends[event["id"]].append((event["ph"], event["ts"]))
    assert len(ends) == 10 * 200
    for (first, begin), (second, end) in ends.values():
        assert (first, second) == ("b", "e")
        assert end >= begin


def test_large_runs_are_cut_and_say_so(tmp_path):
    """Of a large trace later runs are left out first, for all schemes alike, then the end of run 0, with a note."""
    run = make_run(tmp_path / "run", {"none": [[0.1] * 100] * 3, "hedge": [[0.1] * 100] * 3})
    found, note = events(run, most=1_300)
    assert {event["args"]["name"] for event in found if event["name"] == "process_name"} == {
        "none, run 0", "hedge, run 0", "none, run 1", "hedge, run 1",
    }  # fmt: skip
    assert "only the first 2 of 3 runs" in note
    found, note = events(run, most=300)
    assert 250 <= sum(event["ph"] in "Xbe" for event in found) <= 310
    assert {event["pid"] for event in found} == {1, 2}
    assert "of run 0 (of 3)" in note


def test_damaged_tasks_are_an_error(tmp_path):
    """A task whose request numbers are damaged is an error that names the file."""
    run = make_run(tmp_path / "run", {"none": [[0.1] * 5]})
    loaded = load(run)
    tasks = run / "tasks.csv"
    tasks.write_text(tasks.read_text(encoding="utf-8").replace(",0,0,3,", ",0,0,x,"), encoding="utf-8")
    with pytest.raises(DataError, match=r"tasks\.csv"):
        trace([loaded], ["run"])

"""Requests that wait for nothing but the deadline of a lost reply."""

from __future__ import annotations

from pathlib import Path

from synthetic_run import HEADER, cell, request, task

from collagebench.results.reader import Run, load
from collagebench.results.writer import RunWriter
from collagebench.statistics.in_vain import bereft, sent_again, waits_in_vain
from collagebench.statistics.warnings import warnings

LOST = {"outcome": "dropped", "queue": 1.0, "service": 2.0, "wanted_s": 2.0, "asked": 2.0}
"""A task that takes three seconds at its worker and whose reply is lost."""


def run_of(directory: Path, *tasks: dict[str, object], latency: float | None = 100.0, last: float = 0.0) -> Run:
    """Return a run of two requests, at 0 and `last` s: the first has these tasks and this latency, the second one."""
    schemes = [{"scheme": "tied", "variant": "tied", "allotment": {"single": 10}, "options": {}}]
    writer = RunWriter(directory, {**HEADER, "config": {**HEADER["config"], "deadline": 10.0}, "schemes": schemes})
    writer.request(request("tied", number=0, arrival=0.0, latency=latency, task=0))
    writer.request(request("tied", number=1, arrival=last, task=9))
    for number, facts in enumerate(tasks):
        writer.task(task("tied", number=number, **{"requests": "0", **facts}))
    writer.task(task("tied", number=9, requests="1", sent=last, ended=last + 0.01))
    ends = [float(str(facts["ended"])) for facts in tasks]
    writer.cell(cell("tied", requests=2, duration=max(*ends, latency or 0.01)))
    writer.finish("done")
    writer.close()
    return load(directory)


def spans(run: Run) -> list[tuple[float, ...]]:
    """Return the times of waiting in vain, as pairs of start and end."""
    return [tuple(span) for times in waits_in_vain(run).values() for span in times.T.tolist()]


def test_the_wait_is_from_the_end_of_service_until_the_deadline(tmp_path: Path) -> None:
    """A request waits in vain from the end of the lost service to the deadline, not in queue, service or retry."""
    run = run_of(
        tmp_path / "run",
        {"sent": 60.0, "ended": 100.0, "queue": 39.99, "attempt": 1},
        {"sent": 0.0, "ended": 60.0, **LOST},
    )
    assert list(bereft(run)) == [(0, 0)]
    assert spans(run) == [(3.0, 60.0)]


def test_what_another_task_is_at_a_worker_for_is_not_in_vain(tmp_path: Path) -> None:
    """A wait is not in vain while a copy queues or is served, even if the copy's reply is lost later."""
    copy = {"sent": 0.0, "ended": 100.0, "queue": 97.0, "service": 3.0, "wanted_s": 3.0, "asked": 3.0}
    assert spans(run_of(tmp_path / "used", copy, {"sent": 0.0, "ended": 60.0, **LOST})) == []
    late = {"sent": 40.0, "ended": 100.0, **LOST, "queue": 48.0}
    both = run_of(tmp_path / "lost", {"sent": 99.0, "ended": 100.0}, {"sent": 0.0, "ended": 60.0, **LOST}, late)
    assert spans(both) == [(3.0, 40.0), (90.0, 99.0)]


def test_one_that_was_never_answered_has_no_end(tmp_path: Path) -> None:
    """A request that was never answered counts as having lost a reply, but not as having waited in vain."""
    run = run_of(tmp_path / "run", {"sent": 0.0, "ended": 60.0, **LOST}, latency=None)
    assert list(bereft(run)) == [(0, 0)]
    assert spans(run) == []


def test_a_task_of_a_request_without_a_record_is_passed_over(tmp_path: Path) -> None:
    """A task that names a request without a record is ignored for that request, and counts for the others."""
    run = run_of(tmp_path / "run", {"sent": 0.0, "ended": 100.0, **LOST, "requests": "0 77"})
    assert list(bereft(run)) == [(0, 0), (0, 77)]
    assert spans(run) == [(3.0, 100.0)]


def test_what_is_sent_again_when_all_have_arrived_is_a_load_that_nobody_met(tmp_path: Path) -> None:
    """A note says if a request was sent again only after the last arrival, because its reply was lost.

    There is none if a copy was in flight, or if the request was never answered.
    """
    lost = {"sent": 0.0, "ended": 10.0, **LOST}
    again = run_of(tmp_path / "again", lost, {"sent": 10.0, "ended": 12.0, "attempt": 1}, latency=12.0)
    assert sent_again(again) == (1, 1)
    (note,) = [note for note in warnings(again) if "sent again" in note]
    assert note.startswith(
        "tied: 1 of 2 requests were sent again only after the last arrival, because a reply was lost"
    )
    assert "lower --deadline" in note
    copied = run_of(tmp_path / "copied", lost, {"sent": 0.0, "ended": 4.0, "attempt": 1}, latency=4.0)
    never = run_of(tmp_path / "never", lost, latency=None)
    assert [sent_again(run) for run in (copied, never)] == [(0, 0), (0, 0)]
    assert not any("sent again" in note for run in (copied, never) for note in warnings(run))


def test_what_was_also_sent_again_before_the_last_arrival_was_a_load(tmp_path: Path) -> None:
    """A request that was sent again both before and after the last arrival is not counted as sent only after it."""
    lost = {"sent": 0.0, "ended": 0.5, **LOST}
    twice = run_of(
        tmp_path / "twice",
        lost,
        {**lost, "sent": 0.5, "ended": 10.0, "attempt": 1},
        {"sent": 10.0, "ended": 12.0, "attempt": 2},
        latency=12.0,
        last=5.0,
    )
    assert sent_again(twice) == (1, 0)


def test_nothing_lost_nothing_in_vain(tmp_path: Path) -> None:
    """If no reply was lost, nothing waits in vain, and the tasks are not read again."""
    run = run_of(tmp_path / "run", {"sent": 0.0, "ended": 100.0, "queue": 99.0})
    (tmp_path / "run" / "tasks.csv").unlink()
    assert bereft(run) == waits_in_vain(run) == {}

"""Records of requests and tasks, mainly of answers that are decoded from several replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from collagebench.engine import recorder
from collagebench.engine.conductor import Conductor
from collagebench.engine.recorder import Recorder, Workload
from collagebench.engine.router import Job, Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.results.records import RequestRecord, TaskRecord
from collagebench.schemes import make
from collagebench.schemes.protocol import Request

SLOW = 2.5


class Kept:
    """A writer that keeps records in memory."""

    def __init__(self, noticed: Callable[[int], object]) -> None:
        self.requests: dict[int, RequestRecord] = {}
        self._noticed = noticed
        self.tasks: dict[int, TaskRecord] = {}

    def request(self, record: RequestRecord) -> None:
        self.requests[record.request] = record
        self._noticed(record.request)

    def task(self, record: TaskRecord) -> None:
        self.tasks[record.task] = record


def evaluated(jobs: Sequence[Job]) -> None:
    """Give every request of some jobs the output of a model of one class."""
    for job in jobs:
        job.outputs = np.zeros((len(job.task.requests), 1), np.float32)


def recorded(
    name: str,
    options: dict[str, Any],
    workers: int,
    arrivals: list[float],
    draw: Callable[[int, int, int, float], float],
    chunk: int | None = None,
    noticed: Callable[[int], object] = lambda request: None,
) -> Kept:
    """Run one simulated cell whose services last as long as drawn; `noticed` gets the id of each recorded request."""
    scheme, kept = make(name, options), Kept(noticed)
    roles, first = {}, 0
    for role, count in scheme.allot(workers).items():
        roles[role] = range(first, first + count)
        first += count
    n = np.zeros(len(arrivals), np.int64)
    workload = Workload(np.asarray(arrivals), n, n, 0)
    recorder = Recorder(
        kept,  # type: ignore[arg-type]
        name,
        0,
        "floor",
        workload,
        scheme,
        SLOW,
        evaluated,
        chunk,
    )

    def conduct(transport: SimulatedTransport) -> Conductor:
        return Conductor(
            scheme, Router(roles), draw, lambda request, attempt: 0.0, lambda task, drawn: drawn, transport, recorder
        )

    simulate_cell(conduct, [Request(i, 0, at) for i, at in enumerate(arrivals)], lambda task: 0.0, 100.0)
    recorder.flush()
    return kept


def test_the_phases_of_an_answer_by_parity_are_the_parity_s_own() -> None:
    """An answer by parity has the phases of the parity task, and its wait for the other output is the hold.

    Request 1 arrives at 1 s, its parity is back at 2 s and request 0's output at 3 s. If request 0's single, which was
    sent before 1 s, counted as its task, the group phase would be negative.
    """

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return {0: 3.0, 1: 50.0, 2: 1.0}[worker]

    def swapped(worker: int, request: int, attempt: int, at: float) -> float:
        return draw(request if worker < 2 else worker, request, attempt, at)

    kept = recorded("parity", {"parity_workers": 1}, 3, [0.0, 1.0], swapped)
    record = kept.requests[1]
    assert (record.source, record.answered) == ("parity", 3.0)
    assert kept.tasks[record.task or 0].role == "parity"
    assert (record.group, record.queue, record.service, record.hold) == pytest.approx((0.0, 0.0, 1.0, 1.0))


def test_a_reply_that_is_kept_for_others_ends_its_task_when_it_comes() -> None:
    """A reply that is kept for another request ends its task when it comes, at 1 s, not with that request, at 5 s."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 40.0 if worker == 2 else (1.0, 5.0)[request]

    kept = recorded("parity", {"parity_workers": 1}, 3, [0.0, 0.0], draw)
    ends = {task.requests: (task.ended, task.outcome) for task in kept.tasks.values() if task.role == "single"}
    assert ends == {"0": (1.0, "used"), "1": (5.0, "used")}


@pytest.mark.parametrize(
    ("own", "other", "straggled"), [(1.0, SLOW + 1, False), (SLOW + 1, 1.0, True), (SLOW, SLOW, False)]
)
@pytest.mark.parametrize(
    ("name", "options"),
    [("backup", {"backup_batch": 1, "flush": "wait"}), ("replication", {}), ("hedge", {"hedge_delay": 0.5})],
)
def test_a_request_straggles_with_its_first_task_alone(
    name: str, options: dict[str, Any], own: float, other: float, straggled: bool
) -> None:
    """A request straggles if and only if its own first task is slow, however slow its copy or group is."""
    kept = recorded(name, options, 2, [0.0], lambda worker, request, attempt, at: other if worker else own)
    assert kept.requests[0].straggled is straggled
    assert {task.worker: task.wanted_s for task in kept.tasks.values()} == {0: own, 1: other}


def test_each_answer_is_recorded_once_however_many_are_put_off() -> None:
    """Nine answers, evaluated two at a time and the last at the end, give nine records."""
    numbers: list[int] = []
    kept = recorded("none", {}, 1, [float(i) for i in range(9)], lambda *_: 0.5, chunk=2, noticed=numbers.append)
    assert sorted(numbers) == list(range(9))
    assert sorted(kept.requests) == list(range(9))


@pytest.mark.parametrize("slow", range(4))
def test_a_coded_request_straggles_with_any_coded_image_of_its_group(slow: int) -> None:
    """If any of a group's four coded tasks is slow, its three requests straggle; those of the other group do not."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return SLOW + 1 if (worker, request) == (slow, 0) else 1.0

    kept = recorded("approxifer", {"coded_k": 3}, 4, [0.0, 0.0, 0.0, 20.0, 20.0, 20.0], draw)
    assert [kept.requests[i].straggled for i in range(6)] == [True] * 3 + [False] * 3


def test_answers_of_one_reply_are_decoded_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two requests that one event answers, the second has its answer only when both are decoded."""
    clock = [0.0]

    def slowly(codec: object, answers: object, prior: int) -> list[int]:
        clock[0] += 0.25
        return [0]

    monkeypatch.setattr(recorder, "decode", slowly)
    monkeypatch.setattr(recorder.time, "perf_counter", lambda: clock[0])
    kept, n = Kept(lambda request: None), np.zeros(3, np.int64)
    workload = Workload(np.zeros(3), n, n, 0)
    cell = Recorder(kept, "none", 0, "floor", workload, make("none", {}), SLOW, None)  # type: ignore[arg-type]
    for number, now in ((0, 1.0), (1, 1.0), (2, 4.0)):
        cell.answered(Request(number, 0, 0.0), "default", [], now)
    assert [kept.requests[number].answered for number in range(3)] == [1.25, 1.5, 4.25]

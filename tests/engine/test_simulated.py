"""The simulated engine: known courses of events, and that every run ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_cell import simulate

from collagebench.schemes import SCHEMES


def test_a_queue_of_one_worker_is_served_in_turn() -> None:
    """Three requests of 1 s each, 0.5 s apart at one worker, wait 0, 0.5 and 1 s before their service."""
    ledger = simulate("none", {}, 1, [0.0, 0.5, 1.0], lambda worker, request, attempt, at: 1.0)
    assert list(ledger.latency.values()) == pytest.approx([1.0, 1.5, 2.0])
    assert [job.queue for job in ledger.jobs.values()] == pytest.approx([0.0, 0.5, 1.0])


def test_nobody_hears_of_a_lost_reply_before_its_deadline() -> None:
    """A worker whose reply was lost counts as busy until the deadline, so requests go to the other worker."""
    arrivals = [0.0, *(2.0 + second for second in range(8)), 10.5, 11.5]
    ledger = simulate(
        "none", {}, 2, arrivals, lambda worker, request, attempt, at: math.inf if request == 0 else 0.5, deadline=10.0
    )
    assert ledger.failures == {0: "deadline"}
    lossy = next(job.worker for job in ledger.jobs.values() if job.dropped)
    served = {id: jobs[0].worker for id, jobs in ledger.answers.items()}
    assert {served[id] for id in range(1, 9)} == {1 - lossy}
    assert list(ledger.latency.values()) == pytest.approx([0.5] * 10)
    alone = simulate("none", {}, 1, [0.0, 0.5], lambda worker, request, attempt, at: [math.inf, 0.5][request], 10.0)
    assert alone.latency == {1: pytest.approx(1.0)}, "the worker itself goes on at once"


def test_a_collage_waits_for_a_worker_that_is_only_thought_busy() -> None:
    """Under `idle` a collage worker whose reply was lost is sent nothing until that collage is given up."""
    ledger = simulate(
        "collage",
        {"grid": 2, "flush": "idle"},
        5,
        [0.0, 3.0, 6.0, 12.0],
        lambda worker, request, attempt, at: math.inf if request == 0 else 0.5,
        deadline=10.0,
    )
    sent = sorted(job.sent for job in ledger.jobs.values() if job.task.role == "collage")
    assert sent == pytest.approx([0.0, 12.0])


def test_a_cancelled_task_in_service_runs_on_and_is_wasted() -> None:
    """A losing replica in service is not interrupted: its service takes its whole 10 s."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 10.0 if (request, attempt) == (0, 1) else 1.0

    ledger = simulate("replication", {}, 2, [0.0, 2.0], draw)
    assert [job.outcome for job in ledger.jobs.values()].count("cancelled in service") == 1
    assert ledger.latency == pytest.approx({0: 1.0, 1: 1.0})
    slow = next(job for job in ledger.jobs.values() if job.service == 10.0)
    assert slow.outcome == "cancelled in service"


def test_a_cancelled_task_that_queues_is_never_served() -> None:
    """A losing copy that still queues behind another task is cancelled, and has no service."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 5.0 if request == 0 else 1.0

    ledger = simulate("hedge", {"hedge_delay": 0.5}, 2, [0.0, 0.1, 5.2], draw)
    cancelled = [job for job in ledger.jobs.values() if job.outcome == "cancelled"]
    assert cancelled
    assert all(job.service is None for job in cancelled)


def test_a_task_past_its_deadline_fails_and_still_keeps_its_worker() -> None:
    """A deadline ends the request but not its service: the next task begins when the late one has ended."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 3.0 if request == 0 else 0.5

    ledger = simulate("none", {}, 1, [0.0, 2.0], draw, deadline=2.5)
    assert ledger.failures == {0: "deadline"}
    assert ledger.latency == pytest.approx({1: 1.5})


VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("none", {}),
    ("equal", {}),
    ("replication", {"replicas": 2}),
    ("hedge", {"hedge_delay": 0.3}),
    ("hedge", {"hedge_delay": "p80"}),
    ("hedge", {"hedge_delay": 0.1, "hedge_budget": 0.2, "hedge_probability": 0.7}),
    ("hedge-idle", {}),
    ("hedge-idle", {"hedge_delay": 0.2, "hedge_queue": "workers"}),
    ("tied", {}),
    ("reissue", {"reissue_after": 0.2, "retries": 2}),
    ("default", {"default_after": 0.4}),
    ("collage", {"grid": 2, "flush": "wait", "hold": 0.2}),
    ("collage", {"grid": 2, "flush": "auto", "collage_workers": 2}),
    ("collage", {"grid": 2, "flush": "idle", "hold": "auto", "reissue_after": "p80"}),
    ("collage", {"grid": 2, "flush": "deadline", "flush_after": 0.2}),
    ("collage", {"grid": 2, "hold": 0.3, "flush_after": 0.05, "collage_workers": 2, "reissue_after": 0.5}),
    ("backup", {}),
    ("backup", {"backup_batch": 1, "backup_after": 0.3}),
    ("backup", {"backup_batch": 3, "flush": "deadline", "flush_after": 0.1}),
    ("parity", {}),
    ("parity", {"parity_k": 3, "flush": "deadline", "flush_after": 0.2, "hold": 0.3}),
    ("parity", {"parity_k": 4, "parity_code": "concatenation", "flush": "idle", "reissue_after": 0.5}),
    ("approxifer", {"coded_k": 2, "coded_s": 1}),
    ("approxifer", {"coded_k": 2, "coded_s": 0, "flush": "deadline", "flush_after": 0.2}),
    ("nercc", {"coded_k": 2, "coded_s": 1, "flush": "idle", "coded_after": 0.4}),
]


def test_the_variants_are_of_every_scheme() -> None:
    """The variants include every scheme."""
    assert {name for name, _ in VARIANTS} == set(SCHEMES)


@settings(deadline=None, max_examples=600)
@given(
    scheme=st.sampled_from(VARIANTS),
    workers=st.integers(3, 6),
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=40),
    services=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=40),
    deadline=st.sampled_from([0.1, 0.7, 100.0]),
    losses=st.dictionaries(st.floats(0, 5), st.integers(0, 5), max_size=6),
)
def test_a_simulated_run_ends_with_every_request_settled(
    scheme: tuple[str, dict[str, object]],
    workers: int,
    gaps: list[float],
    services: list[float],
    deadline: float,
    losses: dict[float, int],
) -> None:
    """Whatever is slow, late or lost, even the whole fleet: the run ends, each request is answered once or failed.

    No task begins after all its requests are answered (nor is one sent, as `simulate` asserts), a worker serves one
    task at a time, and an answer comes from served tasks, at least one of which its request was in.
    """
    arrivals = np.cumsum(gaps).tolist()

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return services[(worker * 7 + request * 3 + attempt) % len(services)]

    ledger = simulate(scheme[0], scheme[1], workers, arrivals, draw, deadline, losses)
    busy: dict[int, float] = {}
    for job in sorted(ledger.jobs.values(), key=lambda job: job.begun if job.begun is not None else -1.0):
        answered = [ledger.answered_at.get(request.id, math.inf) for request in job.task.requests]
        if job.begun is None:
            assert job.outcome in ("cancelled", "lost", "deadline", "refused")
            continue
        assert job.begun <= max(answered), "a task that nobody needed any more was served"
        assert job.begun >= busy.get(job.worker, 0.0) - 1e-9, "two tasks at a time"
        busy[job.worker] = job.begun + (job.service or 0.0)
        assert job.outcome in ("used", "wasted", "cancelled in service", "lost", "deadline")
    for request, jobs in ledger.answers.items():
        assert all(job.outcome == "used" and job.begun is not None for job in jobs)
        own = [job for job in jobs if request in {member.id for member in job.task.requests}]
        assert own or not jobs, "an answer needs a task that its request was in"


@settings(deadline=None, max_examples=300)
@given(
    workers=st.integers(2, 5),
    gaps=st.lists(st.sampled_from([0.0, 0.1, 0.25, 1.0]) | st.floats(0, 0.5), min_size=1, max_size=60),
    services=st.lists(st.sampled_from([0.25, 0.5]) | st.floats(0.001, 2.0), min_size=1, max_size=40),
)
def test_a_tied_pair_never_runs_twice_when_messages_are_instant(
    workers: int, gaps: list[float], services: list[float]
) -> None:
    """Of the two tasks of each request exactly one is served, and the other is cancelled in its queue.

    Arrivals and ends of services often coincide here.
    """

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return services[(worker * 7 + request * 3 + attempt) % len(services)]

    ledger = simulate("tied", {}, workers, np.cumsum(gaps).tolist(), draw)
    served = [job.task.requests[0].id for job in ledger.jobs.values() if job.service is not None]
    assert sorted(served) == list(range(len(gaps)))
    assert {job.outcome for job in ledger.jobs.values()} <= {"used", "cancelled"}


def test_a_tied_request_takes_the_queue_that_is_done_first() -> None:
    """With two workers busy for 5 s and 1 s, a tied request begins as soon as the first of them is free.

    The router sees one task at each, so a request that is not tied might wait for the slower one.
    """

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 5.0 if request == 0 else 1.0

    for third in (0.2, 0.3):
        ledger = simulate("tied", {}, 2, [0.0, 0.1, third], draw)
        assert ledger.latency[2] == pytest.approx(1.1 - third + 1.0)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("hedge", {"hedge_delay": "p50"}),
        ("hedge", {"hedge_delay": 0.1}),
        ("hedge-idle", {"hedge_delay": "p50"}),
        ("reissue", {"reissue_after": "p50"}),
    ],
)
def test_a_delay_that_ends_with_the_service_sends_nothing(scheme: str, options: dict[str, object]) -> None:
    """If all services take equally long, a delay of that length sends no copy, despite rounding errors."""
    arrivals = [0.37 * number / 3 + 1e-3 * (number % 7) for number in range(300)]
    ledger = simulate(scheme, options, 2, arrivals, lambda *_: 0.1)
    assert len(set(ledger.latency.values())) > 1, "no rounding"
    assert len(ledger.jobs) == 300


def test_what_ends_when_a_request_arrives_comes_first() -> None:
    """At equal times, a worker's return and a copy that is due come before a request's arrival."""
    back = simulate("none", {}, 1, [3.0], lambda *_: 0.1, crashes=[(1.0, 3.0, 0)])
    assert back.latency == {0: pytest.approx(0.1)}

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 9.0 if request == 0 and not attempt else 1.0

    assert simulate("hedge", {"hedge_delay": 0.5}, 2, [0.0, 0.5], draw).latency[0] == 1.5


def test_a_straggler_is_saved_by_an_idle_worker() -> None:
    """`hedge-idle` copies a request to an idle worker at once, or after its delay, and the faster task answers."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 9.0 if attempt == 0 else 1.0

    assert simulate("hedge-idle", {}, 2, [0.0], draw).latency == {0: 1.0}
    assert simulate("hedge-idle", {"hedge_delay": 0.5}, 2, [0.0], draw).latency == {0: 1.5}


@settings(deadline=None)
@given(
    delay=st.sampled_from([0.0, 0.2]),
    workers=st.integers(2, 5),
    gaps=st.lists(st.sampled_from([0.0, 0.1, 0.25]) | st.floats(0, 0.5), min_size=1, max_size=60),
    services=st.lists(st.sampled_from([0.25, 0.5]) | st.floats(0.001, 2.0), min_size=1, max_size=40),
)
def test_a_copy_into_idle_time_never_queues(
    delay: float, workers: int, gaps: list[float], services: list[float]
) -> None:
    """A copy of `hedge-idle` never waits in a queue; if the queue is central, no task waits at a worker."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return services[(worker * 7 + request * 3 + attempt) % len(services)]

    for queue in ("central", "workers"):
        options = {"hedge_delay": delay, "hedge_queue": queue}
        ledger = simulate("hedge-idle", options, workers, np.cumsum(gaps).tolist(), draw)
        assert {job.queue for job in ledger.jobs.values() if job.task.attempt} <= {0.0}
        assert queue == "workers" or {job.queue for job in ledger.jobs.values()} <= {0.0}


def test_what_waits_for_workers_that_never_come_back_is_refused_and_served_by_those_that_do() -> None:
    """In a central queue, waiting requests are refused if all workers are lost, and served if one comes back."""
    gone = simulate("hedge-idle", {}, 2, [0.0, 5.0, 6.0], lambda *_: 1.0, losses={2.0: 0, 3.0: 1})
    assert gone.failures == {1: "refused", 2: "refused"}
    crashes = [(2.0, 8.0, 0), (3.0, 9.0, 1)]
    back = simulate("hedge-idle", {}, 2, [0.0, 5.0, 6.0], lambda *_: 1.0, crashes=crashes)
    assert back.latency == {0: 1.0, 1: pytest.approx(4.0), 2: pytest.approx(4.0)}


def test_a_request_is_not_sent_again_to_the_worker_that_lost_it() -> None:
    """If a worker and the backup lose every reply, each request of theirs is answered by another worker in time."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return math.inf if worker in (0, 3) else 0.5

    options: dict[str, object] = {"backup_batch": 2, "flush": "wait"}
    ledger = simulate("backup", options, 4, [0.22 * request for request in range(40)], draw, deadline=2.0)
    assert not ledger.failures
    singles = [job for job in ledger.jobs.values() if job.task.role == "single"]
    assert any(job.task.attempt for job in singles)
    for request in range(40):
        workers = [job.worker for job in singles if job.task.requests[0].id == request]
        assert len(workers) == len(set(workers)) <= 2


def test_a_default_answer_comes_on_time_and_a_late_reply_is_wasted() -> None:
    """A late request gets its default answer after the delay, while its task keeps its worker until it is done."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 3.0 if request == 0 else 1.0

    ledger = simulate("default", {"default_after": 2.0}, 1, [0.0, 1.5], draw)
    assert ledger.latency == pytest.approx({0: 2.0, 1: 2.0})
    assert ledger.source == {0: "default", 1: "default"}
    assert {job.task.id: job.outcome for job in ledger.jobs.values()} == {
        0: "cancelled in service",
        1: "cancelled in service",
    }


def test_a_reissued_request_is_not_answered_by_the_task_that_was_given_up() -> None:
    """A task that was given up does not answer, even if it would end before the one sent in its place."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 1.5 if attempt == 0 else 2.0

    ledger = simulate("reissue", {"reissue_after": 1.0}, 2, [0.0], draw)
    assert ledger.latency == {0: 3.0}
    assert ledger.source == {0: "resent"}

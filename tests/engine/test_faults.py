"""Replies that are lost and workers that crash and come back, in virtual time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_cell import simulate

from collagebench.engine.router import Job, Router
from collagebench.engine.rules import SHARES
from collagebench.schemes import SCHEMES
from collagebench.schemes.protocol import Request, Task


def test_a_lost_reply_frees_its_worker_and_fails_at_its_deadline() -> None:
    """After the service of a lost reply the worker begins its next task; the request fails at its deadline."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return math.inf if request == 0 else 0.5

    ledger = simulate("none", {}, 1, [0.0, 0.1], draw, deadline=5.0)
    assert ledger.failures == {0: "deadline"}
    assert ledger.latency == pytest.approx({1: 1.4})
    assert [job.outcome for job in ledger.jobs.values()] == ["used", "dropped"]


def test_a_copy_outruns_a_lost_reply() -> None:
    """If the first reply is lost, the copy, sent after 0.5 s, answers; the lost task's service is recorded."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 1.0 if attempt else math.inf

    ledger = simulate("hedge", {"hedge_delay": 0.5}, 2, [0.0], draw, deadline=9.0)
    assert ledger.latency == pytest.approx({0: 1.5})
    (lost,) = [job for job in ledger.jobs.values() if job.outcome == "dropped"]
    assert lost.service == 1.0


def test_a_task_that_was_given_up_may_lose_its_reply_as_well() -> None:
    """A task past its deadline whose reply is lost ends with its service, as `dropped`."""
    ledger = simulate("none", {}, 1, [0.0], lambda worker, request, attempt, at: math.inf, deadline=0.5)
    assert ledger.failures == {0: "deadline"}
    assert [job.outcome for job in ledger.jobs.values()] == ["dropped"]


def test_a_crash_takes_what_is_in_hand_and_the_worker_comes_back() -> None:
    """A crash fails the worker's tasks at once; requests are refused while it is down, and served once it is back."""
    arrivals = [0.0, 0.2, 2.0, 4.0]
    ledger = simulate("none", {}, 1, arrivals, lambda worker, request, attempt, at: 1.0, crashes=[(0.5, 3.0, 0)])
    assert ledger.failures == {0: "crashed", 1: "crashed", 2: "refused"}
    assert ledger.latency == pytest.approx({3: 1.0})
    crashed = [job for job in ledger.jobs.values() if job.outcome == "crashed"]
    assert [job.service for job in crashed] == [None, None], "nobody reported it"


def test_a_worker_that_comes_back_is_idle_at_once() -> None:
    """A task that waits for an idle worker is sent at the moment when the crashed worker is back."""
    draw = lambda worker, request, attempt, at: 0.5 if worker else 10.0  # noqa: E731
    ledger = simulate("backup", {"backup_batch": 1, "flush": "idle"}, 2, [0.2], draw, crashes=[(0.1, 3.0, 1)])
    assert ledger.source == {0: "backup"}
    assert ledger.answered_at == pytest.approx({0: 3.5})


def test_replication_survives_the_crash_of_one_worker() -> None:
    """If the worker of one replica crashes, the other replica answers, as early as without the crash."""
    draw = lambda worker, request, attempt, at: 1.0  # noqa: E731
    ledger = simulate("replication", {}, 2, [0.0], draw, crashes=[(0.5, 9.0, 0)])
    assert ledger.latency == pytest.approx({0: 1.0})


@pytest.mark.parametrize(
    ("name", "options", "source", "at"),
    [
        ("default", {"default_after": 12.0}, "default", 12.0),
        ("collage", {"grid": 2, "flush": "idle", "flush_after": 60.0}, "collage", 60.2),
        ("nercc", {"coded_k": 1, "coded_s": 1, "flush": "idle", "flush_after": 60.0}, "coded", 60.2),
    ],
)
def test_an_answer_that_comes_later_than_a_deadline_is_waited_for(
    name: str, options: dict[str, object], source: str, at: float
) -> None:
    """If a scheme's delay is longer than the deadline and tasks have failed, an answer still comes after it."""

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return math.inf if at < 20 else 0.2

    ledger = simulate(name, options, 4, [0.0], draw, deadline=3.0)
    assert ledger.source == {0: source}
    assert ledger.answered_at == pytest.approx({0: at})


def test_a_group_is_answered_from_what_is_there_though_that_is_later_than_a_deadline() -> None:
    """If a task of the group fails for good, fewer replies answer the group at `coded_after`, 60 s here."""

    draw = lambda worker, request, attempt, at: 1.0 if attempt // SHARES else 0.1  # noqa: E731
    options = {"coded_k": 3, "coded_s": 0, "coded_after": 60.0}
    ledger = simulate("nercc", options, 4, [0.0] * 3, draw, deadline=3.0, refuses=lambda job: job.task.share == 0)
    assert ledger.answered_at == pytest.approx(dict.fromkeys(range(3), 60.0))


@pytest.mark.parametrize("retries", [1, 3])
def test_a_retry_that_a_server_refuses_goes_to_another_worker(retries: int) -> None:
    """A retry that a server refuses is sent to another worker with the same attempt number, and answers."""
    refused: set[int] = set()

    def refuses(job: Job) -> bool:
        first = job.task.attempt > 0 and not refused
        refused.update({job.task.id} if first else ())
        return first

    draw = lambda worker, request, attempt, at: 0.2 if attempt else 9.0  # noqa: E731
    options = {"reissue_after": 0.5, "retries": retries}
    ledger = simulate("reissue", options, 3, [0.0], draw, refuses=refuses)
    assert ledger.latency == pytest.approx({0: 0.9})
    outcomes = [(job.task.attempt, job.outcome) for job in ledger.jobs.values()]
    assert outcomes == [(1, "refused"), (1, "used"), (0, "cancelled in service")]


def test_crashes_that_go_on_for_ever_do_not_keep_a_cell_alive() -> None:
    """A cell ends with its last request, although later crashes are scheduled."""
    crashes = [(0.4 + i, 2.0 + i, i % 3) for i in range(100_000)]
    ledger = simulate("none", {}, 3, [0.0, 0.1], lambda worker, request, attempt, at: 0.2, crashes=crashes)
    assert len(ledger.latency) == 2


def test_a_draw_is_asked_for_the_time_at_which_its_service_begins() -> None:
    """Delays are drawn for the start of service: 0, 1 and 2 s for three tasks sent at once, 7 s for one sent then."""
    asked: dict[int, float] = {}

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        asked[request] = at
        return 1.0

    simulate("none", {}, 1, [0.0, 0.0, 0.0, 7.0], draw)
    assert asked == pytest.approx({0: 0.0, 1: 1.0, 2: 2.0, 3: 7.0})


def test_an_overdue_worker_should_be_free_now() -> None:
    """If a service takes longer than expected, the next one is expected to begin now, not in the past."""
    router = Router({"single": [0]})
    job = Job(Task(0, "single", (Request(0, 0, 0.0),), 0), 0, 1.0, 0.0, 1.0, begun=0.0)
    router.put(job)
    assert router.free_at(0, 0.5) == 1.0
    assert router.free_at(0, 3.0) == 3.0
    router.take(job)
    assert router.free_at(0, 0.5) == 0.5


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEMES)),
    seed=st.integers(0, 10_000),
    drop=st.sampled_from([0.0, 0.1, 0.5]),
    every=st.sampled_from([math.inf, 8.0, 2.0]),
)
def test_every_request_is_settled_and_every_task_ended_whatever_is_lost(
    name: str, seed: int, drop: float, every: float
) -> None:
    """Under any scheme, with replies lost and workers crashing, each request is answered or failed exactly once."""
    rng = np.random.default_rng(seed)
    workers = 12
    arrivals = np.cumsum(rng.exponential(0.2, 60)).tolist()

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        own = np.random.default_rng([seed, worker, request, attempt])
        return math.inf if own.random() < drop else float(own.exponential(0.8))

    crashes = []
    for worker in range(workers):
        at = 0.0
        while every < math.inf and at < 40:
            at += float(rng.exponential(every)) + 0.01
            crashes.append((at, at + 0.7, worker))
            at += 0.7
    ledger = simulate(name, {}, workers, arrivals, draw, deadline=3.0, crashes=sorted(crashes))
    if drop == 0.0 and every == math.inf:
        assert "dropped" not in {job.outcome for job in ledger.jobs.values()}

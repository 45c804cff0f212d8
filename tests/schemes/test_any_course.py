"""Every scheme under arbitrary sequences of events, drawn by hypothesis."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_cell import simulate

from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.protocol import Task

VARIANTS = [
    ("none", {}),
    ("equal", {}),
    ("replication", {"replicas": 1}),
    ("replication", {"replicas": 3}),
    ("hedge", {"hedge_delay": 0.2}),
    ("hedge", {"hedge_delay": "p90"}),
    ("hedge", {"hedge_delay": 0.1, "hedge_budget": 0.3, "hedge_probability": 0.8}),
    ("hedge-idle", {}),
    ("hedge-idle", {"hedge_delay": 0.2}),
    ("hedge-idle", {"hedge_delay": "p50"}),
    ("hedge-idle", {"hedge_delay": 0.1, "hedge_queue": "workers"}),
    ("tied", {}),
    ("reissue", {"reissue_after": 0.2}),
    ("reissue", {"reissue_after": "p50", "retries": 3}),
    ("default", {"default_after": 0.2}),
    ("collage", {"grid": 2, "flush": "wait"}),
    ("collage", {"grid": 2, "flush": "wait", "hold": 0.3}),
    ("collage", {"grid": 2, "flush": "deadline", "flush_after": 0.1}),
    ("collage", {"grid": 2, "flush": "idle"}),
    ("collage", {"grid": 2, "flush": "auto", "collage_workers": 2}),
    ("collage", {"grid": 2, "flush": "deadline", "flush_after": 0.1, "hold": "auto", "reissue_after": "p50"}),
    ("collage", {"grid": 2, "flush": "idle", "flush_after": 0.1, "hold": 0.25, "reissue_after": 0.4}),
    ("collage", {"grid": 2, "collage_workers": 2, "reject": 0.4}),
    ("collage", {"grid": 2, "flush": "wait", "reject": 0.9}),
    ("backup", {"backup_batch": 1, "flush": "wait"}),
    ("backup", {"backup_batch": 3, "flush": "idle", "reject": 0.3}),
    ("backup", {"backup_batch": 3, "backup_after": 0.25}),
    ("collage", {"grid": 2, "flush": "idle", "hold": "p50"}),
    ("backup", {"backup_batch": 3, "flush": "auto"}),
    ("backup", {"backup_batch": 3, "flush": "wait", "backup_after": "p80"}),
    ("parity", {}),
    ("parity", {"parity_k": 3, "hold": 0.2}),
    ("parity", {"parity_k": 3, "flush": "idle", "hold": "auto", "reissue_after": "p90"}),
    ("parity", {"parity_k": 4, "flush": "deadline", "flush_after": 0.1, "reissue_after": 0.4}),
    ("parity", {"parity_k": 3, "flush": "idle", "parity_code": "addition"}),
    ("approxifer", {"coded_k": 3}),
    ("approxifer", {"coded_k": 4, "coded_s": 2, "flush": "deadline", "flush_after": 0.1}),
    ("nercc", {"coded_k": 3, "flush": "idle"}),
    ("nercc", {"coded_k": 4, "coded_s": 0, "coded_after": 0.2}),
]

EVENTS = st.lists(st.tuples(st.sampled_from("aaarrrfcwib"), st.integers(0, 50), st.floats(0, 0.3)), max_size=80)
SINGLES = {"none": 1, "equal": 1, "hedge": 2, "hedge-idle": 2, "tied": 4, "default": 1}
"""The most single tasks of one request, where options do not matter; 3 for schemes that are not listed."""


def singles_at_most(name: str, options: dict[str, Any]) -> int:
    """Return the most single tasks that one request may cost."""
    depends = {"replication": options.get("replicas", 2), "reissue": 1 + options.get("retries", 1)}
    return {**SINGLES, **depends}.get(name, 3)


def course(name: str, options: dict[str, Any], events: list[tuple[str, int, float]], flushes: bool) -> ByHand:
    """Drive a fresh scheme through these events and to its end; return the driver."""
    driver = ByHand(make(name, options))
    idle_workers = False
    groups = options.get("collage_workers", 1)
    driver.idle = lambda role: idle_workers and len(driver.tasks(role)) < (4 if role == "single" else groups)
    driver.margin = lambda request: -math.inf if request.id % 7 == 0 else request.id * 0.618 % 1

    def step(what: str, which: int, delay: float) -> None:
        nonlocal idle_workers
        tasks = list(driver.sent.values())
        driver.now += delay
        if what == "a":
            driver.arrive()
        elif what == "w" and driver.wakes:
            driver.wake()
        elif what == "i":
            idle_workers = not idle_workers
        elif tasks and what in "rfcb":
            task = tasks[which % len(tasks)]
            if what == "b":
                driver.begin(task)
            elif what == "f":
                driver.fail(task)
            else:
                one = task.requests[which % len(task.requests)].id
                driver.reply(task, missing=(one,) if what == "c" and task.role == "collage" else ())

    for event in events:
        step(*event)
    idle_workers = True
    driver.finish()
    for _ in range(10_000):
        if driver.wakes:
            driver.wake()
        elif driver.sent:
            task = next(iter(driver.sent.values()))
            if flushes:
                driver.reply(task)
            else:
                driver.fail(task)
        else:
            break
    else:
        pytest.fail("the course does not end")
    return driver


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@settings(max_examples=40)
@given(events=EVENTS, flushes=st.booleans())
def test_each_request_is_answered_once_or_failed(
    name: str, options: dict[str, Any], events: list[tuple[str, int, float]], flushes: bool
) -> None:
    """Whatever the order of replies, losses, wakes and idle workers, each request is answered or failed exactly once,
    and the same events give the same actions.

    `ByHand` asserts on every action that nothing is answered twice, sent for no request, or cancelled while needed.
    This test draws the events, brings the scheme to its end, and checks that all is settled and no task sent too
    often.
    """
    driver = course(name, options, events, flushes)
    assert course(name, options, events, flushes).actions == driver.actions, "chance, a clock or a set decides"
    assert [request for request in driver.requests if driver.open(request)] == []
    for request, (_, *tasks) in driver.answers.items():
        told = [one.id for task in tasks if isinstance(task, Task) for one in task.requests]
        assert request in told or not tasks, "an answer comes from a task of its request"
    singles = Counter(task.requests for task in driver.ever_sent if task.role == "single")
    assert max(singles.values(), default=0) <= singles_at_most(name, options)
    shares = Counter((task.requests, task.share) for task in driver.ever_sent if task.role == "coded")
    assert max(shares.values(), default=0) <= 3


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    drop=st.sampled_from([0.0, 0.2]),
    refuse=st.sampled_from([0.0, 0.2]),
    apart=st.sampled_from([0.05, 0.3]),
    losses=st.dictionaries(st.floats(0, 5), st.integers(0, 11), max_size=12),
    crashes=st.lists(st.tuples(st.floats(0, 6), st.floats(0.1, 2)), max_size=6),
)
def test_the_engine_finds_no_breach_of_a_rule(
    name: str,
    options: dict[str, Any],
    seed: int,
    drop: float,
    refuse: float,
    apart: float,
    losses: dict[float, int],
    crashes: list[tuple[float, float]],
) -> None:
    """The engine never stops one of the schemes, whatever the load, lost replies, refused tasks, losses and crashes.

    It would stop a scheme with a sentence at the first action that breaks a rule.
    """
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(apart, 40)).tolist()

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        own = np.random.default_rng([seed, worker, request, attempt])
        return math.inf if own.random() < drop else float(own.exponential(0.8))

    # Crashes of one worker do not overlap.
    down = sorted((at, at + away, number) for number, (at, away) in enumerate(crashes))
    gone = {at: worker for at, worker in losses.items() if worker >= len(crashes)}
    refuses = lambda job: rng.random() < refuse  # noqa: E731
    simulate(name, options, 12, arrivals, draw, deadline=3.0, losses=gone, crashes=down, refuses=refuses)

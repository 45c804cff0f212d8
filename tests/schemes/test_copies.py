"""The schemes that send a request more than once, driven by hand through the events that define them."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_cell import simulate

from collagebench.errors import UsageError
from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.protocol import Action, Request, Send
from collagebench.schemes.single_r import coin


def test_a_hedge_without_a_token_is_sent_when_one_comes() -> None:
    """With a budget of 0.5, the second arrival earns the token for the first request's copy, which has waited."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.1, "hedge_budget": 0.5}))
    first = driver.arrive(now=0.0)
    driver.wake()
    assert len(driver.tasks()) == 1
    driver.arrive(now=0.2)
    copy = driver.tasks()[-1]
    assert (copy.requests, copy.attempt) == ((first,), 1)
    assert driver.avoided[copy.id] == (driver.tasks()[0],)


def test_a_token_goes_to_the_request_that_has_waited_longest_and_is_open() -> None:
    """A token goes to the open request that has waited longest; answered requests are skipped."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.1, "hedge_budget": 0.25}))
    requests = [driver.arrive(now=0.0) for _ in range(3)]
    for _ in requests:
        driver.wake()
    assert len(driver.tasks()) == 3
    driver.reply(driver.tasks()[0])
    driver.arrive()
    assert driver.tasks()[-1].requests == (requests[1],)


def test_a_retry_costs_no_token() -> None:
    """A lost original is sent again even if the budget allows no copies."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.1, "hedge_budget": 0.0}))
    request = driver.arrive()
    driver.wake()
    driver.fail(driver.tasks()[0])
    (again,) = driver.tasks()
    driver.reply(again)
    assert driver.answers[request.id] == ("hedge", again)


@given(
    budget=st.sampled_from([0.0, 0.01, 0.05, 0.1, 1 / 3, 0.7, 1.0]),
    delay=st.sampled_from([0.0, 0.05, 1.0]),
    events=st.lists(st.tuples(st.sampled_from("aaaarw"), st.integers(0, 50), st.floats(0, 0.1)), max_size=300),
)
def test_no_window_has_more_copies_than_its_budget_and_one(
    budget: float, delay: float, events: list[tuple[str, int, float]]
) -> None:
    """Within any n consecutive arrivals, at most budget x n + 1 copies are sent.

    Since the bucket starts empty, those of the first n arrivals are at most budget x n.
    """
    driver = ByHand(make("hedge", {"hedge_delay": delay, "hedge_budget": budget}))
    copies: list[int] = []
    """The number of copies that were sent after each arrival and before the next."""
    for what, which, gap in events:
        driver.now += gap
        before = len(driver.ever_sent) + (what == "a")
        if what == "a":
            copies.append(0)
            driver.arrive()
        elif what == "w" and driver.wakes:
            driver.wake()
        elif what == "r" and driver.sent:
            driver.reply(list(driver.sent.values())[which % len(driver.sent)])
        if copies:
            copies[-1] += len(driver.ever_sent) - before
    so_far = np.concatenate([[0], np.cumsum(copies)])
    for n in range(1, len(copies) + 1):
        assert (so_far[n:] - so_far[:-n]).max() <= budget * n + 1 + 1e-9
        assert so_far[n] <= budget * n + 1e-9


def test_quiet_times_save_one_copy_and_no_more() -> None:
    """After a hundred fast requests at a budget of 0.5, four late ones get only one copy at once."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.1, "hedge_budget": 0.5}))
    for _ in range(100):
        driver.arrive()
        driver.reply(driver.tasks()[0])
        driver.wake()
    for _ in range(4):
        driver.arrive()
    for _ in range(4):
        driver.wake()
    assert len(driver.ever_sent) == 105


def test_a_budget_of_one_twentieth_is_a_copy_every_twenty_requests() -> None:
    """If every request would be hedged, a budget of 0.05 is used up exactly: 50 copies of 1,000 requests."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.0, "hedge_budget": 0.05}))
    for _ in range(1000):
        driver.arrive()
        driver.wake()
    assert len(driver.ever_sent) == 1050


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_any_stretch_of_requests_has_its_share_of_hedges(q: float) -> None:
    """Of any n consecutive requests a share q is chosen, to within three requests."""
    chosen = np.concatenate([[0], np.cumsum([coin(number) < q for number in range(5000)])])
    for n in (10, 100, 1000):
        assert np.abs(chosen[n:] - chosen[:-n] - q * n).max() <= 3


def test_hedging_with_a_probability_leaves_the_others_alone() -> None:
    """With a probability of 0.3, three requests in ten get a delay."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.1, "hedge_probability": 0.3}))
    for _ in range(1000):
        driver.arrive()
    assert len(driver.wakes) == pytest.approx(300, abs=2)


def hedge_idle(workers: int, **options: object) -> ByHand:
    """Return a driver in which a worker is idle while fewer than `workers` tasks are in flight."""
    driver = ByHand(make("hedge-idle", options))
    driver.idle = lambda role: len(driver.sent) < workers
    return driver


def test_an_idle_worker_takes_a_copy_of_the_oldest_open_request() -> None:
    """Of three workers the third copies the first request, and after that is answered, the second."""
    driver = hedge_idle(3)
    first = driver.arrive()
    assert [task.requests for task in driver.tasks()] == [(first,)] * 2
    second = driver.arrive()
    assert [task.requests for task in driver.tasks()] == [(first,), (first,), (second,)]
    driver.reply(driver.tasks()[1])
    assert driver.answers[first.id][0] == "hedge"
    assert [(task.requests, task.attempt) for task in driver.tasks()] == [((second,), 0), ((second,), 1)]


def test_a_busy_fleet_is_not_hedged() -> None:
    """Without an idle worker no copy is sent, however late requests are, with one queue or one for each worker."""
    for queue, sent in (("central", 2), ("workers", 6)):
        driver = hedge_idle(2, hedge_queue=queue)
        for i in range(5):
            driver.arrive(now=float(i))
        assert len(driver.ever_sent) == sent  # only the first request found an idle worker
        assert driver.wakes == []


def test_a_request_that_waits_goes_before_a_copy_of_an_older_one() -> None:
    """The first of two workers to become free serves the waiting third request, not a copy of the first."""
    driver = hedge_idle(2, hedge_delay=0.5)
    first, second, third = (driver.arrive(now=0.0) for _ in range(3))
    assert [task.requests for task in driver.tasks()] == [(first,), (second,)]
    driver.reply(driver.tasks()[1], now=1.0)
    assert [task.requests for task in driver.tasks()] == [(first,), (third,)]
    driver.reply(driver.tasks()[1], now=2.0)
    assert [(task.requests, task.attempt) for task in driver.tasks()] == [((first,), 0), ((first,), 1)]


def test_a_request_that_waits_beyond_the_deadline_is_failed() -> None:
    """A request that no worker takes before its own deadline fails; one that was sent does not."""
    driver = hedge_idle(1)
    driver.scheme.deadline = 1.0
    for at in (0.0, 0.25, 0.5):
        driver.arrive(now=at)
    driver.wake()  # for the first request, which has a worker
    assert (driver.now, driver.failures) == (1.0, {})
    driver.wake()
    assert (driver.now, driver.failures) == (1.25, {1: "deadline"})
    driver.reply(driver.tasks()[0], now=1.375)
    driver.wake()
    assert [task.requests[0].id for task in driver.tasks()] == [2]
    assert driver.failures == {1: "deadline"}
    assert driver.wakes == [], "with nothing in the queue there is nothing to watch"
    driver.arrive(now=9.0)
    driver.wake()
    assert (driver.now, driver.failures) == (10.0, {1: "deadline", 3: "deadline"})


def test_a_task_that_a_worker_refuses_leaves_the_queue_alone() -> None:
    """A refused task is sent again, and waiting requests go on waiting for an idle worker."""
    driver = hedge_idle(4, hedge_delay=9.0)
    for _ in range(12):
        driver.arrive()
    driver.fail(driver.tasks()[0], "refused")
    assert [(task.requests[0].id, task.attempt) for task in driver.tasks()] == [(1, 0), (2, 0), (3, 0), (0, 1)]


@pytest.mark.parametrize(
    ("name", "options", "source"),
    [
        ("hedge", {"hedge_delay": "p50"}, "hedge"),
        ("reissue", {"reissue_after": "p50"}, "resent"),
        ("collage", {"reissue_after": "p50", "flush": "idle"}, "resent"),
        ("collage", {"reissue_after": "p50", "flush": "auto"}, "resent"),
        ("backup", {"reissue_after": "p50", "flush": "auto"}, "resent"),
        ("parity", {"reissue_after": "p50", "flush": "idle"}, "resent"),
    ],
)
def test_what_came_before_a_percentile_was_known_is_looked_at_once_it_is(
    name: str, options: dict[str, object], source: str
) -> None:
    """Once the 20th reply makes the delay known, an old lost request is sent again at once.

    A younger one is sent again when it has waited for the delay of 0.1 s.
    """
    driver = ByHand(make(name, options))
    lost = driver.arrive(now=0.0)
    (stuck,) = driver.tasks()
    for i in range(19):
        driver.arrive(now=1.0 + i)
        driver.reply(driver.tasks()[-1], now=1.1 + i)
    driver.arrive(now=30.0)
    last = driver.tasks()[-1]
    young = driver.arrive(now=30.05)
    assert not driver.wakes
    driver.reply(last, now=30.1)
    sent_again: dict[int, float] = {}
    while driver.wakes and len(sent_again) < 2:
        driver.wake()
        for task in driver.tasks():
            if task.attempt:
                sent_again.setdefault(task.requests[0].id, driver.now)
    assert sent_again == {lost.id: pytest.approx(30.1), young.id: pytest.approx(30.15)}
    (again,) = [task for task in driver.tasks() if task.requests == (lost,) and task.attempt == 1]
    assert driver.avoided[again.id] == (stuck,)
    driver.reply(again)
    assert driver.answers[lost.id][0] == source
    while driver.wakes:
        driver.wake()
    assert [task.attempt for task in driver.ever_sent if task.requests == (young,)] == [0, 1]


def test_an_idle_worker_waits_until_the_oldest_is_ripe() -> None:
    """With a delay, an idle worker copies the oldest request only once it is that old, and one wake is asked for."""
    driver = hedge_idle(9, hedge_delay=0.1)
    driver.arrive(now=1.0)
    driver.arrive(now=1.04)
    assert driver.wakes == [(1.1, None)]
    driver.wake()
    assert [task.attempt for task in driver.tasks()] == [0, 0, 1]
    assert driver.wakes == [(pytest.approx(1.14), None)]


def test_an_idle_worker_comes_back_sooner_when_the_delay_has_become_shorter() -> None:
    """If replies shorten the median delay from 1 s to 0.25 s, an earlier wake is asked for."""
    driver = hedge_idle(0, hedge_delay="p50", hedge_queue="workers")
    for _ in range(20):
        driver.arrive(now=0.0)
    for task in driver.tasks():
        driver.reply(task, now=1.0)
    for _ in range(20):
        driver.arrive(now=99.875)
    driver.idle = lambda role: True
    driver.arrive(now=100.0)
    assert driver.wakes == [(100.875, None)]
    for task in driver.tasks()[:20]:
        driver.reply(task, now=100.125)
    assert driver.wakes == [(100.875, None), (100.25, None)]


def test_hedge_idle_copies_at_once_when_the_original_fails() -> None:
    """A lost original is sent again even if no worker is idle, but only once."""
    driver = hedge_idle(1)
    request = driver.arrive()
    driver.idle = lambda role: False
    driver.fail(driver.tasks()[0])
    driver.fail(driver.tasks()[0])
    assert driver.failures == {request.id: "lost"}


def test_a_tied_request_that_begins_at_once_has_no_peer() -> None:
    """If the first task begins at once, no second one is sent."""
    driver = ByHand(make("tied", {}))
    request = driver.arrive(now=1.0)
    (task,) = driver.tasks()
    driver.begin(task)
    assert driver.wakes == [(1.0, task)]
    driver.wake()
    assert driver.ever_sent == [task]
    driver.reply(task)
    assert driver.answers[request.id] == ("own", task)


@pytest.mark.parametrize(("which", "source"), [(0, "own"), (1, "replica")])
def test_the_tied_task_that_begins_has_its_peer_taken_back(which: int, source: str) -> None:
    """Of two tied tasks in two queues, the one that begins answers, and the other is cancelled."""
    driver = ByHand(make("tied", {}))
    request = driver.arrive()
    driver.wake()
    pair = driver.tasks()
    assert driver.avoided[pair[1].id] == (pair[0],)
    driver.begin(pair[which])
    assert driver.cancelled == [pair[1 - which]]
    driver.reply(pair[which])
    assert driver.answers[request.id] == (source, pair[which])


def test_a_tied_request_is_tied_anew_when_the_one_that_began_fails() -> None:
    """If the task that began fails, a second pair is sent, but no third."""
    driver = ByHand(make("tied", {}))
    request = driver.arrive()
    driver.wake()
    driver.begin(driver.tasks()[0])
    driver.fail(driver.tasks()[0])
    driver.wake()
    first, second = driver.tasks()
    assert (first.attempt, second.attempt) == (2, 3)
    driver.fail(first)
    driver.begin(second)
    assert driver.failures == {}
    driver.fail(second)
    assert driver.failures == {request.id: "lost"}


def test_a_tied_task_that_is_lost_in_its_queue_leaves_the_request_to_its_peer() -> None:
    """If one of two tied tasks is lost, nothing is sent again while the other is alive."""
    driver = ByHand(make("tied", {}))
    request = driver.arrive()
    driver.wake()
    first, second = driver.tasks()
    driver.fail(second)
    assert driver.tasks() == [first]
    driver.begin(first)
    driver.reply(first)
    assert driver.answers[request.id] == ("own", first)


def test_reissue_gives_the_late_task_up_and_sends_the_request_elsewhere() -> None:
    """At the timeout the first task is cancelled, and a second one goes to another worker, without a timeout."""
    driver = ByHand(make("reissue", {"reissue_after": 0.2}))
    request = driver.arrive(now=1.0)
    (first,) = driver.tasks()
    driver.wake()
    assert driver.now == pytest.approx(1.2)
    assert driver.cancelled == [first]
    (second,) = driver.tasks()
    assert driver.avoided[second.id] == (first,)
    assert driver.wakes == []
    driver.reply(second, now=9.0)
    assert driver.answers[request.id] == ("resent", second)


def test_reissue_has_no_race() -> None:
    """A reply of a task that was given up is not used."""
    driver = ByHand(make("reissue", {"reissue_after": 0.2}))
    driver.arrive()
    (first,) = driver.tasks()
    driver.wake()
    assert driver.scheme.replied(first, 0.3) == []


def test_a_failed_task_counts_as_an_attempt() -> None:
    """With two retries a request is sent at most three times, whether its tasks are late or lost."""
    driver = ByHand(make("reissue", {"reissue_after": 0.2, "retries": 2}))
    request = driver.arrive()
    driver.fail(driver.tasks()[0])
    driver.wake()  # for the first attempt, which is over
    assert [task.attempt for task in driver.tasks()] == [1]
    driver.wake()
    assert [task.attempt for task in driver.tasks()] == [2]
    driver.fail(driver.tasks()[0], "deadline")
    assert driver.failures == {request.id: "deadline"}


def test_a_late_request_gets_the_default_answer() -> None:
    """A request without an answer at its time gets the default, which comes from no task, and its task is cancelled."""
    driver = ByHand(make("default", {"default_after": 0.5}))
    requests = [driver.arrive(now=1.0), driver.arrive(now=1.1)]
    tasks = driver.tasks()
    driver.reply(tasks[1], now=1.2)
    driver.wake()
    assert driver.now == pytest.approx(1.5)
    assert driver.answers == {requests[0].id: ("default",), requests[1].id: ("own", tasks[1])}
    assert driver.cancelled == [tasks[0]]


def test_a_lost_request_gets_the_default_answer_at_its_time() -> None:
    """A request whose task has failed does not fail, but gets the default answer at its time."""
    driver = ByHand(make("default", {"default_after": 0.5}))
    request = driver.arrive()
    driver.fail(driver.tasks()[0])
    assert driver.open(request)
    driver.wake()
    assert driver.answers[request.id] == ("default",)
    assert driver.failures == {}


@given(events=st.lists(st.tuples(st.sampled_from("aarf"), st.integers(0, 50)), max_size=60))
def test_replication_with_one_replica_is_none_action_for_action(events: list[tuple[str, int]]) -> None:
    """Replication with one replica takes exactly the same actions as no redundancy, whatever happens."""
    one, none = make("replication", {"replicas": 1}), make("none", {})
    sent: deque[Send] = deque()

    def both(method: str, *arguments: object) -> list[Action]:
        actions: list[Action] = getattr(one, method)(*arguments)
        assert actions == getattr(none, method)(*arguments)
        return actions

    for number, (what, which) in enumerate(events):
        if what == "a":
            sent.extend(action for action in both("arrived", Request(number, 0, 0.0), 0.0) if isinstance(action, Send))
        elif sent:
            sent.rotate(which)
            task = sent.popleft().task
            both("replied", task, 0.0) if what == "r" else both("failed", task, "lost", 0.0)


def test_every_retry_goes_to_the_slow_worker_where_no_other_is_left() -> None:
    """If only the slow worker is left, both retries queue behind the first attempt there, and the last one answers."""
    ledger = simulate(
        "reissue",
        {"reissue_after": 0.1, "retries": 2},
        2,
        [0.0],
        lambda worker, request, attempt, at: 0.5 if attempt else 1.0,
        losses={0.05: 1},
    )
    assert (ledger.latency, ledger.source) == ({0: 1.5}, {0: "resent"})
    assert [(job.task.attempt, job.worker) for _, job in sorted(ledger.jobs.items())] == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("name", ["hedge-idle", "tied", "reissue"])
def test_a_second_worker_is_needed(name: str) -> None:
    """A scheme that needs a second worker is refused if there is only one."""
    with pytest.raises(UsageError, match="2 workers"):
        make(name, {}).allot(1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hedge", {"hedge_budget": 1.5}),
        ("hedge", {"hedge_budget": float("nan")}),
        ("hedge", {"hedge_probability": -0.1}),
        ("hedge", {"hedge_delay": "fit"}),
        ("hedge-idle", {"hedge_budget": 0.1}),
        ("hedge-idle", {"hedge_queue": "both"}),
        ("reissue", {"retries": 0}),
        ("reissue", {"reissue_after": "p0"}),
        ("reissue", {"reissue_after": 10**400}),
        ("default", {"default_after": -1.0}),
        ("default", {"default_after": float("inf")}),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, object]) -> None:
    """An option that makes no sense is a UsageError when the scheme is made."""
    with pytest.raises(UsageError):
        make(name, options)

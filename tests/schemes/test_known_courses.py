"""Each scheme, driven by hand through the events that define it."""

from __future__ import annotations

import pytest

from collagebench.errors import UsageError
from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand


def collage(**options: object) -> ByHand:
    """Return a 2x2 collage with one collage worker, which is idle while it has no collage."""
    driver = ByHand(make("collage", {"grid": 2, **options}))
    driver.idle = lambda role: not driver.tasks("collage")
    return driver


def test_none_sends_one_task_and_answers_from_it() -> None:
    """Without redundancy a request is one task, and its reply is the answer."""
    driver = ByHand(make("none", {}))
    request = driver.arrive()
    (task,) = driver.tasks()
    driver.reply(task, now=0.3)
    assert driver.answers[request.id] == ("own", task)


def test_none_fails_with_its_only_task() -> None:
    """Without redundancy a lost task fails its request, with the task's reason."""
    driver = ByHand(make("none", {}))
    request = driver.arrive()
    driver.fail(driver.tasks()[0], "deadline")
    assert driver.failures == {request.id: "deadline"}


def test_none_leaves_spare_workers_out_and_equal_uses_them() -> None:
    """`none` serves on the budget less the spare workers, `equal` on all of it."""
    assert make("none", {"spare": 2}).allot(10) == {"single": 8}
    assert make("equal", {}).allot(10) == {"single": 10}


def test_replication_first_reply_answers_and_losers_are_cancelled() -> None:
    """Three replicas go to three workers; the first reply answers, and the other two are cancelled."""
    driver = ByHand(make("replication", {"replicas": 3}))
    request = driver.arrive()
    first, second, third = driver.tasks()
    assert driver.avoided[third.id] == (first, second)
    driver.reply(second)
    assert driver.answers[request.id] == ("replica", second)
    assert driver.cancelled == [first, third]


def test_replication_fails_only_with_its_last_replica() -> None:
    """A request fails when all its replicas have failed, not before."""
    driver = ByHand(make("replication", {}))
    request = driver.arrive()
    first, second = driver.tasks()
    driver.fail(first)
    assert driver.failures == {}
    driver.fail(second)
    assert driver.failures == {request.id: "lost"}


def test_hedge_sends_its_copy_after_the_delay_and_elsewhere() -> None:
    """A request without an answer after the delay gets one copy, away from the first task's worker."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.2}))
    request = driver.arrive(now=1.0)
    (original,) = driver.tasks()
    assert driver.wakes == [(1.2, request.id)]
    driver.wake()
    copy = driver.tasks()[1]
    assert driver.avoided[copy.id] == (original,)
    driver.reply(copy)
    assert driver.answers[request.id] == ("hedge", copy)
    assert driver.cancelled == [original]


def test_hedge_sends_nothing_for_an_answered_request() -> None:
    """A request answered within the delay costs one task."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.2}))
    driver.arrive()
    driver.reply(driver.tasks()[0], now=0.1)
    driver.wake()
    assert driver.tasks() == []


def test_hedge_copies_at_once_when_the_original_fails() -> None:
    """A lost original is copied without waiting for the delay; the request fails only when the copy is lost too."""
    driver = ByHand(make("hedge", {"hedge_delay": 0.2}))
    request = driver.arrive()
    driver.fail(driver.tasks()[0])
    driver.fail(driver.tasks()[0])
    assert driver.failures == {request.id: "lost"}


def test_hedge_percentile_follows_the_answers() -> None:
    """With a running percentile nothing is hedged before 20 answers, and then after the percentile of the latest."""
    driver = ByHand(make("hedge", {"hedge_delay": "p50"}))
    for i in range(20):
        driver.arrive(now=float(i))
        assert driver.wakes == []
        driver.reply(driver.tasks()[0], now=i + (i + 1) / 100)
    driver.arrive(now=50.0)
    assert driver.wakes[-1] == (pytest.approx(50.10), 20)


def test_collage_wait_groups_consecutive_arrivals() -> None:
    """Under `wait` a collage is sent with every fourth arrival, its cells in the order of arrival."""
    driver = collage(flush="wait")
    requests = [driver.arrive(now=0.1 * i) for i in range(5)]
    (group,) = driver.tasks("collage")
    assert list(group.requests) == requests[:4]
    driver.finish()
    assert [list(task.requests) for task in driver.tasks("collage")] == [requests[:4], requests[4:]]


def test_collage_leaves_out_what_is_answered_already() -> None:
    """A request answered before its group is sent takes no cell, but counts towards the group."""
    driver = collage(flush="wait")
    requests = [driver.arrive()]
    driver.reply(driver.tasks()[0])
    requests += [driver.arrive() for _ in range(3)]
    assert list(driver.tasks("collage")[0].requests) == requests[1:]


def test_collage_deadline_lets_a_partial_group_go() -> None:
    """Under `deadline` a group that is not full is sent `flush_after` seconds after its first arrival."""
    driver = collage(flush="deadline", flush_after=0.1)
    requests = [driver.arrive(now=1.0), driver.arrive(now=1.05)]
    driver.wake()
    assert driver.now == pytest.approx(1.1)
    assert list(driver.tasks("collage")[0].requests) == requests


def test_collage_deadline_of_a_full_group_is_void() -> None:
    """The deadline of a group that was sent full does not apply to the next group."""
    driver = collage(flush="deadline", flush_after=0.1)
    for _ in range(5):
        driver.arrive()
    driver.wake()
    assert len(driver.tasks("collage")) == 1


def test_collage_idle_takes_the_oldest_open_requests_when_a_worker_is_free() -> None:
    """Under `idle` the first request is sent alone at once, and the next group has the oldest of the rest."""
    driver = collage()
    requests = [driver.arrive() for _ in range(7)]
    (first,) = driver.tasks("collage")
    assert list(first.requests) == requests[:1]
    driver.reply(first)
    assert list(driver.tasks("collage")[0].requests) == requests[1:5]
    assert driver.answers[0] == ("collage", first)


def test_collage_idle_waits_until_the_oldest_is_ripe() -> None:
    """With `flush_after` a collage worker stays idle until the oldest request has waited that long."""
    driver = collage(flush_after=0.1)
    driver.arrive(now=2.0)
    driver.arrive(now=2.05)
    assert driver.tasks("collage") == []
    driver.wake()
    assert driver.now == pytest.approx(2.1)
    assert len(driver.tasks("collage")[0].requests) == 2


def test_collage_answer_cancels_the_single_and_the_singles_cancel_the_collage() -> None:
    """A collage answer cancels the singles, and a collage is cancelled only once none of its cells is needed."""
    driver = collage(flush="wait")
    for _ in range(4):
        driver.arrive()
    (group,) = driver.tasks("collage")
    for task in driver.tasks()[:3]:
        driver.reply(task)
    assert driver.cancelled == []
    (last,) = driver.tasks()
    driver.reply(last)
    assert driver.cancelled == [group]
    for _ in range(4):
        driver.arrive()
    singles = driver.tasks()
    driver.reply(driver.tasks("collage")[0])
    assert driver.cancelled == [group, *singles]
    assert {source for source, _ in list(driver.answers.values())[4:]} == {"collage"}


def test_collage_hold_prefers_the_single_until_its_time_is_over() -> None:
    """A collage reply is held for `hold` seconds after the arrival; a single that replies meanwhile answers instead."""
    driver = collage(flush="wait", hold=0.25)
    requests = [driver.arrive(now=1.0) for _ in range(4)]
    singles = driver.tasks()
    (group,) = driver.tasks("collage")
    driver.reply(group, now=1.1)
    assert driver.answers == {}
    driver.reply(singles[0], now=1.2)
    assert driver.answers[0] == ("own", singles[0])
    while driver.wakes:
        driver.wake()
    assert driver.now == pytest.approx(1.25)
    assert [driver.answers[request.id] for request in requests[1:]] == [("collage", group)] * 3


def test_held_answer_is_used_at_once_when_the_single_fails() -> None:
    """A held collage reply answers at once when the request's single is lost."""
    driver = collage(flush="wait", hold=0.25)
    for _ in range(4):
        driver.arrive()
    singles = driver.tasks()
    (group,) = driver.tasks("collage")
    driver.reply(group, now=0.1)
    driver.fail(singles[2])
    assert driver.answers == {2: ("collage", group)}


def test_slow_singles_are_sent_again_when_their_collage_fails() -> None:
    """When a collage fails, each open request is sent once more, to another worker than its slow single's."""
    driver = collage(flush="wait")
    for _ in range(4):
        driver.arrive()
    singles = driver.tasks()
    driver.reply(singles[0])
    driver.fail(driver.tasks("collage")[0], "deadline")
    again = [task for task in driver.tasks() if task.attempt == 1]
    assert [task.requests for task in again] == [task.requests for task in singles[1:]]
    assert [driver.avoided[task.id] for task in again] == [(task,) for task in singles[1:]]
    driver.reply(again[0])
    assert driver.answers[1] == ("resent", again[0])


def test_cell_without_an_answer_is_sent_again() -> None:
    """A collage without an answer for one cell answers the others, and that cell's request is sent again."""
    driver = collage(flush="wait")
    for _ in range(4):
        driver.arrive()
    driver.reply(driver.tasks("collage")[0], missing=(1,))
    assert sorted(driver.answers) == [0, 2, 3]
    assert [task.attempt for task in driver.tasks()] == [0, 1]


def test_reissue_sends_a_late_single_again_once() -> None:
    """With `reissue_after` a request that has no answer by then is sent once more."""
    driver = collage(flush="wait", reissue_after=0.5)
    driver.arrive()
    driver.wake()
    assert driver.now == pytest.approx(0.5)
    assert [task.attempt for task in driver.tasks()] == [0, 1]


def test_request_whose_singles_are_all_lost_waits_for_its_collage() -> None:
    """A request whose single is lost does not fail while a collage covers it."""
    driver = collage(flush="wait")
    for _ in range(4):
        driver.arrive()
    driver.fail(driver.tasks()[0])
    assert driver.failures == {}
    driver.reply(driver.tasks("collage")[0])
    assert driver.answers[0][0] == "collage"


def test_what_each_role_needs_of_its_model() -> None:
    """A collage model must match grid and head, a parity model k and code, and a single model nothing."""
    collage = make("collage", {"grid": 4, "head": "detection"})
    assert collage.needs("collage") == {"grid": 4, "head": "detection"}
    parity = make("parity", {"parity_k": 3})
    assert parity.needs("parity") == {"k": 3, "code": "addition"}
    for scheme in (collage, parity, make("none", {})):
        assert scheme.needs("single") == {}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("collage", {"grid": 1}, "--grid must be between 2 and 16, not 1"),
        ("collage", {"collage_workers": 0}, "--collage-workers must be 1 or more, not 0"),
        ("parity", {"parity_k": 9}, "--parity-k must be between 2 and 8, not 9"),
        ("equal", {"spare": 2}, "scheme equal has no option 'spare'; its options: none"),
    ],
)
def test_a_refusal_says_what_would_do(name: str, options: dict[str, object], says: str) -> None:
    """A refused option is answered with its range, or with the options that exist."""
    with pytest.raises(UsageError) as error:
        make(name, options)
    assert str(error.value) == says


@pytest.mark.parametrize(
    ("name", "options", "workers"),
    [("replication", {}, 1), ("hedge", {}, 1), ("collage", {}, 1), ("none", {"spare": 3}, 3), ("equal", {}, 0)],
)
def test_too_few_workers_are_refused(name: str, options: dict[str, object], workers: int) -> None:
    """A budget of too few workers for a scheme is refused when workers are allotted."""
    with pytest.raises(UsageError, match=r"worker"):
        make(name, options).allot(workers)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nothing", {}),
        ("none", {"replicas": 2}),
        ("none", {"spare": -1}),
        ("replication", {"replicas": 0}),
        ("hedge", {"hedge_delay": "p100"}),
        ("hedge", {"hedge_delay": "soon"}),
        ("hedge", {"hedge_delay": -1}),
        ("hedge", {"hedge_delay": "nan"}),
        ("collage", {"grid": 1}),
        ("collage", {"flush": "often"}),
        ("collage", {"flush": "wait", "flush_after": 0.1}),
        ("collage", {"hold": -0.1}),
        ("collage", {"hold": float("nan")}),
        ("collage", {"collage_workers": 0}),
    ],
)
def test_senseless_options_are_refused(name: str, options: dict[str, object]) -> None:
    """An unknown scheme or option, or a value out of range, is refused when the scheme is made."""
    with pytest.raises(UsageError):
        make(name, options)

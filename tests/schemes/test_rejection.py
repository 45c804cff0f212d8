"""Which answers of a less accurate model are too uncertain to use, and what happens to their requests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.errors import UsageError
from collagebench.schemes import make
from collagebench.schemes.backed_up import REJECT_AUTO
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.protocol import Request, Task
from collagebench.schemes.rejection import Rejection
from collagebench.stragglers.draws import stream


@given(
    share=st.floats(0.01, 0.3),
    late=st.floats(0.05, 1.0),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 1000),
)
def test_the_share_is_one_of_all_requests(share: float, late: float, scale: float, seed: int) -> None:
    """The given share of all requests is rejected, whatever part of them is late and whatever the scale of margins.

    If fewer are late than may be rejected, nearly all of the late ones are.
    """
    rejection, draws = Rejection(share), stream(seed, "margins", 0)
    rejected = judged = 0
    for _ in range(10_000):
        rejection.arrived()
        if draws.random() < late:
            judged += 1
            rejected += rejection.rejects(scale * draws.random())
    wanted = min(10_000 * share, judged)
    assert rejected == pytest.approx(wanted, rel=0.15, abs=4 * math.sqrt(wanted))  # the rest is chance


@pytest.mark.parametrize("share", [0.001, 0.005])
def test_short_runs_reject_no_more(share: float) -> None:
    """In short runs, where the share is less than one answer, about that share is rejected on average."""
    rejected = 0
    for seed in range(400):
        rejection, draws = Rejection(share), stream(seed, "margins", 0)
        for _ in range(250):
            rejection.arrived()
            rejected += rejection.rejects(draws.random())
    assert 0.7 < rejected / (400 * 250 * share) < 1.1


@pytest.mark.parametrize("share", [0.0005, 0.0019, 0.005])
@pytest.mark.parametrize("late", [0.5, 1.0])
def test_a_small_share_is_kept_in_a_long_run(share: float, late: float) -> None:
    """A share is kept even if it is less than one or two of the answers that are remembered."""
    rejection, draws = Rejection(share), stream(0, "margins", 0)
    rejected = 0
    for _ in range(100_000):
        rejection.arrived()
        if draws.random() < late:
            rejected += rejection.rejects(draws.random())
    assert rejected == pytest.approx(100_000 * share, abs=3 * (100_000 * share) ** 0.5)


def test_the_least_sure_are_rejected() -> None:
    """With a share of 0.5, margins in the lower half are rejected and those in the upper half are used."""
    rejection, draws = Rejection(0.5), stream(0, "margins", 0)
    kept: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(5000):
        rejection.arrived()
        margin = draws.random()
        kept[rejection.rejects(margin)].append(margin)
    assert max(kept[True][100:]) < 0.56
    assert min(kept[False][100:]) > 0.44


def test_until_some_margins_are_known_every_answer_is_used() -> None:
    """No answer is rejected before 20 margins are known."""
    rejection = Rejection(0.99)
    for _ in range(20):
        rejection.arrived()
        assert not rejection.rejects(1.0)
    rejection.arrived()
    assert rejection.rejects(0.5)


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    """A share outside 0 to 1 is refused in a sentence that names the option."""
    with pytest.raises(UsageError, match=r"--reject must be a share of all requests, from 0 to below 1, not "):
        make("collage", {"reject": share})


def late_request(reject: float = 0.3) -> tuple[ByHand, Request, Task, Task]:
    """Return a 2x2 collage with confident answers so far, and one request whose mosaic is in flight.

    Its own task still queues, so that an answer of the mosaic is not held.
    """
    driver = ByHand(make("collage", {"grid": 2, "reject": reject}))
    driver.idle = lambda role: role == "collage" and not driver.tasks("collage")
    driver.margin = lambda request: 5.0
    for _ in range(40):
        driver.arrive(now=driver.now + 1)
        driver.reply(driver.tasks("collage")[0], now=driver.now + 0.1)
    driver.wakes.clear()
    request = driver.arrive(now=driver.now + 1)
    return driver, request, driver.tasks()[-1], driver.tasks("collage")[0]


def test_a_request_whose_answer_is_unsure_is_sent_once_more() -> None:
    """A request with an uncertain answer is sent once more, to another worker, whose reply may answer it."""
    driver, request, single, group = late_request()
    driver.margin = lambda request: 0.0
    driver.reply(group, now=driver.now + 0.1)
    assert driver.open(request)
    (_, again) = driver.tasks()
    assert (again.requests, again.attempt, driver.avoided[again.id]) == ((request,), 1, (single,))
    while driver.wakes:
        driver.wake()
    assert driver.tasks() == [single, again]
    driver.reply(again, now=driver.now + 0.1)
    assert driver.answers[request.id] == ("resent", again)


def test_a_sure_answer_is_used() -> None:
    """A confident answer of the mosaic is used, and the request's own task is cancelled."""
    driver, request, single, group = late_request()
    driver.margin = lambda request: 20.0
    driver.reply(group, now=driver.now + 0.1)
    assert driver.answers[request.id] == ("collage", group)
    assert single in driver.cancelled


def test_an_unsure_answer_is_better_than_none() -> None:
    """When every single of the request has failed, the rejected answer is used."""
    driver, request, _, group = late_request()
    driver.margin = lambda request: 0.0
    driver.reply(group, now=driver.now + 0.1)
    for task in driver.tasks():
        driver.fail(task)
    assert driver.answers[request.id] == ("collage", group)


@pytest.mark.parametrize("lost", [1, 2])
def test_an_unsure_answer_is_put_aside_while_a_single_may_still_be_sent(lost: int) -> None:
    """If one or two singles have failed before an uncertain answer comes, the request is sent once more."""
    driver, request, _, group = late_request()
    driver.margin = lambda request: 0.0
    if lost == 2:
        driver.wake()
    own = driver.tasks()
    assert [task.requests for task in own] == [(request,)] * lost
    for task in own:
        driver.fail(task)
    assert driver.tasks() == []
    driver.reply(group, now=driver.now + 0.1)
    (again,) = driver.tasks()
    assert (again.requests, again.attempt) == ((request,), lost)
    driver.reply(again, now=driver.now + 0.1)
    assert driver.answers[request.id] == ("resent", again)


def test_no_answer_at_all_is_not_used() -> None:
    """A cell without any answer, which a simulation learns only by asking, is not used; its request is sent again."""
    driver, request, _, group = late_request()
    driver.margin = lambda request: -math.inf
    driver.reply(group, now=driver.now + 0.1)
    first, again = driver.tasks()
    driver.fail(first)
    driver.fail(again)
    assert driver.answers.get(request.id, ("", None))[0] != "collage"
    assert len(driver.tasks()) == 1, "a third single"


def in_two_groups(**options: float) -> tuple[ByHand, Request, Task, Task]:
    """Return a request with its single and two groups in flight, after forty confident answers of groups."""
    driver = ByHand(make("collage", {"grid": 2, "collage_workers": 2, **options}))
    driver.margin = lambda request: 5.0
    for _ in range(40):
        driver.idle = lambda role: role == "collage" and not driver.tasks("collage")
        driver.arrive(now=driver.now + 1)
        driver.reply(driver.tasks("collage")[0], now=driver.now + 0.6)
    request = driver.arrive(now=driver.now + 1)
    driver.idle = lambda role: role == "collage" and len(driver.tasks("collage")) < 2
    driver.arrive(now=driver.now + 0.1)
    first, second = driver.tasks("collage")
    assert request in second.requests
    return driver, request, first, second


def test_a_second_group_answers_when_all_singles_have_failed() -> None:
    """A request whose first answer was rejected, and whose singles are lost, is answered by its second group."""
    driver, request, first, second = in_two_groups(reject=0.3)
    driver.margin = lambda request: 0.0
    driver.reply(first, now=driver.now + 0.1)
    for task in [task for task in driver.tasks() if task.requests == (request,)]:
        driver.fail(task)
    assert driver.open(request)
    driver.reply(second, now=driver.now + 0.1)
    assert driver.answers[request.id] == ("collage", second)


def test_a_held_answer_whose_single_is_lost_is_judged_once() -> None:
    """When its single is lost a held answer is judged, once; if it is rejected, the hold's end changes nothing."""
    driver, request, first, _ = in_two_groups(reject=0.3, hold=0.5)
    judged: list[Request] = []
    driver.margin = lambda request: float(judged.append(request) or 0.0)
    driver.reply(first, now=driver.now + 0.1)
    assert judged == []
    (own,) = [task for task in driver.tasks() if task.requests == (request,)]
    driver.fail(own)
    assert judged == [request]
    assert [task.attempt for task in driver.tasks() if task.requests == (request,)] == [1]
    while driver.wakes:
        driver.wake()
    assert judged == [request]
    assert driver.open(request)


def request_with_singles_lost(lost: int) -> tuple[ByHand, Request, Task]:
    """Return a request that lost `lost` singles before its group of four was sent, after forty confident answers."""
    driver = ByHand(make("collage", {"grid": 2, "flush": "wait", "reject": 0.3}))
    driver.margin = lambda request: 5.0
    for _ in range(10):
        for _ in range(4):
            driver.arrive(now=driver.now + 1)
        driver.reply(driver.tasks("collage")[0], now=driver.now + 0.1)
    request = driver.arrive(now=driver.now + 1)
    for _ in range(lost):
        driver.fail(driver.tasks()[0])
    for _ in range(3):
        driver.arrive(now=driver.now + 1)
    return driver, request, driver.tasks("collage")[0]


def test_an_unsure_answer_is_used_when_three_singles_have_been_lost() -> None:
    """After three lost singles, the most that a request has, an uncertain answer is used."""
    driver, request, group = request_with_singles_lost(3)
    sent = len(driver.ever_sent)
    driver.margin = lambda request: 0.0
    driver.reply(group, now=driver.now + 0.1)
    assert driver.answers[request.id] == ("collage", group)
    assert not [task for task in driver.ever_sent[sent:] if request in task.requests]


def test_an_unsure_answer_is_put_aside_while_the_third_single_is_under_way() -> None:
    """While the third single is in flight an uncertain answer is not used, and no fourth single is sent."""
    driver, request, group = request_with_singles_lost(2)
    sent = len(driver.ever_sent)
    driver.margin = lambda request: 0.0
    driver.reply(group, now=driver.now + 0.1)
    assert driver.open(request)
    assert not [task for task in driver.ever_sent[sent:] if request in task.requests]
    (third,) = [task for task in driver.tasks() if task.requests == (request,)]
    driver.reply(third, now=driver.now + 0.1)
    assert driver.answers[request.id] == ("resent", third)


def test_a_request_fails_when_nobody_had_an_answer() -> None:
    """A request fails with "no answer" if three singles are lost and the mosaic has none for its cell."""
    driver, request, group = request_with_singles_lost(3)
    driver.margin = lambda request: -math.inf
    driver.reply(group, now=driver.now + 0.1)
    assert driver.failures == {request.id: "no answer"}


def test_only_auto_rejects_by_itself() -> None:
    """Only `auto` rejects answers by default; other policies do so if --reject is given."""
    for name in ("collage", "backup"):
        assert make(name, {}).judges == name
        assert make(name, {"reject": 0.0}).judges is None
        for flush in ("wait", "idle", "deadline"):
            assert make(name, {"flush": flush}).judges is None
            assert make(name, {"flush": flush, "reject": 0.01}).judges == name
    assert 0 < REJECT_AUTO < 0.01, "a p99 has room for it"

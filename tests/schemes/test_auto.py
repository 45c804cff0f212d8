"""The policies that need no tuning: `--flush auto` and `--hold auto`, for collages and backups."""

from __future__ import annotations

from typing import Any

import pytest
from simulated_cell import simulate

from collagebench.errors import UsageError
from collagebench.schemes import make
from collagebench.schemes.backed_up import HOLD_AUTO
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.protocol import Answer, Request, Send, Task, Wake
from collagebench.stragglers.draws import stream


def driven(name: str = "collage", idle: bool = True, **options: Any) -> ByHand:
    """Return a collage of four cells (or a backup) whose only worker for groups is idle when it has no task."""
    driver = ByHand(make(name, {"grid": 2, **options} if name == "collage" else options))
    role = "collage" if name == "collage" else "backup"
    driver.idle = lambda wanted: idle and wanted == role and not driver.tasks(role)
    return driver


def answer_some(driver: ByHand, count: int, seconds: float = 1.0) -> None:
    """Let `count` requests arrive 100 s apart, each answered by its own task after `seconds`."""
    idle, driver.idle = driver.idle, lambda role: False
    for _ in range(count):
        request = driver.arrive(now=driver.now + 100)
        (task,) = [task for task in driver.tasks() if task.requests == (request,)]
        driver.begin(task)
        driver.reply(task, now=driver.now + seconds)
    driver.idle = idle


def group_of(driver: ByHand) -> Task:
    """Return the only group in flight."""
    (group,) = driver.tasks("collage")
    return group


def test_the_default_of_collage_and_backup_is_auto() -> None:
    """Naming `auto` is the same as the default; the paper's rule needs `--flush wait`."""
    for name in ("collage", "backup"):
        default, named = make(name, {}), make(name, {"flush": "auto"})
        for scheme in (default, named):
            assert scheme.idle_role == name
            assert scheme.wants_begun
        assert not make(name, {"flush": "wait"}).wants_begun


def test_a_group_waits_for_the_own_reply_as_long_as_first_replies_take() -> None:
    """If first replies take 1 s, a group's answer that is there after 0.2 s is used after 1 s, not before."""
    driver = driven()
    answer_some(driver, 30)
    request = driver.arrive(now=5000.0)
    (single,) = driver.tasks()
    driver.begin(single)
    group = group_of(driver)
    driver.reply(group, now=5000.2)
    assert driver.open(request)
    while driver.open(request):
        driver.wake()
    assert driver.now == pytest.approx(5001.0)
    assert driver.answers[request.id] == ("collage", group)


def test_a_hold_may_be_any_percentile_with_every_policy() -> None:
    """With first replies of 1 to 40 s, `p50` under `idle` holds an answer for 20 s, and `auto` for 40 s."""
    for hold, seconds in (("p50", 20.0), ("auto", 40.0)):
        driver = driven(flush="idle", hold=hold)
        for took in range(1, 41):
            answer_some(driver, 1, seconds=took)
        request = driver.arrive(now=9000.0)
        driver.begin(driver.tasks()[0])
        driver.reply(group_of(driver), now=9000.5)
        while driver.open(request):
            driver.wake()
        assert driver.now == pytest.approx(9000.0 + seconds)


def test_a_parity_is_no_first_reply_before_an_answer_can_be_worked_out_from_it() -> None:
    """A parity reply counts as a first reply only once it can be decoded: after 2 s, when the other single is there,
    not after 1 s.

    So an answer that can be decoded after 1.2 s is held until 2 s have passed.
    """
    driver = ByHand(make("parity", {"hold": "p98"}))
    for start, took in [(100.0 * i, 2.0) for i in range(30)] + [(5000.0, 1.2)]:
        for _ in range(2):
            driver.arrive(now=start)
        first, second = driver.tasks()
        driver.begin(first)
        driver.begin(second)
        driver.reply(driver.tasks("parity")[0], now=start + 1.0)
        driver.reply(first, now=start + took)
        while driver.wakes:
            driver.wake()
        assert driver.answers[second.requests[0].id][0] == "parity"
    assert driver.now == pytest.approx(5002.0)


def test_a_request_that_still_queues_is_answered_at_once() -> None:
    """A request whose own task has not begun is surely late: a group answers it at once, and the task is cancelled."""
    driver = driven()
    answer_some(driver, 30)
    request = driver.arrive(now=5000.0)
    (single,) = driver.tasks()
    group = group_of(driver)
    driver.reply(group, now=5000.2)
    assert driver.answers[request.id] == ("collage", group)
    assert single in driver.cancelled


def test_a_request_still_queues_although_its_group_is_in_service() -> None:
    """Only a single that has begun makes a request worth waiting for, not a group that has begun."""
    driver = driven()
    answer_some(driver, 30)
    request = driver.arrive(now=5000.0)
    group = group_of(driver)
    driver.begin(group)
    driver.reply(group, now=5000.2)
    assert driver.answers[request.id] == ("collage", group)


def test_before_enough_replies_are_known_the_first_answer_wins() -> None:
    """With only ten replies no percentile is known, so an answer is not held."""
    driver = driven()
    answer_some(driver, 10)
    request = driver.arrive(now=5000.0)
    driver.begin(driver.tasks()[0])
    driver.reply(group_of(driver), now=5000.2)
    assert not driver.open(request)


def test_what_has_no_reply_in_time_is_sent_once_more_unless_an_answer_is_held() -> None:
    """A request is sent once more at the 99th percentile of first replies, but not if a reply for it is being held."""
    driver = driven(idle=False, hold=3.0)
    answer_some(driver, 30)
    slow = driver.arrive(now=5000.0)
    while driver.wakes:
        driver.wake()
    assert driver.now == pytest.approx(5001.0)
    assert [task.attempt for task in driver.tasks() if task.requests == (slow,)] == [0, 1]

    driver = driven(hold=3.0)
    answer_some(driver, 30)
    held = driver.arrive(now=5000.0)
    driver.reply(group_of(driver), now=5000.5)
    while driver.wakes and driver.wakes[0][0] < 5002:
        driver.wake()
    assert [task.attempt for task in driver.tasks() if task.requests == (held,)] == [0]


@pytest.mark.parametrize(("slower", "seconds"), [(1, 1.0), (2, 2.0)])
def test_auto_sends_again_after_the_99th_percentile_of_first_replies(slower: int, seconds: float) -> None:
    """Two replies of 2 s in a hundred set the 99th percentile, after which a request is sent again; one does not."""
    driver = driven(idle=False)
    answer_some(driver, 100 - slower)
    answer_some(driver, slower, seconds=2.0)
    slow = driver.arrive(now=50_000.0)
    while driver.wakes:
        driver.wake()
    assert driver.now == pytest.approx(50_000.0 + seconds)
    assert [task.attempt for task in driver.tasks() if task.requests == (slow,)] == [0, 1]


@pytest.mark.parametrize("flush", ["wait", "idle", "deadline"])
@pytest.mark.parametrize("name", ["collage", "backup", "parity"])
def test_only_auto_sends_again_by_itself(name: str, flush: str) -> None:
    """Under every policy but `auto`, a slow request is not sent again unless an option says when."""
    driver = ByHand(make(name, {"flush": flush}))
    answer_some(driver, 30)
    slow = driver.arrive(now=driver.now + 100)
    while driver.wakes:
        driver.wake()
    assert [task.attempt for task in driver.tasks() if task.requests == (slow,)] == [0]


def test_what_has_a_held_answer_is_not_sent_again_when_another_group_of_its_own_fails() -> None:
    """When a second group is lost, a request whose first group's reply is held is not sent again; the other is."""
    scheme = make("collage", {"grid": 2, "flush": "auto", "hold": 0.5, "collage_workers": 2, "reject": 0.0})
    first, second = (Request(number, number, 0.0) for number in (0, 1))
    (send, *_) = scheme.arrived(first, 0.0)
    assert isinstance(send, Send)
    scheme.begun(send.task, 0.0)
    (one,) = scheme.idle("collage", 0.0)
    scheme.arrived(second, 0.01)
    (both,) = scheme.idle("collage", 0.01)
    assert isinstance(one, Send)
    assert isinstance(both, Send)
    assert {request.id for request in both.task.requests} == {0, 1}
    assert [type(action) for action in scheme.replied(one.task, 0.1)] == [Wake]
    again = scheme.failed(both.task, "lost", 0.2)
    assert [type(action) for action in again] == [Send], "and the reply that is held stays held"
    assert [action.task.requests for action in again if isinstance(action, Send)] == [(second,)]


@pytest.mark.parametrize("lost_first", [True, False])
def test_a_reply_is_not_held_for_the_sake_of_a_second_group(lost_first: bool) -> None:
    """A group's reply is not held once the request's own single is lost, even if a second group is in flight."""
    scheme = make("collage", {"grid": 2, "flush": "auto", "hold": 0.5, "collage_workers": 2, "reject": 0.0})
    first, second = (Request(number, number, 0.0) for number in (0, 1))
    (own, *_) = scheme.arrived(first, 0.0)
    (one,) = scheme.idle("collage", 0.0)
    scheme.arrived(second, 0.01)
    (both,) = scheme.idle("collage", 0.01)
    assert isinstance(own, Send)
    assert isinstance(one, Send)
    assert isinstance(both, Send)
    assert {request.id for request in both.task.requests} == {0, 1}
    if lost_first:
        assert scheme.failed(own.task, "crashed", 0.05) == []
        answered = scheme.replied(one.task, 0.1)
    else:
        assert not any(isinstance(action, Answer) for action in scheme.replied(one.task, 0.05))
        answered = scheme.failed(own.task, "crashed", 0.1)
    assert [action.tasks for action in answered if isinstance(action, Answer)] == [(one.task,)]


def test_a_second_group_s_reply_does_not_end_the_hold_of_the_first_one_s() -> None:
    """While a request's first group is held, the reply of its second group changes nothing."""
    scheme = make("collage", {"grid": 2, "flush": "auto", "hold": 0.5, "collage_workers": 2, "reject": 0.0})
    first, second = (Request(number, number, 0.0) for number in (0, 1))
    scheme.arrived(first, 0.0)
    (one,) = scheme.idle("collage", 0.0)
    scheme.arrived(second, 0.01)
    (both,) = scheme.idle("collage", 0.01)
    assert isinstance(one, Send)
    assert isinstance(both, Send)
    scheme.replied(one.task, 0.1)
    assert [(type(action), action.token) for action in scheme.replied(both.task, 0.2) if isinstance(action, Wake)] == [
        (Wake, ("hold", second))
    ]
    answered = scheme.woke(("hold", first), 0.5)
    assert [action.tasks for action in answered if isinstance(action, Answer)] == [(one.task,)]


def test_places_left_over_are_taken_by_requests_whose_group_is_out() -> None:
    """A group's free cells take open requests that are in another group already, each at most once."""
    driver = ByHand(make("collage", {"grid": 2, "collage_workers": 2}))
    driver.idle = lambda role: role == "collage" and len(driver.tasks("collage")) < allowed
    allowed = 0
    first = [driver.arrive(now=0.0) for _ in range(2)]
    allowed = 1
    driver.arrive(now=0.1)
    (group,) = driver.tasks("collage")
    assert [request.id for request in group.requests] == [0, 1, 2]
    driver.reply(driver.tasks()[1], now=0.2)  # request 1 is answered by its own task
    allowed = 2
    driver.arrive(now=0.3)
    second = driver.tasks("collage")[1]
    assert [request.id for request in second.requests] == [3, 0, 2]
    driver.reply(second, now=0.4)
    assert driver.answers[first[0].id] == ("collage", second)
    allowed = 3
    driver.arrive(now=0.5)
    assert [request.id for request in driver.tasks("collage")[-1].requests] == [4]


@pytest.mark.parametrize("how", ["held", "failed"])
def test_what_a_group_has_come_back_for_takes_no_place_in_another(how: str) -> None:
    """A request whose group has replied or failed takes no cell in the next group, though there is room."""
    driver = ByHand(make("collage", {"grid": 2, "collage_workers": 2, "hold": 3.0}))
    driver.idle = lambda role: role == "collage" and not driver.tasks("collage")
    old = driver.arrive(now=0.0)
    (group,) = driver.tasks("collage")
    if how == "held":
        driver.reply(group, now=0.1)
    else:
        driver.fail(group, now=0.1)
    assert driver.open(old)
    new = driver.arrive(now=0.2)
    assert driver.tasks("collage")[0].requests == (new,)


def test_no_group_goes_out_for_requests_that_have_one_already() -> None:
    """A worker for groups stays idle if every open request is in a group already."""
    driver = ByHand(make("collage", {"grid": 2, "collage_workers": 2}))
    driver.idle = lambda role: role == "collage" and len(driver.tasks("collage")) < 2
    driver.arrive(now=0.0)
    driver.reply(driver.tasks("collage")[0], now=0.1)
    driver.arrive(now=0.2)
    assert len(driver.tasks("collage")) == 1


@pytest.mark.parametrize("name", ["collage", "backup"])
def test_few_answers_come_from_groups_although_none_is_waited_for_long(name: str) -> None:
    """With 2 % stragglers `auto` answers few requests from groups, at a p99 at most 10 % above that of `idle`.

    `idle` without a hold answers more than twice as many from groups, which costs accuracy.
    """
    draws = stream(7, "images", 0).random(200_000)

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        chance = draws[(worker * 7919 + request * 31 + attempt) % len(draws)]
        return 7.0 if chance > 0.98 else 1.0 + 0.5 * chance

    arrivals = (stream(7, "arrivals", 0).exponential(0.35, 8000)).cumsum().tolist()
    shares, tails = {}, {}
    for flush in ("auto", "idle"):
        ledger = simulate(name, {"flush": flush}, 10, arrivals, draw)
        late = sorted(ledger.latency.values())
        shares[flush] = sum(source == name for source in ledger.source.values()) / len(arrivals)
        tails[flush] = late[int(0.99 * len(late))]
    assert shares["auto"] < 3 * (1 - float(HOLD_AUTO[1:]) / 100)
    assert shares["idle"] > 2 * shares["auto"]
    assert tails["auto"] < 1.1 * tails["idle"]
    assert tails["auto"] < 4.0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("collage", {"hold": "soon"}, "or a percentile of first replies, such as p98, or auto; not 'soon'"),
        ("collage", {"hold": -1.0}, "or auto; not -1.0"),
        ("backup", {"backup_after": "p100"}, "--backup-after must be seconds, such as 0.2, or a percentile"),
        ("collage", {"reissue_after": "soon"}, "a delay must be seconds, such as 0.2, or a percentile"),
        (
            "collage",
            {"flush": "maybe"},
            "flush of scheme collage cannot be 'maybe'; it takes 'wait', 'idle', 'deadline'",
        ),
        ("parity", {"flush": "auto"}, "--flush auto puts requests into two groups, which only collage and backup can"),
        ("approxifer", {"flush": "auto"}, "--flush auto puts requests into two groups"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    """An invalid value is refused with the option, what it takes, and what was given."""
    with pytest.raises(UsageError) as refused:
        make(name, options)
    assert said in str(refused.value)

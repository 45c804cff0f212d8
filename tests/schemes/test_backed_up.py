"""Approximate backups and parities, driven by hand through the event sequences that define them."""

from __future__ import annotations

import numpy as np
import pytest

from collagebench.errors import UsageError
from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.parity import Parity
from collagebench.schemes.protocol import Request, Task


def parity(requests: int = 0, **options: object) -> tuple[ByHand, list[Task], Task]:
    """Return a parity scheme after a whole group has arrived at 0: its driver, its singles and its parity task."""
    driver = ByHand(make("parity", options))
    for _ in range(requests or driver.scheme.parity_k):  # type: ignore[attr-defined]
        driver.arrive(now=0.0)
    return driver, driver.tasks(), driver.tasks("parity")[0]


def test_backup_answers_what_its_singles_have_not() -> None:
    """A backup task carries up to a batch of open requests, and its reply answers those that are late."""
    driver = ByHand(make("backup", {"backup_batch": 3, "flush": "wait"}))
    requests = [driver.arrive() for _ in range(3)]
    (batch,) = driver.tasks("backup")
    assert list(batch.requests) == requests
    first, *others = driver.tasks()
    driver.reply(first, now=0.1)
    driver.reply(batch, now=0.2)
    assert driver.answers == {0: ("own", first), 1: ("backup", batch), 2: ("backup", batch)}
    assert driver.cancelled == others


def test_backup_one_by_one_sends_every_query_twice() -> None:
    """With batches of 1 that wait for nothing, every query goes to a single and to a backup as it arrives."""
    driver = ByHand(make("backup", {"backup_batch": 1, "flush": "wait"}))
    for _ in range(3):
        driver.arrive()
        driver.reply(driver.tasks()[-1])
    assert [task.role for task in driver.ever_sent] == ["single", "backup"] * 3


def test_backup_after_gives_the_single_its_time() -> None:
    """A backup's reply answers only from `backup_after` seconds after the arrival on; the single may answer before."""
    driver = ByHand(make("backup", {"backup_batch": 2, "backup_after": 0.25, "flush": "wait"}))
    driver.arrive(now=1.0)
    driver.arrive(now=1.0)
    (batch,) = driver.tasks("backup")
    driver.reply(batch, now=1.05)
    assert driver.answers == {}
    driver.reply(driver.tasks()[0], now=1.2)
    driver.wake()
    driver.wake()
    assert driver.now == pytest.approx(1.25)
    assert [answer[0] for answer in driver.answers.values()] == ["own", "backup"]


def test_backup_batches_are_stacked_and_each_request_has_its_row() -> None:
    """A backup task's input is the stack of its images, and a request's answer is its row of the outputs."""
    scheme = make("backup", {})
    requests = tuple(Request(i, i, 0.0) for i in range(3))
    task = Task(0, "backup", requests, 0)
    images = [np.full((4, 4, 3), i, np.uint8) for i in range(3)]
    batch = scheme.encode(task, images, (4, 4, 3))
    assert (batch.shape, batch.dtype) == ((3, 4, 4, 3), np.uint8)
    assert batch[:, 0, 0, 0].tolist() == [0, 1, 2]
    outputs = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert scheme.decode(requests[1], [(task, outputs)]).tolist() == [2, 3]
    assert (scheme.batch("backup"), scheme.batch("single")) == (9, 1)


def test_a_failed_single_is_sent_to_another_worker() -> None:
    """A further single avoids the workers of those that failed, also long after, unless no other worker is up."""
    driver = ByHand(make("backup", {"backup_batch": 2, "flush": "wait"}))
    driver.arrive(now=0.0)
    driver.arrive(now=0.0)
    first, other = driver.tasks()
    driver.fail(first, "deadline", now=1.0)
    assert driver.tasks() == [other], "the backup may still answer"
    driver.fail(driver.tasks("backup")[0], now=2.0)
    again = next(task for task in driver.tasks() if task.requests == first.requests)
    assert (again.attempt, driver.avoided[again.id]) == (1, (first,))
    driver.fail(again, "refused")
    anywhere = next(task for task in driver.tasks() if task.requests == first.requests)
    assert (anywhere.attempt, driver.avoided[anywhere.id]) == (1, ())
    driver.fail(anywhere, "lost")
    last = next(task for task in driver.tasks() if task.requests == first.requests)
    assert (last.attempt, driver.avoided[last.id]) == (2, (anywhere,))


def test_parity_answers_the_one_that_is_missing() -> None:
    """Once the parity and all singles but one have replied, the missing answer is decoded from them."""
    driver, (first, second, third), group = parity(parity_k=3)
    driver.reply(first)
    driver.reply(group)
    assert set(driver.answers) == {0}
    driver.reply(third)
    assert driver.answers == {0: ("own", first), 2: ("own", third), 1: ("parity", group, first, third)}
    assert driver.cancelled == [second]
    assert driver.kept[first.id] == list(group.requests)


def test_parity_that_comes_last_recovers_too() -> None:
    """The last reply that decoding needs may be the parity as well as a single."""
    driver, (first, second), group = parity()
    driver.reply(second)
    driver.reply(group)
    assert driver.answers == {1: ("own", second), 0: ("parity", group, second)}
    assert driver.cancelled == [first]


def test_parity_is_taken_back_when_nobody_needs_it() -> None:
    """A group's parity is cancelled once all its singles have replied."""
    driver, singles, group = parity()
    for single in singles:
        driver.reply(single)
    assert driver.cancelled == [group]


@pytest.mark.parametrize("policy", [{}, {"flush": "deadline", "flush_after": 9.0}], ids=["wait", "deadline"])
def test_a_request_that_has_its_answer_stays_in_its_group(policy: dict[str, object]) -> None:
    """As in the paper, an answered request stays in its group, and the last answer is decoded from the parity of all.

    One of the outputs that it is decoded from is that of a task that was sent again.
    """
    driver = ByHand(make("parity", {"parity_k": 3, **policy}))
    first, second = driver.arrive(), driver.arrive()
    (early, lost) = driver.tasks()
    driver.reply(early)
    driver.fail(lost)
    (again,) = driver.tasks()
    driver.reply(again)
    third = driver.arrive()
    (group,) = driver.tasks("parity")
    assert group.requests == (first, second, third)
    driver.reply(group)
    assert driver.answers[2] == ("parity", group, early, again)


def test_a_parity_of_answered_and_slow_requests_still_stands_in_for_one_loss_only() -> None:
    """A parity that covers an answered request replaces only one lost single: of two, one is sent again."""
    driver = ByHand(make("parity", {"parity_k": 3}))
    driver.arrive()
    (early,) = driver.tasks()
    driver.reply(early)
    driver.arrive()
    driver.arrive()
    second, third = driver.tasks()
    (group,) = driver.tasks("parity")
    driver.fail(second)
    assert driver.tasks() == [third]
    driver.fail(third)
    (again,) = driver.tasks()
    driver.reply(group)
    driver.reply(again)
    (left,) = {1, 2} - {again.requests[0].id}
    assert driver.answers[left] == ("parity", group, early, again)


def test_a_group_whose_requests_all_have_their_answers_needs_no_parity() -> None:
    """At its deadline an answered group sends no parity, and the outputs kept for it are dropped."""
    driver = ByHand(make("parity", {"flush": "deadline", "flush_after": 1.0}))
    driver.arrive(now=0.0)
    driver.reply(driver.tasks()[0])
    assert driver.kept_for_later == {0}
    driver.wake()
    assert not driver.tasks("parity")
    assert not driver.kept_for_later


def test_parity_of_one_is_an_answer_by_itself() -> None:
    """Under `idle`, a parity of one remaining request is its answer without any other output."""
    driver = ByHand(make("parity", {"flush": "idle"}))
    driver.arrive()
    driver.reply(driver.tasks()[0])
    driver.idle = lambda role: not driver.tasks(role)
    driver.arrive()
    (group,) = driver.tasks("parity")
    assert [request.id for request in group.requests] == [1]
    driver.reply(group)
    assert driver.answers[1] == ("parity", group)


def test_two_losses_in_a_group_wait_for_more() -> None:
    """While two singles are missing the parity answers none; once one of them replies, it answers the other."""
    driver, (first, second, third), group = parity(parity_k=3)
    driver.reply(group)
    driver.reply(first)
    assert set(driver.answers) == {0}
    driver.reply(second, now=9.0)
    assert driver.answers[2] == ("parity", group, first, second)
    assert driver.cancelled == [third]


def test_parity_stands_in_for_one_lost_single_and_no_more() -> None:
    """The first lost single is left to the parity; when a second is lost, one of them is sent again."""
    driver, (first, second, third), group = parity(parity_k=3)
    driver.fail(first)
    assert len(driver.tasks()) == 2
    driver.fail(second)
    (again,) = [task for task in driver.tasks() if task.attempt == 1]
    assert again.requests == first.requests
    driver.reply(again)
    driver.reply(third)
    driver.reply(group)
    assert driver.answers == {
        0: ("resent", again),
        2: ("own", third),
        1: ("parity", group, again, third),
    }


def test_lost_parity_has_lost_singles_sent_again_and_slow_ones_left_alone() -> None:
    """When a parity fails, requests whose single has failed are sent again, and those whose single is slow are not."""
    driver, (first, second), group = parity()
    driver.fail(first)
    driver.fail(group, "deadline")
    assert [(task.requests, task.attempt) for task in driver.tasks()] == [(second.requests, 0), (first.requests, 1)]
    driver.reply(driver.tasks()[0])
    driver.reply(driver.tasks()[0])
    assert [answer[0] for answer in driver.answers.values()] == ["own", "resent"]
    assert driver.kept[second.id] == [*second.requests]  # nothing can be decoded from it any more


def test_a_reply_of_a_group_that_is_a_request_s_only_task_answers_it_at_once() -> None:
    """If a request's own single has failed, the backup's reply answers at once, before `backup_after`."""
    driver = ByHand(make("backup", {"backup_batch": 1, "backup_after": 0.25, "flush": "wait"}))
    request = driver.arrive(now=1.0)
    (group,) = driver.tasks("backup")
    driver.fail(driver.tasks()[0], "crashed", now=1.01)
    assert driver.open(request)
    driver.reply(group, now=1.05)
    assert driver.answers[request.id] == ("backup", group)


def test_a_group_that_fails_sends_nothing_again_that_has_been_sent_again() -> None:
    """When a group fails, a request that already has a second single in flight is not sent again."""
    options = {"backup_batch": 1, "flush": "wait", "reissue_after": 0.1}
    driver = ByHand(make("backup", options))
    request = driver.arrive(now=0.0)
    driver.wake()
    own, again = driver.tasks()
    driver.fail(driver.tasks("backup")[0], "crashed", now=0.2)
    assert driver.tasks() == [own, again]
    assert driver.open(request)


@pytest.mark.parametrize("count", [19, 20])
def test_a_reply_that_is_held_may_be_the_one_by_which_others_are_late(count: int) -> None:
    """The 20th first reply makes the percentile known even if it is held, so that earlier requests can be reissued."""
    options = {"backup_batch": 1, "flush": "wait", "backup_after": 3.0, "reissue_after": "p50"}
    driver = ByHand(make("backup", options))
    slow = driver.arrive(now=0.0)
    for _ in range(count):
        driver.arrive(now=0.0)
    for group in driver.tasks("backup")[1:]:
        driver.reply(group, now=0.5)
    reissues = [token for _, token in driver.wakes if isinstance(token, tuple) and token[0] == "reissue"]
    assert (("reissue", slow) in reissues) == (count == 20)


def test_a_group_without_an_answer_is_the_reason_when_it_was_all_that_was_left() -> None:
    """If all three singles have failed and the group has no answer for the request, it fails with "no answer"."""
    driver = ByHand(make("collage", {"grid": 2, "flush": "wait", "head": "detection"}))
    request = driver.arrive()
    while driver.tasks():
        driver.fail(driver.tasks()[0], "crashed")
    others = [driver.arrive() for _ in range(3)]
    driver.reply(driver.tasks("collage")[0], missing=(request.id,))
    assert driver.failures == {request.id: "no answer"}
    assert all(not driver.open(other) for other in others)


def test_requests_fail_together_when_nothing_can_be_worked_out() -> None:
    """Two requests of a group that have each lost three singles fail, and their parity is cancelled."""
    driver, _, group = parity()
    while driver.tasks():
        driver.fail(driver.tasks()[0], "deadline")
    assert driver.failures == {0: "deadline", 1: "deadline"}
    assert driver.cancelled == [group]
    assert max(task.attempt for task in driver.ever_sent) == 2


def test_hold_gives_the_single_its_time_before_the_parity_answers() -> None:
    """A decoded answer is held until `hold` after the arrival, unless the request's own single has failed."""
    driver, (first, second), group = parity(hold=0.3)
    driver.reply(second, now=0.1)
    driver.reply(group, now=0.1)
    assert set(driver.answers) == {1}
    driver.wake()
    assert driver.now == pytest.approx(0.3)
    assert driver.answers[0] == ("parity", group, second)
    driver, (first, second), group = parity(hold=0.3)
    driver.reply(second, now=0.1)
    driver.reply(group, now=0.1)
    driver.fail(first, now=0.2)
    assert driver.answers[0] == ("parity", group, second)


@pytest.mark.parametrize(("k", "workers", "singles"), [(2, 12, 8), (3, 12, 9), (4, 12, 10), (8, 12, 11), (2, 2, 1)])
def test_parity_gets_one_worker_for_every_k_singles(k: int, workers: int, singles: int) -> None:
    """By default one worker in k + 1 serves parities, and at least one."""
    allotted = make("parity", {"parity_k": k}).allot(workers)
    assert allotted == {"single": singles, "parity": workers - singles}


def test_parity_of_a_linear_model_restores_every_output() -> None:
    """With a linear model the decoded output equals the lost one, in partial groups as well."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4 * 4 * 3, 10)).astype(np.float32) / 255
    scheme = Parity(parity_k=4)
    for size in (1, 3, 4):
        requests = tuple(Request(i, i, 0.0) for i in range(size))
        images = rng.integers(0, 256, (size, 4, 4, 3), dtype=np.uint8)
        task = Task(99, "parity", requests, 0)
        encoded = scheme.encode(task, list(images), (4, 4, 3))
        assert (encoded.shape, encoded.dtype) == ((1, 4, 4, 3), np.float32)
        own = images.reshape(size, -1).astype(np.float32) @ weights
        output = encoded.reshape(1, -1) @ weights
        for lost in range(size):
            others = [(Task(i, "single", (requests[i],), 0), own[i : i + 1]) for i in range(size) if i != lost]
            found = scheme.decode(requests[lost], [(task, output), *others])
            np.testing.assert_allclose(found, own[lost], atol=1e-5)


def test_parity_by_concatenation_is_an_image_of_one_input_s_size() -> None:
    """Two images side by side are one uint8 image of the input's size, and the model must be trained for that code."""
    scheme = make("parity", {"parity_code": "concatenation"})
    requests = (Request(0, 0, 0.0), Request(1, 1, 0.0))
    white = np.full((4, 4, 3), 255, np.uint8)
    encoded = scheme.encode(Task(0, "parity", requests, 0), [white, 0 * white], (4, 4, 3))
    assert (encoded.shape, encoded.dtype) == ((1, 4, 4, 3), np.uint8)
    assert encoded[0, :, 0].min() > encoded[0, :, -1].max()
    assert scheme.needs("parity") == {"k": 2, "code": "concatenation"}
    assert scheme.needs("single") == {}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("backup", {"backup_batch": 0}),
        ("backup", {"backup_batch": 257}),
        ("backup", {"backup_after": -1.0}),
        ("backup", {"backup_workers": 0}),
        ("backup", {"hold": 0.1}),
        ("parity", {"parity_k": 1}),
        ("parity", {"parity_k": 9}),
        ("parity", {"parity_code": "sum"}),
        ("parity", {"parity_code": "concatenation", "parity_k": 3}),
        ("parity", {"parity_workers": 0}),
        ("parity", {"flush_after": 0.1}),
    ],
)
def test_senseless_options_of_backups_and_parities_are_refused(name: str, options: dict[str, object]) -> None:
    """An option out of range is a UsageError when the scheme is made."""
    with pytest.raises(UsageError):
        make(name, options)


@pytest.mark.parametrize("name", ["backup", "parity"])
def test_backups_and_parities_leave_a_worker_for_singles(name: str) -> None:
    """A fleet of one worker is too small for backups and parities."""
    with pytest.raises(UsageError, match=r"worker"):
        make(name, {}).allot(1)


def test_a_request_whose_singles_have_all_failed_waits_for_its_group() -> None:
    """A request is sent three times at most; then the group that it is still in answers it."""
    driver = ByHand(make("backup", {"backup_batch": 2, "flush": "wait"}))
    request = driver.arrive()
    for attempt in range(3):
        (task,) = driver.tasks()
        assert task.attempt == attempt
        driver.fail(task, "crashed")
    assert (driver.tasks(), driver.open(request)) == ([], True)
    driver.arrive()
    (group,) = driver.tasks("backup")
    driver.reply(group)
    assert driver.answers[request.id] == ("backup", group)


def test_a_request_that_no_task_and_no_group_is_left_for_fails_with_the_last_reason() -> None:
    """A request whose group and all three singles have failed fails with the reason of the last one."""
    driver = ByHand(make("backup", {"backup_batch": 1, "flush": "wait"}))
    request = driver.arrive()
    driver.fail(driver.tasks("backup")[0], "lost")
    while driver.tasks():
        driver.fail(driver.tasks()[0], f"crashed {len(driver.ever_sent)}")
    assert [task.attempt for task in driver.ever_sent if task.role == "single"] == [0, 1, 2]
    assert driver.failures == {request.id: "crashed 4"}


def test_a_percentile_of_first_replies_counts_each_request_once() -> None:
    """A held reply is the request's first: ten requests with two replies each count as ten."""
    scheme = make("backup", {"backup_batch": 1, "flush": "wait", "backup_after": 3.0, "reissue_after": "p50"})
    driver = ByHand(scheme)
    for number in range(20):
        assert scheme.reissue_after.seconds is None  # type: ignore[attr-defined]
        driver.arrive(now=10.0 * number)
        driver.reply(driver.tasks("backup")[0], now=10.0 * number + 0.5)
        driver.reply(driver.tasks()[0], now=10.0 * number + 1.0)
    assert scheme.reissue_after.seconds == pytest.approx(0.5)  # type: ignore[attr-defined]
    assert {answer[0] for answer in driver.answers.values()} == {"own"}


@pytest.mark.parametrize("name", ["collage", "backup"])
def test_nothing_is_remembered_of_requests_that_are_settled(name: str) -> None:
    """A scheme keeps nothing about settled requests, however they were answered or failed."""
    scheme = make(name, {})
    driver = ByHand(scheme)
    driver.idle = lambda role: role == name and not driver.tasks(name)
    for number in range(30):
        driver.arrive(now=float(number))
        (single,), (group,) = driver.tasks(), driver.tasks(name)
        driver.begin(single)
        if number % 3 == 1:
            driver.fail(group)
        first, second = (single, group) if number % 3 else (group, single)
        for task in (first, second):
            if task in driver.tasks(task.role):
                driver.reply(task)
        while driver.wakes:
            driver.wake()
    for task in [*driver.tasks(), *driver.tasks(name)]:
        driver.reply(task)
    driver.arrive(now=100.0)
    while driver.sent:
        driver.fail(next(iter(driver.sent.values())))
    assert (len(driver.answers), len(driver.failures)) == (30, 1)
    parts = (scheme, scheme._groups, scheme.reissue_after)  # type: ignore[attr-defined]
    left = {key: value for part in parts for key, value in vars(part).items() if isinstance(value, dict | set | list)}
    assert not any(left.values()), left

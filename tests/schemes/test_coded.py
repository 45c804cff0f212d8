"""The coded schemes, driven by hand through the events that define them, and on models whose output they restore."""

from __future__ import annotations

import numpy as np
import pytest

from collagebench.errors import UsageError
from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.protocol import Request, Scheme, Task

CODED = ["approxifer", "nercc"]


def coded(name: str = "approxifer", requests: int | None = None, **options: object) -> ByHand:
    """Return a coded scheme of k = 3 and s = 1 after a group has arrived at 0."""
    driver = ByHand(make(name, {"coded_k": 3, **options}))
    for _ in range(requests or 3):
        driver.arrive(now=0.0)
    return driver


@pytest.mark.parametrize("name", CODED)
def test_a_group_goes_to_k_plus_s_workers_and_any_k_replies_answer_it(name: str) -> None:
    """Each of k + s tasks sends its share of the whole group to a worker of its own; any k replies answer all."""
    driver = coded(name, coded_s=2)
    tasks = driver.tasks("coded")
    assert [task.share for task in tasks] == [0, 1, 2, 3, 4]
    assert {task.requests for task in tasks} == {tuple(driver.requests)}
    assert [driver.avoided[task.id] for task in tasks] == [tuple(tasks[:i]) for i in range(5)]
    driver.reply(tasks[4])
    driver.reply(tasks[1])
    assert driver.answers == {}
    driver.reply(tasks[2])
    used = (tasks[4], tasks[1], tasks[2])
    assert driver.answers == dict.fromkeys(range(3), ("coded", *used))
    assert driver.cancelled == [tasks[0], tasks[3]]


def test_a_partial_group_takes_as_many_replies_as_it_has_requests() -> None:
    """Two remaining requests become three tasks, any two of which answer them; a single one is sent twice."""
    driver = coded(requests=5)
    driver.finish()
    tasks = driver.tasks("coded")[4:]
    assert [task.share for task in tasks] == [0, 1, 2]
    driver.reply(tasks[0])
    driver.reply(tasks[2])
    assert driver.answers == dict.fromkeys((3, 4), ("coded", tasks[0], tasks[2]))
    driver = coded(requests=1, coded_s=1)
    driver.finish()
    copies = driver.tasks("coded")
    assert len(copies) == 2
    driver.reply(copies[1])
    assert driver.cancelled == [copies[0]]


def test_a_failed_share_is_sent_again_to_a_worker_outside_its_group() -> None:
    """A failed share is sent again, to a worker without another task of the group."""
    driver = coded()
    first, second, third, fourth = driver.tasks("coded")
    driver.reply(first)
    driver.fail(third)
    again = driver.tasks("coded")[-1]
    assert (again.share, again.attempt, again.requests) == (2, 1, third.requests)
    assert driver.avoided[again.id] == (third, second, fourth)
    driver.reply(again)
    driver.reply(fourth)
    assert driver.answers[0] == ("coded", first, again, fourth)


def test_a_refused_share_goes_to_any_worker() -> None:
    """If no worker is left without a task of the group, a share may go to any worker."""
    driver = coded()
    last = driver.tasks("coded")[3]
    driver.fail(last, "refused")
    assert driver.avoided[driver.tasks("coded")[-1].id] == ()


def fail_for_good(driver: ByHand, share: int) -> None:
    """Fail all tasks of a share."""
    while tasks := [task for task in driver.tasks("coded") if task.share == share]:
        driver.fail(tasks[0], "deadline")


@pytest.mark.parametrize("name", CODED)
def test_a_group_fails_when_k_replies_can_no_longer_come(name: str) -> None:
    """One share may fail for good (three times); with a second the group fails, and its other tasks are cancelled."""
    driver = coded(name)
    driver.reply(driver.tasks("coded")[0])
    fail_for_good(driver, 1)
    assert max(task.attempt for task in driver.ever_sent) == 2
    assert driver.failures == {}
    (left,) = [task for task in driver.tasks("coded") if task.share == 3]
    fail_for_good(driver, 2)
    assert driver.failures == dict.fromkeys(range(3), "deadline")
    assert driver.cancelled == [left]


def test_nercc_is_answered_from_what_is_there_after_its_time() -> None:
    """A group is answered `coded_after` seconds after it was sent from the replies that have come."""
    driver = coded("nercc", coded_after=0.5)
    first, *_ = driver.tasks("coded")
    driver.reply(first, now=0.1)
    driver.wake()
    assert driver.now == pytest.approx(0.5)
    assert driver.answers == dict.fromkeys(range(3), ("coded", first))
    assert len(driver.cancelled) == 3


def test_nercc_without_any_reply_in_its_time_is_answered_from_the_first() -> None:
    """If no reply has come after `coded_after`, the first one answers; a full set before that answers at once."""
    driver = coded("nercc", coded_after=0.5)
    tasks = driver.tasks("coded")
    driver.wake()
    assert driver.answers == {}
    driver.reply(tasks[2], now=0.7)
    assert driver.answers[1] == ("coded", tasks[2])
    driver = coded("nercc", coded_after=0.5)
    for task in driver.tasks("coded")[:3]:
        driver.reply(task, now=0.1)
    assert len(driver.answers) == 3
    driver.wake()


def test_nercc_with_a_time_makes_do_with_what_its_lost_tasks_left() -> None:
    """With `coded_after`, a group whose other tasks have all failed for good is answered from the one that is left."""
    driver = coded("nercc", coded_after=9.0)
    first, *_ = driver.tasks("coded")
    for share in (1, 2, 3):
        fail_for_good(driver, share)
    assert driver.failures == {}
    driver.reply(first)
    assert driver.answers == {}
    driver.wake()
    assert driver.answers[2] == ("coded", first)
    driver = coded("nercc", coded_after=9.0)
    driver.reply(driver.tasks("coded")[0])
    for share in (1, 2, 3):
        fail_for_good(driver, share)
    assert len(driver.answers) == 3


def outputs_of(scheme: Scheme, images: list[np.ndarray], model: np.ndarray, shares: list[int]) -> list[np.ndarray]:
    """Encode a group, let a linear model serve some shares, and decode each request's answer."""
    requests = tuple(Request(i, i, 0.0) for i in range(len(images)))
    replies = []
    for share in shares:
        task = Task(share, "coded", requests, 0, share)
        encoded = scheme.encode(task, images, (4, 4, 3))
        assert (encoded.shape, encoded.dtype) == ((1, 4, 4, 3), np.float32)
        replies.append((task, encoded.reshape(1, -1) @ model))
    return [scheme.decode(request, replies) for request in requests]


@pytest.mark.parametrize("name", CODED)
def test_equal_images_are_answered_exactly_whatever_is_lost(name: str) -> None:
    """Both codes restore a group of equal images under a linear model, from any k of k + 1 shares."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    model = rng.normal(size=(48, 10)).astype(np.float32) / 255
    for lost in range(9):
        shares = [share for share in range(9) if share != lost]
        for answer in outputs_of(make(name, {}), [image] * 8, model, shares):
            np.testing.assert_allclose(answer, image.reshape(-1).astype(np.float32) @ model, atol=1e-4)


@pytest.mark.parametrize("name", CODED)
def test_two_images_of_a_linear_model_are_restored_and_told_apart(name: str) -> None:
    """At k = 2 both codes are exact for a linear model, and each request gets its own output."""
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(2)]
    model = rng.normal(size=(48, 10)).astype(np.float32) / 255
    for shares in ([0, 1], [0, 2], [2, 1]):
        for answer, image in zip(outputs_of(make(name, {}), images, model, shares), images, strict=True):
            np.testing.assert_allclose(answer, image.reshape(-1).astype(np.float32) @ model, atol=1e-4)


def test_a_group_of_one_is_copies_of_its_image() -> None:
    """A single request is coded into s + 1 tasks with the image itself."""
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for name in CODED:
        for share in range(3):
            task = Task(0, "coded", (Request(0, 0, 0.0),), 0, share)
            np.testing.assert_array_equal(make(name, {"coded_s": 2}).encode(task, [image], (4, 4, 3))[0], image)


@pytest.mark.parametrize("name", CODED)
def test_coded_schemes_use_all_workers_and_need_one_for_each_share(name: str) -> None:
    """All workers serve the coded model; a fleet of fewer than k + s workers is refused."""
    assert make(name, {}).allot(12) == {"coded": 12}
    with pytest.raises(UsageError, match=r"9 workers, not 8"):
        make(name, {}).allot(8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("approxifer", {"coded_k": 0}),
        ("approxifer", {"coded_s": -1}),
        ("approxifer", {"coded_after": 0.5}),
        ("approxifer", {"flush": "soon"}),
        ("nercc", {"coded_after": -0.5}),
        ("nercc", {"smooth_encode": -1e-3}),
        ("nercc", {"smooth_decode": float("inf")}),
    ],
)
def test_senseless_options_of_coded_schemes_are_refused(name: str, options: dict[str, object]) -> None:
    """An option out of range, or one that only the other scheme has, is refused when the scheme is made."""
    with pytest.raises(UsageError):
        make(name, options)

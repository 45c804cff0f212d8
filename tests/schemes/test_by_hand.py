"""The driver for tests by hand: impossible events and wrong actions are refused with a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import pytest

from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.plain import NoRedundancy
from collagebench.schemes.protocol import Action, Answer, Cancel, Fail, Keep, Request, Send, Task, Wake


def answered() -> ByHand:
    """Return a driver of a replicated request that its second copy has answered."""
    driver = ByHand(make("replication", {}))
    driver.arrive()
    driver.reply(driver.tasks()[1])
    return driver


@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("event", [ByHand.begin, ByHand.reply, ByHand.fail])
def test_a_task_that_no_worker_has_is_not_heard_of(copy: int, event: Callable[..., None]) -> None:
    """The driver refuses events of a task that was served or cancelled, because no engine would send them."""
    driver = answered()
    with pytest.raises(AssertionError, match="no worker has that task: it was served, failed or cancelled"):
        event(driver, driver.ever_sent[copy])


def test_a_scheme_that_asked_for_no_wake_is_not_woken() -> None:
    """The driver refuses to wake a scheme that did not ask for it."""
    with pytest.raises(AssertionError, match="no wake is asked for"):
        answered().wake()


class Remembers(NoRedundancy):
    """Keeps its first reply, and answers all later requests from it."""

    kept: Task | None = None

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Answer from the reply that is kept, if there is one."""
        return [Answer(request, "replica", (self.kept,))] if self.kept else super().arrived(request, now)

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Keep the reply."""
        self.kept = task
        return [Keep(task, None), *super().replied(task, now)]


def test_an_answer_may_come_from_a_reply_that_was_kept_for_later() -> None:
    """A kept reply may answer another request than its own, as in the engines."""
    driver = ByHand(Remembers())
    first = driver.arrive()
    (task,) = driver.tasks()
    driver.reply(task)
    second = driver.arrive()
    assert driver.answers == {first.id: ("own", task), second.id: ("replica", task)}


FIRST, OTHER = Request(0, 0, 0.0), Request(0, 1, 0.0)
"""The first request of a driver, and one with another image."""


class Says(NoRedundancy):
    """Returns something else than a list of actions for an arrival."""

    said: Any = None

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Return what the test has set."""
        said: list[Action] = self.said
        return said


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (None, "an event is answered with a list of actions"),
        (["wait"], "'wait' is not an action"),
        ([Wake(0, math.nan)], "the time of a wake is a number, not nan"),
        ([Wake(0, "soon")], "the time of a wake is a number, not 'soon'"),  # type: ignore[arg-type]
        ([Send(Task(0, "singel", (FIRST,), 0))], "no worker is asked for in allot for a 'singel' task"),
        ([Send(Task(0, "single", (OTHER,), 0))], "a task is for requests as they arrived"),
        ([Send(Task(0, "single", (FIRST, FIRST), 0))], r"at most as many requests as its batch\(\) says, 1"),
        ([Send(Task(0, "single", (FIRST,), 0)), Send(Task(0, "single", (FIRST,), 1))], "a task is sent once"),
        ([Cancel(Task(5, "single", (FIRST,), 0))], "only a task that was sent is cancelled"),
        ([Answer(OTHER, "default", ())], "the request that arrived is answered, and no other"),
        ([Answer(FIRST, "copy", ())], "the source of an answer is one of own, replica, hedge, "),
        ([Fail(OTHER, "lost")], "the request that arrived fails, and no other"),
    ],
)
def test_what_is_no_action_is_said(said: Any, sentence: str) -> None:
    """What an engine refuses is refused here: no list of actions, and actions on what is not there."""
    scheme = Says()
    scheme.said = said
    with pytest.raises(AssertionError, match=sentence):
        ByHand(scheme).arrive()


@pytest.mark.parametrize("counts", [None, {}, {"single": 0}, {"single": 0.5}, ["single"]], ids=repr)
def test_an_allotment_is_counts_by_role(counts: Any) -> None:
    """A scheme whose `allot` does not say how many workers serve each role is refused before its first event."""

    class Mine(NoRedundancy):
        def allot(self, workers: int) -> dict[str, int]:
            allotted: dict[str, int] = counts
            return allotted

    with pytest.raises(AssertionError, match="allot says how many workers serve each role, not"):
        ByHand(Mine())


def test_the_workers_that_a_scheme_has_noted_stay_noted() -> None:
    """The driver asks another object for the roles, so that a test may say how many workers the scheme has."""

    class Mine(NoRedundancy):
        noted = 0

        def allot(self, workers: int) -> dict[str, int]:
            self.noted = workers
            return super().allot(workers)

    scheme = Mine()
    scheme.allot(4)
    assert ByHand(scheme).roles == {"single"}
    assert scheme.noted == 4


def test_a_wake_at_infinity_never_comes() -> None:
    """A wake at an infinite time is dropped, as in the engines."""
    scheme = Says()
    scheme.said = [Wake(0, math.inf)]
    driver = ByHand(scheme)
    driver.arrive()
    assert driver.wakes == []

"""A scheme driven by hand: what a test does that cannot be, and what a scheme does, is said in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.plain import NoRedundancy
from collagebench.schemes.protocol import Action, Request, Wake


def answered() -> ByHand:
    """Return a driver of two copies, of which the second has answered."""
    driver = ByHand(make("replication", {}))
    driver.arrive()
    driver.reply(driver.tasks()[1])
    return driver


@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("event", [ByHand.reply, ByHand.fail])
def test_a_task_that_no_worker_has_is_not_heard_of(copy: int, event: Callable[..., None]) -> None:
    """Neither one that was served nor one that was cancelled: engines tell nothing more of it."""
    driver = answered()
    with pytest.raises(AssertionError, match="no worker has that task: it was served, failed or cancelled"):
        event(driver, driver.ever_sent[copy])


def test_a_scheme_that_asked_for_no_wake_is_not_woken() -> None:
    """That would be a test of nothing."""
    with pytest.raises(AssertionError, match="no wake is asked for"):
        answered().wake()


class Says(NoRedundancy):
    """Answers an arrival with something else."""

    said: Any = None

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Return what it is to say."""
        said: list[Action] = self.said
        return said


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (None, "an event is answered with a list of actions"),
        (["wait"], "'wait' is no action"),
        ([Wake(0, math.nan)], "the time of a wake is a number"),
    ],
)
def test_what_is_no_action_is_said(said: Any, sentence: str) -> None:
    """An event is answered with a list of actions, and a wake has a time."""
    scheme = Says()
    scheme.said = said
    with pytest.raises(AssertionError, match=sentence):
        ByHand(scheme).arrive()


def test_a_wake_at_infinity_never_comes() -> None:
    """As in the engines."""
    scheme = Says()
    scheme.said = [Wake(0, math.inf)]
    driver = ByHand(scheme)
    driver.arrive()
    assert driver.wakes == []

"""The pacer makes calls at given times, on both event loops, with the kernel's timer and without."""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from collagebench.engine import pacer as module
from collagebench.engine.event_loop import complete
from collagebench.engine.pacer import Pacer

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["the client's loop", "asyncio's loop", "without the kernel's timer"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a coroutine in which a pacer works."""
    if request.param == "the client's loop":
        return complete
    if request.param == "without the kernel's timer":
        monkeypatch.setattr(module, "Alarm", module.LoopAlarm)
    return asyncio.run


@pytest.mark.parametrize("exact", [False, True])
def test_calls_come_in_order_of_time_and_never_early(run: Run, exact: bool) -> None:
    """Calls are made in the order of their times and never early, in whatever order they were requested."""

    async def course() -> list[tuple[float, float]]:
        pacer = Pacer(asyncio.get_running_loop())
        start = time.perf_counter()
        came: list[tuple[float, float]] = []
        done = asyncio.Event()
        times = [-0.5, 0.0, *(0.001 * number for number in range(1, 60))]

        def call(at: float) -> None:
            came.append((at, time.perf_counter() - start))
            if len(came) == len(times):
                done.set()

        for at in random.Random(0).sample(times, len(times)):
            pacer.at(start + at, lambda at=at: call(at), exact)
        await done.wait()
        pacer.close()
        return came

    came = run(course())
    assert [at for at, _ in came if at >= 0.01] == sorted(at for at, _ in came if at >= 0.01)
    assert all(now >= at for at, now in came)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("at", [-1.0, -1e9, -math.inf])
def test_a_call_whose_time_has_passed_is_made_at_once(run: Run, exact: bool, at: float) -> None:
    """A call for a time that has passed is made without waiting for the next one, which is due in an hour."""

    async def course() -> list[str]:
        pacer = Pacer(asyncio.get_running_loop())
        came: list[str] = []
        done = asyncio.Event()
        now = time.perf_counter()
        pacer.at(now + 3600, lambda: came.append("in an hour"))
        pacer.at(now + at, lambda: (came.append("passed"), done.set()), exact)
        await asyncio.wait_for(done.wait(), 60)
        pacer.close()
        return came

    assert run(course()) == ["passed"]


def test_a_call_may_ask_for_the_next(run: Run) -> None:
    """Calls requested while another call runs are made too, in the order of their times."""

    async def course() -> list[str]:
        pacer = Pacer(asyncio.get_running_loop())
        came: list[str] = []
        done = asyncio.Event()

        def first() -> None:
            came.append("first")
            now = time.perf_counter()
            pacer.at(now + 0.03, lambda: (came.append("third"), done.set()))
            pacer.at(now + 0.01, lambda: came.append("second"))

        pacer.at(time.perf_counter() + 0.01, first)
        await done.wait()
        pacer.close()
        return came

    assert run(course()) == ["first", "second", "third"]


def test_cleared_calls_never_come(run: Run) -> None:
    """After `clear`, only calls requested since then are made."""

    async def course() -> list[str]:
        pacer = Pacer(asyncio.get_running_loop())
        came: list[str] = []
        done = asyncio.Event()
        pacer.at(time.perf_counter() + 0.02, lambda: came.append("cleared"))
        pacer.clear()
        pacer.at(time.perf_counter() + 0.04, done.set)
        await done.wait()
        pacer.close()
        return came

    assert run(course()) == []


def test_a_call_that_fails_does_not_stop_the_others(run: Run) -> None:
    """An exception in a call goes to the loop's exception handler, and later calls are still made."""

    async def course() -> list[str]:
        told: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(str(context["exception"])))
        pacer = Pacer(loop)
        done = asyncio.Event()

        def fail() -> None:
            raise ValueError("it failed")

        pacer.at(time.perf_counter() + 0.01, fail)
        pacer.at(time.perf_counter() + 0.01, done.set)
        await done.wait()
        pacer.close()
        return told

    assert run(course()) == ["it failed"]


@pytest.mark.parametrize("far", [1e11, 1e300, math.inf])
def test_a_call_in_the_far_future_does_not_disturb_the_others(run: Run, far: float) -> None:
    """A call for a time beyond the range of the kernel's timer is no error, and the calls before it are made."""

    async def course() -> tuple[list[str], list[Any]]:
        loop = asyncio.get_running_loop()
        told: list[Any] = []
        loop.set_exception_handler(lambda loop, context: told.append(context))
        pacer = Pacer(loop)
        came: list[str] = []
        done = asyncio.Event()
        pacer.at(far, lambda: came.append("far"))
        pacer.at(time.perf_counter() + 0.01, lambda: (came.append("near"), done.set()))
        await done.wait()
        pacer.close()
        return came, told

    assert run(course()) == (["near"], [])


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's timer and /proc are Linux's")
def test_a_closed_pacer_leaves_no_file_open() -> None:
    """`close` closes the file descriptor of the kernel's timer."""

    async def course() -> tuple[int, int, int]:
        before = len(os.listdir("/proc/self/fd"))
        pacer = Pacer(asyncio.get_running_loop())
        pacer.at(time.perf_counter() + 10, lambda: None)
        between = len(os.listdir("/proc/self/fd"))
        pacer.close()
        return before, between, len(os.listdir("/proc/self/fd"))

    before, between, after = asyncio.run(course())
    assert (between, after) == (before + 1, before)

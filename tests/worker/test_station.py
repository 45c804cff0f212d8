"""A worker's queue: its order, its injected delays, and which tasks a cancel can reach."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from collagebench.stragglers.service import Mode
from collagebench.worker.station import LEAST, SPIN, Served, Station, Work, serve, wait_until

PIXELS = np.zeros((1, 1, 1, 3), np.uint8)


class Model:
    """A model that records which tasks it ran, and runs until it is released."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.began = threading.Event()
        self.go = threading.Event()

    def work(self, task: int) -> Work:
        """Return the work of one task."""

        def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            self.ran.append(task)
            self.began.set()
            assert self.go.wait(10)
            return np.full((1, 1), task, np.float32)

        return Work(infer, PIXELS, None, 0.0)


async def queued(station: Station, work: Work) -> asyncio.Task[Served]:
    """Return a task whose work is in the queue."""
    task = asyncio.create_task(station.serve(work, time.perf_counter()))
    await asyncio.sleep(0)  # its first step queues the work
    return task


def test_a_cancelled_task_that_was_queued_never_runs() -> None:
    """A task that is cancelled while it queues is skipped, and the one behind it runs."""

    async def main() -> None:
        model, station = Model(), Station()
        first, second, third = [await queued(station, model.work(task)) for task in (1, 2, 3)]
        await asyncio.to_thread(model.began.wait, 10)
        second.cancel()
        await asyncio.wait([second])
        model.go.set()
        await asyncio.wait_for(asyncio.gather(first, third), 10)
        assert second.cancelled()
        assert model.ran == [1, 3]

    asyncio.run(main())


def test_a_cancelled_task_that_is_in_service_is_not_interrupted() -> None:
    """A task that is cancelled in service runs to its end before the next one begins."""

    async def main() -> None:
        model, station = Model(), Station()
        first, second = [await queued(station, model.work(task)) for task in (1, 2)]
        await asyncio.to_thread(model.began.wait, 10)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert model.ran == [1], "the second began while the first still ran"
        model.go.set()
        served = await asyncio.wait_for(second, 10)
        assert model.ran == [1, 2]
        assert served.outputs is not None

    asyncio.run(main())


def test_tasks_are_served_in_the_order_they_came_and_one_at_a_time() -> None:
    """Tasks are served one at a time, in the order in which they came."""

    async def main() -> None:
        station = Station()
        work = Work(None, None, "floor", 0.01)
        arrived = time.perf_counter()
        tasks = [asyncio.create_task(station.serve(work, arrived)) for _ in range(5)]
        served = await asyncio.gather(*tasks)
        for before, after in pairwise(served):
            assert after.queue >= before.queue + before.service

    asyncio.run(main())


@pytest.mark.parametrize(
    ("mode", "amount", "least"), [("floor", 0.03, 0.03), ("add", 0.02, 0.03), ("scale", 3.0, 0.03)]
)
def test_a_task_is_as_slow_as_it_was_asked_to_be(mode: Mode, amount: float, least: float) -> None:
    """An inference of 10 ms takes at least what each mode makes of it, and the injected part is reported."""

    def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        wait_until(time.perf_counter() + 0.01)
        return np.zeros((1, 1), np.float32)

    began = time.perf_counter()
    served = serve(Work(infer, PIXELS, mode, amount), began)
    assert served.compute >= 0.01
    assert served.service >= least
    assert served.service == pytest.approx(served.compute + served.injected, abs=1e-9)
    assert time.perf_counter() - began >= served.service


def test_a_floor_below_the_inference_itself_injects_nothing() -> None:
    """Nothing is injected if the inference takes longer than the floor."""

    def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        wait_until(time.perf_counter() + 0.1)
        return np.zeros((1, 1), np.float32)

    served = serve(Work(infer, PIXELS, "floor", 0.001), time.perf_counter())
    assert served.injected < served.compute / 2


def test_a_wait_never_ends_early() -> None:
    """A wait never returns before its moment."""
    for wait in (-1.0, 0.0, 0.0001, 0.001, 0.005):
        moment = time.perf_counter() + wait
        assert wait_until(moment) >= moment


def test_a_wait_sleeps_up_to_shortly_before_its_end_and_then_in_the_shortest_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wait is one sleep that ends shortly before the moment, and then sleeps of the shortest length."""
    clock, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += max(seconds, 5e-5)  # what the shortest sleep takes

    there = SimpleNamespace(perf_counter=lambda: clock[0], sleep=sleep)
    monkeypatch.setattr("collagebench.worker.station.time", there)
    ended = wait_until(100.01)
    assert 100.01 <= ended == clock[0] < 100.01 + 1e-4
    assert slept[0] == pytest.approx(0.01 - SPIN)
    assert 5 <= len(slept[1:]) <= 7
    assert set(slept[1:]) == {LEAST}
    assert 0 < LEAST < 5e-5
    assert wait_until(ended) == ended
    assert len(slept) <= 8

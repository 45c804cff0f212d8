"""The pacer keeps its times."""

from __future__ import annotations

import asyncio
import time

from collagebench.engine.pacer import Pacer


def test_calls_come_in_order_of_time_and_never_early() -> None:
    """Whatever the order of asking, calls run at their times, in the order of time, on the loop's thread."""

    async def course() -> list[tuple[float, float]]:
        pacer = Pacer(asyncio.get_running_loop())
        start = time.perf_counter()
        came: list[tuple[float, float]] = []
        done = asyncio.Event()

        def call(at: float) -> None:
            came.append((at, time.perf_counter() - start))
            if len(came) == 4:
                done.set()

        for at in (0.03, 0.01, 0.04, 0.02):
            pacer.at(start + at, lambda at=at: call(at))
        await done.wait()
        pacer.close()
        return came

    came = asyncio.run(course())
    assert [at for at, _ in came] == [0.01, 0.02, 0.03, 0.04]
    assert all(now >= at for at, now in came)


def test_cleared_calls_never_come() -> None:
    """After `clear` only what was asked for since then runs."""

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

    assert asyncio.run(course()) == []

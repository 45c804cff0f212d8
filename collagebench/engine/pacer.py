"""A clock that calls an event loop's functions at the right moment, closer than the loop's own timers can.

An event loop's timer has a resolution of a millisecond or so, which a hedge delay or an arrival must not be off by. A
thread that waits on a condition costs nothing while it waits and hands the call over to the loop, 0.2 to 0.4 ms late.
Where that is too late, it wakes the loop a little earlier, and the loop asks the clock between its other business.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections.abc import Callable
from functools import partial

EARLY = 0.0006
"""Seconds before its time from which an exact call is waited for by asking the clock."""


class Pacer:
    """Runs functions on `loop` at given times of `time.perf_counter`, never before; to be closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="pacer", daemon=True)
        self._thread.start()

    def at(self, when: float, call: Callable[[], None], exact: bool = False) -> None:
        """Have `call` run on the loop at `when`, in seconds of `time.perf_counter`; `exact` costs some of its time."""
        if exact:
            due = when
            when -= EARLY
            call = partial(self._spin, due, call)
        with self._changed:
            self._order += 1
            heapq.heappush(self._due, (when, self._order, call))
            if self._due[0][1] == self._order:
                self._changed.notify()

    def clear(self) -> None:
        """Forget every call that is not due yet."""
        with self._changed:
            self._due.clear()

    def close(self) -> None:
        """End the thread; what is not due yet is forgotten."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _spin(self, when: float, call: Callable[[], None]) -> None:
        if time.perf_counter() < when:
            self._loop.call_soon(self._spin, when, call)
        else:
            call()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - time.perf_counter() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                else:
                    self._loop.call_soon_threadsafe(heapq.heappop(self._due)[2])

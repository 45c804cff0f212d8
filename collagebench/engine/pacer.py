"""A timer that calls functions on an event loop more exactly than the loop's own timers do.

An event loop's timer has a resolution of about a millisecond, which is too coarse for an arrival or a hedge delay. The
kernel's timer (timerfd) is a file that becomes readable at its time, as exactly as the kernel wakes any process. The
loop watches it like a socket, and is about 0.1 ms late. If that is too late, the timer is set slightly earlier, and the
loop polls the clock between its other events. A waiting thread would not do: it would first have to get the interpreter
lock, which takes milliseconds if the loop is busy.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import math
import os
import sys
import time
from collections.abc import Callable
from functools import partial

EARLY = 0.0002
"""Seconds before the time of an exact call at which the loop begins to poll the clock."""
FURTHEST = 1e9
"""The latest time in seconds for which the kernel's timer is set, after 31 years; a much later one would not fit it."""


class Pacer:
    """Runs functions on `loop` at given times of `time.perf_counter`, never before; it must be closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._alarm = Alarm(loop, self._ring)

    def at(self, when: float, call: Callable[[], None], exact: bool = False) -> None:
        """Run `call` on the loop at `when`, in seconds of `time.perf_counter`; `exact` polls the clock before."""
        if exact:
            due = when
            when -= EARLY
            call = partial(self._spin, due, call)
        self._order += 1
        heapq.heappush(self._due, (when, self._order, call))
        if self._due[0][1] == self._order:
            self._alarm.set(when)

    def clear(self) -> None:
        """Discard all calls that are not due yet."""
        self._due.clear()
        self._alarm.set(math.inf)

    def close(self) -> None:
        """Close the timer, and discard all calls that are not due yet."""
        self._due.clear()
        self._alarm.close()

    def _spin(self, when: float, call: Callable[[], None]) -> None:
        if time.perf_counter() < when:
            self._loop.call_soon(self._spin, when, call)
        else:
            call()

    def _ring(self) -> None:
        while self._due and self._due[0][0] <= time.perf_counter():
            self._loop.call_soon(heapq.heappop(self._due)[2])
        self._alarm.set(self._due[0][0] if self._due else math.inf)


class _Times(ctypes.Structure):
    """The kernel's `itimerspec`."""

    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class KernelAlarm:
    """Linux's timerfd, on the clock of `time.perf_counter`; Python has its own interface only from 3.13 on."""

    _ABSOLUTE = 1

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "no timer could be created")
        loop.add_reader(self._file, ring)

    def set(self, when: float) -> None:
        """Ring at `when`, at once if that has passed, and never at infinity; this replaces an earlier setting."""
        nanoseconds = 0 if when == math.inf else max(math.ceil(min(max(when, 0.0), FURTHEST) * 1e9), 1)
        seconds, rest = divmod(nanoseconds, 10**9)
        self._libc.timerfd_settime(self._file, self._ABSOLUTE, ctypes.byref(_Times(0, 0, seconds, rest)), None)

    def close(self) -> None:
        """Close the file."""
        self._loop.remove_reader(self._file)
        os.close(self._file)


class LoopAlarm:
    """The same with the loop's own timers, for systems without timerfd."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """Ring at `when`; this replaces an earlier setting."""
        self.close()
        if when < math.inf:
            self._handle = self._loop.call_later(max(0.0, when - time.perf_counter()), self._ring)

    def close(self) -> None:
        """Cancel the timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


Alarm = KernelAlarm if sys.platform == "linux" else LoopAlarm

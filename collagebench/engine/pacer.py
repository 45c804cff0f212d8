"""A clock that calls an event loop's functions at the right moment, closer than the loop's own timers can.

An event loop's timer has a resolution of a millisecond or so, which a hedge delay or an arrival must not be off by. The
kernel's timer (timerfd) is a file that becomes readable at its time, as exactly as the kernel wakes anybody; the loop
watches it beside its sockets, and is 0.1 ms late or so. Where that is too late, the timer is set a little earlier, and
the loop asks the clock between its other business. A thread that waited in its stead would have to be given the
interpreter first, which takes milliseconds when the loop is busy.
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
"""Seconds before its time from which an exact call is waited for by asking the clock."""


class Pacer:
    """Runs functions on `loop` at given times of `time.perf_counter`, never before; to be closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._alarm = Alarm(loop, self._ring)

    def at(self, when: float, call: Callable[[], None], exact: bool = False) -> None:
        """Have `call` run on the loop at `when`, in seconds of `time.perf_counter`; `exact` costs some of its time."""
        if exact:
            due = when
            when -= EARLY
            call = partial(self._spin, due, call)
        self._order += 1
        heapq.heappush(self._due, (when, self._order, call))
        if self._due[0][1] == self._order:
            self._alarm.set(when)

    def clear(self) -> None:
        """Forget every call that is not due yet."""
        self._due.clear()
        self._alarm.set(math.inf)

    def close(self) -> None:
        """Let go of the timer; what is not due yet is forgotten."""
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
    """Linux's timerfd, of the clock that `time.perf_counter` is there; Python itself has it from 3.13 on."""

    _ABSOLUTE = 1

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "no timer could be created")
        loop.add_reader(self._file, ring)

    def set(self, when: float) -> None:
        """Ring at `when`, at once if that has passed, and never at infinity; an earlier setting is forgotten."""
        seconds, rest = (0, 0) if when == math.inf else divmod(max(math.ceil(when * 1e9), 1), 10**9)
        self._libc.timerfd_settime(self._file, self._ABSOLUTE, ctypes.byref(_Times(0, 0, seconds, rest)), None)

    def close(self) -> None:
        """Give the file back."""
        self._loop.remove_reader(self._file)
        os.close(self._file)


class LoopAlarm:
    """The same from the loop's own timers, where there is no better one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """Ring at `when`; an earlier setting is forgotten."""
        self.close()
        if when < math.inf:
            self._handle = self._loop.call_later(max(0.0, when - time.perf_counter()), self._ring)

    def close(self) -> None:
        """Never ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


Alarm = KernelAlarm if sys.platform == "linux" else LoopAlarm

"""Running a coroutine as a measurement needs it: a fast loop, threads that give way, a Ctrl-C that tidies up first.

And ahead of all others while it measures: the client has little to do, but at the right moment. Where the workers share
its cores, the kernel lets it wait for one of them for some milliseconds, unless it has real-time priority.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from collagebench.errors import Interrupted
from collagebench.interrupts import ending

SWITCH_INTERVAL = 0.0005
"""Seconds one thread of the client may keep the others waiting for the interpreter, where Python's default is 0.005."""

Result = TypeVar("Result")


def complete(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on uvloop where there is one; the first signal to end cancels it, so that it can tidy up.

    Raises:
        Interrupted: it was cancelled.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        return _complete(main)
    finally:
        sys.setswitchinterval(interval)
        main.close()  # says that it was meant if a Ctrl-C came before it began; otherwise it has ended


def is_ahead() -> bool:
    """Whether this thread has real-time priority."""
    scheduled = _scheduled()
    return scheduled is not None and scheduled[0] & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO


def is_nice() -> bool:
    """Whether this process was started to give way to others."""
    try:
        return os.getpriority(os.PRIO_PROCESS, 0) > 0
    except (AttributeError, OSError):
        return False


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """Give this thread the least real-time priority, where that is allowed.

    Threads and processes that it starts meanwhile have none. Who was started to be nice to others, or with a policy
    that is not the usual one or cannot be known, stays so.
    """
    scheduled = _scheduled()
    if is_nice() or scheduled is None or scheduled[0] & ~os.SCHED_RESET_ON_FORK != os.SCHED_OTHER:
        yield
        return
    policy, parameters = scheduled
    with contextlib.suppress(OSError):
        least = os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO))
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, least)
    try:
        yield
    finally:
        for kept in (policy, policy | os.SCHED_RESET_ON_FORK):  # not everybody may take that back
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, kept, parameters)
                break


def _scheduled() -> tuple[int, os.sched_param] | None:
    """Return this thread's scheduling policy and its parameters; None where they cannot be known, or not be changed.

    The C library or a filter of system calls may refuse to tell; and without SCHED_RESET_ON_FORK, all that is started
    would be ahead as well.
    """
    if not hasattr(os, "SCHED_RESET_ON_FORK"):
        return None
    try:
        return os.sched_getscheduler(0), os.sched_getparam(0)
    except OSError:
        return None


def _complete(main: Coroutine[Any, Any, Result]) -> Result:
    try:
        import uvloop

        loop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    task = loop.create_task(main)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:  # tidying up takes seconds at most; a second signal must not cut it short
            stopped = True
            task.cancel()

    numbers = ending()
    previous = [signal.getsignal(number) for number in numbers]
    try:
        for number in numbers:
            loop.add_signal_handler(number, stop)
        result: Result = loop.run_until_complete(task)
        return result
    except asyncio.CancelledError:
        raise Interrupted("interrupted") from None
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        for number, handler in zip(numbers, previous, strict=True):
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        loop.close()

"""Running a coroutine for a measurement: a fast event loop, quick thread switches, and cleanup after Ctrl-C.

While it measures, the client also takes real-time priority. It has little to do, but must do it at the right time. If
workers share its cores, the kernel could otherwise let it wait some milliseconds for one of them.
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
"""Seconds for which a thread of the client may hold the interpreter while others wait; Python's default is 0.005."""

Result = TypeVar("Result")


def complete(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine, on uvloop if it is installed; the first signal to end cancels it, so that it can clean up.

    Raises:
        Interrupted: it was cancelled.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        return _complete(main)
    finally:
        sys.setswitchinterval(interval)
        main.close()  # no warning about a coroutine that never ran, if a Ctrl-C came before it began


def is_ahead() -> bool:
    """Return whether this thread has real-time priority."""
    scheduled = _scheduled()
    return scheduled is not None and scheduled[0] & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO


def is_nice() -> bool:
    """Return whether this process was started with a lower priority than usual (`nice`)."""
    try:
        return os.getpriority(os.PRIO_PROCESS, 0) > 0
    except (AttributeError, OSError):
        return False


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """Give this thread the lowest real-time priority in the block, where that is allowed.

    Threads and processes that it starts meanwhile do not inherit it. The priority is left as it is if the process was
    started with `nice`, or with a scheduling policy that is not the usual one or is unknown.
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
        for kept in (policy, policy | os.SCHED_RESET_ON_FORK):  # clearing that flag needs a permission
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, kept, parameters)
                break


def _scheduled() -> tuple[int, os.sched_param] | None:
    """Return this thread's scheduling policy and its parameters; None if they are unknown or must not be changed.

    The C library or a system call filter may refuse the call. Without SCHED_RESET_ON_FORK, the workers would inherit
    the priority.
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
        if not stopped:  # cleanup takes seconds at most, and a second signal must not cut it short
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

"""Requests to stop: Ctrl-C, SIGTERM from the parent process, or SIGHUP when the terminal closes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from collagebench.errors import Interrupted


def ending() -> list[signal.Signals]:
    """Return the signals that ask the process to end.

    Signals that the process was started to ignore are left out: SIGHUP under nohup, SIGINT in the background of a
    script.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def interruptions() -> Iterator[threading.Event]:
    """Yield an event that a Ctrl-C, SIGTERM or SIGHUP sets, instead of its usual effect.

    Outside the main thread, nothing sets it.
    """
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only it may set signal handlers
        yield told
        return

    def tell(number: int, frame: object) -> None:
        told.set()

    numbers = ending()
    previous = [signal.signal(number, tell) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Make SIGTERM and SIGHUP act like a Ctrl-C: raise KeyboardInterrupt, wherever the main thread is.

    It is for work that cannot check the event of `interruptions`, and that starts no processes, which would inherit the
    handlers. Inside `interruptions`, it restores this effect of a Ctrl-C, too.

    Raises:
        Interrupted: the interrupt was not handled inside, or a library being loaded turned it into another error.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal told
        told = True
        raise KeyboardInterrupt

    numbers = ending()
    previous = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    except Interrupted:  # handled inside, with a more specific message
        raise
    except (KeyboardInterrupt, Exception) as error:
        if told or isinstance(error, KeyboardInterrupt):
            raise Interrupted("interrupted") from None
        raise
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)

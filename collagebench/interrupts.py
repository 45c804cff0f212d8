"""Being told to stop: by a Ctrl-C, by the SIGTERM of whoever started us, or by a terminal that is gone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from collagebench.errors import Interrupted


def ending() -> list[signal.Signals]:
    """Return the signals that ask us to end.

    One that we were started to ignore is none: a terminal's that hangs up under nohup, a Ctrl-C in the background of a
    script.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def interruptions() -> Iterator[threading.Event]:
    """Yield what a Ctrl-C, a SIGTERM or a SIGHUP sets, in place of what it would do.

    Nothing sets it where this is not the main thread.
    """
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # which alone may say what signals do
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
    """Have a SIGTERM and a SIGHUP do what a Ctrl-C does: raise KeyboardInterrupt, wherever the main thread is.

    It is for work that no loop of ours watches, and that starts no processes, which would inherit it. Within
    `interruptions` a Ctrl-C does so, too.

    Raises:
        Interrupted: it was not caught within, or a library that was being loaded made an error of its own of it.
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
    except Interrupted:  # it was caught within, where more is known to say of it
        raise
    except (KeyboardInterrupt, Exception) as error:
        if told or isinstance(error, KeyboardInterrupt):
            raise Interrupted("interrupted") from None
        raise
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)

"""Being told to stop: by a Ctrl-C, or by the SIGTERM of whoever started us."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptions() -> Iterator[threading.Event]:
    """Yield what a Ctrl-C or a SIGTERM sets, in place of what it would do.

    Nothing sets it where this is not the main thread.
    """
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # which alone may say what signals do
        yield told
        return

    def tell(number: int, frame: object) -> None:
        told.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, tell) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)

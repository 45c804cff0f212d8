"""The forkserver's event loop on its only thread: it waits for readable descriptors, signals and timers.

It is not an asyncio loop, because the process forks, and a child must be able to close everything of the loop.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable


class Loop:
    """A selector, a heap of timers, and the descriptors that a forked child must close."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._moments: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._own: set[int] = set()

    def own(self, descriptor: int) -> None:
        """Close this descriptor in every forked child."""
        self._own.add(descriptor)

    def listen(self, descriptor: int, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with data read from the descriptor; at end-of-file with no bytes, and it must then hang up."""
        self._own.add(descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ, heard)

    def hang_up(self, descriptor: int) -> None:
        """Stop listening to a descriptor, and close it."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
        self._own.discard(descriptor)
        os.close(descriptor)

    def heed(self, signs: Iterable[signal.Signals], heard: Callable[[bytes], None]) -> None:
        """Call `heard` from the loop, with the signal's number as a byte, when one of these signals arrives."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self.own(writing)
        self.listen(reading, heard)
        for sign in signs:
            signal.signal(sign, lambda number, frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Call `call` at `moment` (time.monotonic) or soon after."""
        heapq.heappush(self._moments, (moment, next(self._number), call))

    def turn(self, until: float) -> None:
        """Wait for events, but not longer than until `until` (infinity: without limit), and handle them."""
        moment = min(until, self._moments[0][0]) if self._moments else until
        timeout = None if moment == math.inf else max(moment - time.monotonic(), 0.0)
        for key, _ in self._selector.select(timeout):
            if self._selector.get_map().get(key.fd) is key:  # an earlier handler may have closed it
                key.data(os.read(key.fd, 65536))
        while self._moments and self._moments[0][0] <= time.monotonic():
            heapq.heappop(self._moments)[2]()

    def leave(self) -> None:
        """Close everything, standard input and output included; call it in a child that has just been forked.

        The client waits until the forkserver's standard output closes.
        """
        signal.set_wakeup_fd(-1)
        self._selector.close()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.close(nothing)
        for descriptor in self._own - {0}:
            os.close(descriptor)

"""The one server inside a worker: first come, first served, one task at a time, each as slow as it was asked to be.

Tasks wait in the queue of a single thread. A task that still waits can be taken back; one that runs cannot, because a
running inference cannot be interrupted and so the slowness that stands for one must not be either: its thread stays
busy to the end although nobody waits for the answer any more.

Injected time is slept, not computed, up to a fraction of a millisecond before its end; the rest is slept in the
shortest steps there are (some 50 µs on Linux), asking the clock after each. Asking it without a pause would be more
exact only until the scheduler takes the core away for it, and would hold up the thread that talks gRPC.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.stragglers.service import Mode, service_time
from collagebench.worker.inference import Infer

SPIN = 0.0003
"""Seconds before the end of a wait from which the clock is asked instead of slept: more than a sleep overshoots by."""

LEAST = 1e-6
"""Seconds that are a sleep on every version of Python; none at all is only a call of the system on some."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a task asks of the worker."""

    infer: Infer | None
    pixels: NDArray[np.uint8] | None
    mode: Mode | None
    amount: float


@dataclass(frozen=True, slots=True)
class Served:
    """What became of it; all times in seconds."""

    outputs: NDArray[np.float32] | None
    queue: float
    compute: float
    injected: float
    service: float


class Station:
    """A queue and the thread that serves it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="station")
        self._thread.submit(time.perf_counter).result()  # so that the first task does not wait for the thread's start

    async def serve(self, work: Work, arrived: float) -> Served:
        """Queue `work`, which came in at `arrived` (perf_counter), and return what it gave.

        Cancelling this while the work is queued takes it out of the queue; after that it only stops waiting.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, serve, work, arrived)


def serve(work: Work, arrived: float) -> Served:
    """Do `work` now and return once its whole service time has passed."""
    began = time.perf_counter()
    outputs, computed = None, began
    if work.infer is not None and work.pixels is not None:
        outputs = work.infer(work.pixels)
        computed = time.perf_counter()
    compute = computed - began
    ended = computed
    if work.mode is not None:
        ended = wait_until(began + service_time(work.mode, compute, work.amount))
    return Served(outputs, began - arrived, compute, ended - computed, ended - began)


def wait_until(moment: float) -> float:
    """Return the time (perf_counter), as soon as it is `moment` or later."""
    while (left := moment - (now := time.perf_counter())) > 0:
        time.sleep(max(left - SPIN, LEAST))
    return now

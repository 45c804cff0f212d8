"""The single server inside a worker: first come, first served, one task at a time, with injected slowness.

Tasks wait in the queue of a single thread. A waiting task can be cancelled; a running one cannot. A running inference
cannot be interrupted, so injected slowness, which stands for one, must not be either: the thread stays busy to the end,
even if nobody waits for the answer any more.

Injected time is spent sleeping, not computing: one sleep until a fraction of a millisecond before the end, then the
shortest possible sleeps (some 50 µs on Linux), with a look at the clock after each. Busy-waiting would be more exact
only until the scheduler takes the core away, and it would delay the gRPC thread.
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
"""Seconds before the end of a wait when short sleeps begin: more than a long sleep overshoots by."""

LEAST = 1e-6
"""Shortest sleep in seconds. On some versions of Python, a sleep of 0 does not sleep at all."""


@dataclass(frozen=True, slots=True)
class Work:
    """A task's input, model and slowness."""

    infer: Infer | None
    pixels: NDArray[np.uint8] | None
    mode: Mode | None
    amount: float


@dataclass(frozen=True, slots=True)
class Served:
    """The outputs of a task and its times, in seconds."""

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
        """Queue `work`, which arrived at the time `arrived` (perf_counter), and return the result.

        Cancelling this while the work is queued removes it from the queue; after that it only ends the waiting.
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
    """Sleep until the time `moment` (perf_counter), and return the time then."""
    while (left := moment - (now := time.perf_counter())) > 0:
        time.sleep(max(left - SPIN, LEAST))
    return now

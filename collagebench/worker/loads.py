"""Load for a co-runner: a process that keeps one core busy in one of three ways.

    cpu       arithmetic in registers: takes turns with the worker on its core
    cache     random reads all over an array as large as the largest cache: also evicts the worker's data from caches
    memory    copies between two arrays that do not fit into any cache: also uses up memory bandwidth

If stress-ng is installed, one instance of its stressor cpu, cache or stream does this; otherwise the loops below do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from collagebench.stragglers.causes import Load

STRESSORS: dict[Load, str] = {"cpu": "cpu", "cache": "cache", "memory": "stream"}
"""The names of stress-ng's stressors."""
COPY_BYTES = 64_000_000
CACHE_BYTES = (1 << 20, 64 << 20)
"""Bounds of the array size for `cache`, whatever size the system reports for the cache."""


def prepare(load: Load, core: int | None) -> Callable[[], None]:
    """Pin this process to `core`, if one is given, and return a function that loads it and never returns."""
    if core is not None:
        pin(os.getpid(), {core})
    if (program := shutil.which("stress-ng")) is not None:
        arguments = [program, "--quiet", f"--{STRESSORS[load]}", "1", "--timeout", "0"]
        arguments += ["--temp-path", tempfile.gettempdir()]
        return lambda: os.execv(program, arguments)
    return {"cpu": _cpu, "cache": _cache, "memory": _memory}[load]()


def tool() -> str:
    """Return the name of the program that makes the load on this machine."""
    return "collagebench" if shutil.which("stress-ng") is None else "stress-ng"


def _cpu() -> Callable[[], None]:
    def loop() -> None:
        x = 1
        while True:
            for _ in range(100_000):
                x = x * 1103515245 + 12345 & 0x7FFFFFFF

    return loop


def _cache() -> Callable[[], None]:
    size = largest_cache() // 2  # one half for the values, one for the order in which they are read
    order = np.random.default_rng(0).permutation(size // 8)
    values = np.zeros(size // 8)
    part = 4096
    seen = np.empty(part)

    def loop() -> None:
        while True:
            for start in range(0, len(order) - part + 1, part):
                np.take(values, order[start : start + part], out=seen, mode="clip")

    return loop


def _memory() -> Callable[[], None]:
    here, there = np.zeros(COPY_BYTES, np.uint8), np.ones(COPY_BYTES, np.uint8)

    def loop() -> None:
        while True:
            np.copyto(here, there)
            np.copyto(there, here)

    return loop


def largest_cache() -> int:
    """Return the size in bytes of the largest cache of core 0, within `CACHE_BYTES`; 32 MiB if it is unknown."""
    sizes = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KM")) * unit)
    least, most = CACHE_BYTES
    return min(max([least, *sizes]), most) if sizes else 32 << 20


def pin(pid: int, cores: set[int]) -> None:
    """Pin all threads of a process, if it still exists, to these cores; new threads inherit that."""
    pinned: set[str] = set()
    with contextlib.suppress(OSError):
        while left := set(os.listdir(f"/proc/{pid}/task")) - pinned:  # repeat for threads that started in the meantime
            for thread in left:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread), cores)
            pinned |= left

"""Random numbers that depend only on names and numbers, never on the order of the calls.

A draw is a pure function of (seed, name, run, worker, request, attempt). So two schemes that send the same request to
the same worker meet the same slowdown there, whatever else they do (common random numbers), and a live run can be
replayed in simulation.

A simulation makes a draw for every task, so a draw must take only about a microsecond. NumPy's SeedSequence derives a
64-bit key for each worker and run, which is cached. Each draw is then SplitMix64's output function (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants of Stafford's mix 13) of the key and a
counter made of request and attempt. The function is a bijection, so no two tasks of a worker in a run share a value.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_REQUEST_BITS = 40


@lru_cache(maxsize=1 << 17)
def key(seed: int, name: str, *numbers: int) -> int:
    """Return the 64-bit key of the independent stream given by `seed`, `name` and `numbers`.

    The numbers are a run, or a run and a worker, for example; all are 0 or more.
    """
    return int(_sequence(seed, name, numbers).generate_state(1, np.uint64)[0])


def stream(seed: int, name: str, run: int) -> np.random.Generator:
    """Return a fresh generator of the independent stream `name` (arrivals, images, routing, order) in one run."""
    return np.random.Generator(np.random.Philox(_sequence(seed, name, (run,))))


def _sequence(seed: int, name: str, numbers: tuple[int, ...]) -> np.random.SeedSequence:
    # crc32, not hash(), because Python's hash of a string differs between processes.
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), *numbers))


@overload
def uniform(key: int, request: int, attempt: int = 0) -> float: ...
@overload
def uniform(key: int, request: NDArray[np.uint64], attempt: int = 0) -> NDArray[np.float64]: ...


def uniform(key: Any, request: Any, attempt: Any = 0) -> Any:
    """Return the draw for `attempt` (below 2**24) of `request` (below 2**40): uniform in the open interval (0, 1).

    `request` may be an int or an array of uint64, with the same result. Values are odd multiples of 2**-53.
    """
    z = key + _GAMMA * (attempt << _REQUEST_BITS | request) & _MASK
    z = (z ^ z >> 30) * _MIX_1 & _MASK
    z = (z ^ z >> 27) * _MIX_2 & _MASK
    return ((z ^ z >> 31) >> 12) * 2.0**-52 + 2.0**-53


@lru_cache(maxsize=1024)
def permutation(seed: int, name: str, run: int, block: int, n: int) -> tuple[int, ...]:
    """Return a random permutation of the numbers below `n`, a pure function of (seed, name, run, block)."""
    draws = uniform(key(seed, name, run, block), np.arange(n, dtype=np.uint64))
    return tuple(np.argsort(draws, kind="stable").tolist())

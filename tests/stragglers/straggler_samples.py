"""Samples of a million draws, and how far their shares are from the expected ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from collagebench.stragglers.draws import key, uniform

MILLION = 1_000_000
PROBABILITIES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


def levels(seed: int, n: int = MILLION, workers: int = 10) -> list[float]:
    """Return the levels at which `n` tasks draw in run 0 if slowness does not persist; those of worker 0 come first."""
    requests = np.arange(n // workers, dtype=np.uint64)
    return np.concatenate([uniform(key(seed, "stragglers", 0, worker), requests) for worker in range(workers)]).tolist()


def drawn(at: Callable[[float], float], some: Iterable[float]) -> NDArray[np.float64]:
    """Return the draws at these levels in ascending order."""
    return np.sort(np.fromiter(map(at, some), dtype=float))


def standard_errors(sample: NDArray[np.float64], value: float, probability: float) -> float:
    """Return the distance, in standard errors, of a sorted sample's share below `value` from `probability`."""
    share = np.searchsorted(sample, value) / len(sample)
    return float(abs(share - probability) / math.sqrt(probability * (1 - probability) / len(sample)))

"""Inference times of several models, measured by turns in one run, so that changes in the machine's speed affect all.

The times compared are processor times of the one thread, which equal the latency on an otherwise idle core. By
wall-clock time, a busy machine would make long inferences look even longer, because they are interrupted more often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 20
LEAST_ROUNDS = 5
IN_A_TURN = 5
"""Inferences timed in one turn, after one untimed inference that brings the model back into the caches."""
PATIENCE = 20.0
"""Seconds after which no round beyond LEAST_ROUNDS begins."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of inferences, in processor time and in wall-clock time: [n] each."""

    processor: NDArray[np.float64]
    wall: NDArray[np.float64]


def interleaved(
    runs: Mapping[str, tuple[Any, NDArray[Any]]], report: Callable[[float], None] = lambda done: None
) -> dict[str, Timed]:
    """Return inference times by name, given for each name a one-thread session and its input [batch, height, width, 3].

    Every round gives each one turn, in a random order. `report` is called with the share that is done.
    """
    rng = np.random.default_rng(0)
    names = list(runs)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    begun = time.perf_counter()
    for done in range(ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - begun > PATIENCE:
            break
        for place in rng.permutation(len(names)):
            session, image = runs[names[place]]
            turn = []
            for _ in range(1 + IN_A_TURN):
                start, started = time.perf_counter(), time.thread_time()
                session.run(["logits"], {"image": image})
                turn.append((time.thread_time() - started, time.perf_counter() - start))
            times[names[place]] += turn[1:]
        report((done + 1) / ROUNDS)
    return {name: Timed(*np.array(each).T) for name, each in times.items()}

"""How long inferences take beside one another: all in one run, in turn, so that a machine's moods fall on all alike.

What is compared is the processor time of the one thread, which is the latency on a core that nothing else uses. By the
clock a busy machine would make long inferences look even longer: the longer one is, the more often it is interrupted.
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
"""Inferences that are timed in one turn, after one that brings the model back into the caches."""
PATIENCE = 20.0
"""Seconds after which there are no more rounds than the least."""


@dataclass(frozen=True, slots=True)
class Timed:
    """The seconds of inferences, in processor time and by the clock: [n] each."""

    processor: NDArray[np.float64]
    wall: NDArray[np.float64]


def interleaved(
    runs: Mapping[str, tuple[Any, NDArray[Any]]], report: Callable[[float], None] = lambda done: None
) -> dict[str, Timed]:
    """Return the times of inferences by name: of the input [batch, height, width, 3] by its session of one thread.

    Every round gives each its turn, in an order of its own. `report` is told the share that is done.
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

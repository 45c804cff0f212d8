"""How long inferences take beside one another: all in one run, in turn, so that a machine's moods fall on all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 20
LEAST_ROUNDS = 5
IN_A_TURN = 5
"""Inferences that are timed in one turn, after one that brings the model back into the caches."""
PATIENCE = 20.0
"""Seconds after which there are no more rounds than the least."""


def interleaved(
    runs: Mapping[str, tuple[Any, NDArray[Any]]], report: Callable[[float], None] = lambda done: None
) -> dict[str, NDArray[np.float64]]:
    """Return the seconds of each inference, by name: of the input [batch, height, width, 3] with its own session.

    Every round gives each its turn, in an order of its own. `report` is told the share that is done.
    """
    rng = np.random.default_rng(0)
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    begun = time.perf_counter()
    for done in range(ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - begun > PATIENCE:
            break
        for place in rng.permutation(len(names)):
            session, image = runs[names[place]]
            turn = []
            for _ in range(1 + IN_A_TURN):
                start = time.perf_counter()
                session.run(["logits"], {"image": image})
                turn.append(time.perf_counter() - start)
            times[names[place]] += turn[1:]
        report((done + 1) / ROUNDS)
    return {name: np.array(each) for name, each in times.items()}

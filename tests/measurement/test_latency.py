"""Latencies of several models that are timed in turns."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from collagebench.measurement.latency import IN_A_TURN, LEAST_ROUNDS, ROUNDS, interleaved


class Slow:
    """A session that takes so many seconds of processor time, and records its turns."""

    def __init__(self, name: str, seconds: float, turns: list[str]) -> None:
        self.name, self.seconds, self.turns = name, seconds, turns

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> None:
        """Keep the processor busy."""
        self.turns.append(self.name)
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass


def test_models_take_turns_in_every_round_and_are_timed_apart() -> None:
    """Each round has a turn of each model, whose first inference is not counted, and times are kept by model."""
    turns: list[str] = []
    image = np.zeros((1, 2, 2, 3), np.uint8)
    done: list[float] = []
    times = interleaved({"a": (Slow("a", 2e-4, turns), image), "b": (Slow("b", 8e-4, turns), image)}, done.append)
    per_round = 2 * (1 + IN_A_TURN)
    rounds = [turns[start : start + per_round] for start in range(0, len(turns), per_round)]
    assert len(rounds) == ROUNDS
    assert all(one.count("a") == one.count("b") == 1 + IN_A_TURN for one in rounds)
    assert len({one[0] for one in rounds}) == 2
    assert [len(times[name].processor) for name in "ab"] == [ROUNDS * IN_A_TURN] * 2
    assert 2e-4 <= np.median(times["a"].processor) < 6e-4
    assert 8e-4 <= np.median(times["b"].processor) < 1.2e-3
    assert all((each.wall >= 0.99 * each.processor).all() for each in times.values())
    assert done[-1] == 1


def test_slow_models_get_fewer_rounds(monkeypatch: Any) -> None:
    """Once the time limit is over, the least number of rounds is enough."""
    monkeypatch.setattr("collagebench.measurement.latency.PATIENCE", 0.0)
    times = interleaved({"a": (Slow("a", 0, []), np.zeros((1, 2, 2, 3), np.uint8))})
    assert len(times["a"].wall) == LEAST_ROUNDS * IN_A_TURN

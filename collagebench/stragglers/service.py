"""How a straggler model's draw becomes the time that a worker takes.

A draw is a number; the model's mode says what it means for a task whose inference took `compute` seconds:

    floor   the task takes at least `amount` seconds     max(compute, amount)
    add     the task takes `amount` seconds longer       compute + amount
    scale   the task takes `amount` times as long        compute * amount

`floor` is what the authors of collage inference inject: each worker sleeps until the drawn time has passed since the
request began (public repository krishnagirinarra/collage-inference).
"""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["floor", "add", "scale"]
MODES: tuple[Mode, ...] = get_args(Mode)


def service_time(mode: Mode, compute: float, amount: float) -> float:
    """Return how long a task is served, in seconds, never less than `compute` seconds."""
    if mode == "floor":
        return max(compute, amount)
    if mode == "add":
        return compute + max(amount, 0.0)
    return compute * max(amount, 1.0)

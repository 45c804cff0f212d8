"""Injected delays: did the workers take the service times that the straggler model asked for?

Every task is sent with a draw, from which its wanted service time follows; the worker reports the time that it took.
The error is the absolute difference of the two. Tasks without a report are ignored: those cancelled, refused, or lost
with their worker. A reply that the straggler model drops did arrive, and counts.

With floors, inference alone may take longer than the floor, and then no waiting can make the service shorter. Such
tasks have no error, as they took no longer than necessary. But they do not follow the straggler model either, and are
counted separately.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collagebench.results.checks import DIGITS, EXACT
from collagebench.results.reader import Run
from collagebench.statistics.quantiles import quantile

LEAST = 10
"""The fewest tasks whose median is used."""


@dataclass(frozen=True, slots=True)
class Injection:
    """How well the tasks of a run took the wanted service times."""

    tasks: int
    """Tasks with a reported service time."""
    p50: float | None
    """Quantiles of |taken - wanted| in seconds; None if nothing was measured, as in simulation."""
    p99: float | None
    wanted: float | None
    """Median of the wanted service time, in seconds."""
    beyond_floor: int | None
    """Tasks whose inference alone exceeded the floor, by more than rounding; None if the mode of the draws is not
    `floor`, or is unknown."""
    by_part: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Medians of |taken - wanted| and of the wanted time, in seconds, by part: for the slow tasks, which should take at
    least twice the median, and for each worker. Parts with fewer than LEAST tasks are left out. Keys are texts to
    show."""

    @property
    def share(self) -> float | None:
        """The share of tasks beyond their floor."""
        return None if self.beyond_floor is None or not self.tasks else self.beyond_floor / self.tasks


def injection(run: Run) -> Injection:
    """Return how well the tasks of `run`, of all its schemes, took the wanted service times."""
    tasks = run.tasks.where(reported(run))
    wanted, asked = tasks["wanted_s"], tasks["asked"]
    excess = wanted - asked - DIGITS * wanted
    beyond = int((excess > EXACT).sum()) if len(tasks) and run.service.get("mode") == "floor" else None
    if run.header.get("engine") != "live" or not len(tasks):
        return Injection(len(tasks), None, None, None, beyond)
    error, middle = np.abs(tasks["service"] - wanted), float(np.median(wanted))
    parts = {"the slow tasks": wanted >= 2 * middle}
    parts |= {f"worker {worker}": tasks["worker"] == worker for worker in np.unique(tasks["worker"]).tolist()}
    by_part = {
        name: (float(np.median(error[part])), float(np.median(wanted[part])))
        for name, part in parts.items()
        if part.sum() >= LEAST
    }
    error = np.sort(error)
    return Injection(len(tasks), quantile(error, 0.5), quantile(error, 0.99), middle, beyond, by_part)


def reported(run: Run) -> NDArray[np.bool_]:
    """Return which tasks of `run` have a finite wanted service time and a reported one."""
    tasks = run.tasks
    known: NDArray[np.bool_] = np.isfinite(tasks["wanted_s"]) & np.isfinite(tasks["service"])
    return known & np.isfinite(tasks["asked"])

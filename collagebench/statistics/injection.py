"""Stragglers asked against achieved: did the workers take the time that they were told to take?

Every task is sent with a draw, which makes a service time that is wanted of it; the worker reports the one it took. The
error is the distance between the two. Tasks without a report count for nothing: those taken back, refused, or lost with
their worker. A reply that the straggler model has lost did come, and counts.

Under floors there is another way to miss what was asked: inference alone may take longer than the floor, and then no
waiting makes the service shorter. Such tasks have no error, since they took what they had to, but they did not meet the
straggler model either, and are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collagebench.results.reader import Run
from collagebench.statistics.quantiles import quantile

MODES = {"collage-trace": "floor", "collage-machines": "floor", "fixed": "scale", "none": "add"}
"""What draws mean in the records of versions that did not write it down."""
LEAST = 10
"""Tasks whose median says something."""


@dataclass(frozen=True, slots=True)
class Injection:
    """How well the tasks of a run met what was asked of them."""

    tasks: int
    """Those that reported their service."""
    p50: float | None
    """Quantiles of |taken - wanted| in seconds; None where nothing was measured, as in simulation."""
    p99: float | None
    wanted: float | None
    """Median of the service time that was wanted, in seconds."""
    beyond_floor: int | None
    """Tasks whose inference alone exceeded the floor; None where draws are no floors, or nobody knows what they are."""
    by_part: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Median of |taken - wanted| and of what was wanted, in seconds: of the slow tasks, those of which at least twice
    the median was wanted, and of each worker, where there are LEAST of them; which are meant is said in words."""

    @property
    def share(self) -> float | None:
        """The share of the tasks that were beyond their floor."""
        return None if self.beyond_floor is None or not self.tasks else self.beyond_floor / self.tasks


def injection(run: Run) -> Injection:
    """Return how well the tasks of `run`, of all schemes that it holds, met what was asked of them."""
    tasks = run.tasks.where(reported(run))
    wanted, asked = tasks["wanted_s"], tasks["asked"]
    beyond = int((wanted > asked).sum()) if len(tasks) and _mode(run) == "floor" else None
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
    """Return which tasks of `run` were asked for a service time that there is, and reported theirs."""
    tasks = run.tasks
    known: NDArray[np.bool_] = np.isfinite(tasks["wanted_s"]) & np.isfinite(tasks["service"])
    return known & np.isfinite(tasks["asked"])


def _mode(run: Run) -> str | None:
    """Return what the draws of a run mean."""
    written = run.service.get("mode")
    return str(written) if written else MODES.get(str(run.config.get("stragglers")))

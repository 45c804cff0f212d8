"""Stragglers that are not injected but really disturbed on the workers' machines.

Here is only what is asked for, and of which workers; starting it, and taking it away again, is the business of the
workers' supervisor. How slow that makes a worker is not known beforehand, so nothing is drawn, and a simulation cannot
know it either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from collagebench.stragglers.fixed import NoStragglers, chosen_workers
from collagebench.stragglers.service import Mode

Kind = Literal["stop", "corunner", "throttle", "traffic"]
NATURAL: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Natural:
    """Workers that are stopped, throttled, or share their core or their network with something else."""

    seed: int
    workers: int
    kind: Kind
    """One of NATURAL."""
    slow_workers: int
    """How many of the workers are disturbed."""
    parameters: Mapping[str, Any]
    """What else there is to say of the disturbance, by the command line's names."""
    mode: Mode = field(default="add", init=False)
    mean: float = field(default=0.0, init=False)

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return self.kind

    def workers_of(self, run: int) -> tuple[int, ...]:
        """Return the workers that are disturbed in one run, in rising order; over runs each is as often."""
        return tuple(sorted(chosen_workers(self.seed, run, self.workers, self.slow_workers)))

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return 0 seconds: nothing is injected."""
        return 0.0

    def without(self) -> NoStragglers | None:
        """Return a fleet that nobody disturbs."""
        return NoStragglers(self.kind) if self.slow_workers else None

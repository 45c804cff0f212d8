"""Stragglers that are not injected but really disturbed on the workers' machines.

Here is only what is asked for, and of which workers; starting it, and taking it away again, is the business of the
workers' supervisor. How slow that makes a worker is not known beforehand, so nothing is drawn, and a simulation cannot
know it either. Workers that are stopped may be told how long a service takes at least while they are not, so that
the stops stand beside services of a length of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collagebench.stragglers.causes import Kind
from collagebench.stragglers.fixed import NoStragglers, Steady, chosen_workers


@dataclass(frozen=True, slots=True)
class Natural(Steady):
    """Workers that are stopped, throttled, or share their core or their network with something else."""

    seed: int
    workers: int
    kind: Kind
    """One of NATURAL."""
    slow_workers: int
    """How many of the workers are disturbed."""
    parameters: Mapping[str, Any]
    """What else there is to say of the disturbance, by the command line's names."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return self.kind

    def workers_of(self, run: int) -> tuple[int, ...]:
        """Return the workers that are disturbed in one run, in rising order; over runs each is as often."""
        return tuple(sorted(chosen_workers(self.seed, run, self.workers, self.slow_workers)))

    def without(self) -> NoStragglers | None:
        """Return a fleet that nobody disturbs."""
        return NoStragglers(self.base, self.kind) if self.slow_workers else None

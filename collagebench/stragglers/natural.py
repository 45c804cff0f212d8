"""Natural stragglers: workers that are really disturbed on their machines, without injection.

This module only says which disturbance is wanted and for which workers; the forkserver starts and undoes it. How slow
it makes a worker is not known beforehand, so nothing is drawn, and a simulation cannot know it either. For workers that
are stopped (`stop`), a least service time can be given, so that stops can be compared with services of known length.
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
    """Number of disturbed workers."""
    parameters: Mapping[str, Any]
    """Further parameters of the disturbance, by their names on the command line."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.kind

    def workers_of(self, run: int) -> tuple[int, ...]:
        """Return the workers that are disturbed in one run, in ascending order; all are equally likely."""
        return tuple(sorted(chosen_workers(self.seed, run, self.workers, self.slow_workers)))

    def without(self) -> NoStragglers | None:
        """Return a fleet without the disturbance; None if no worker is disturbed."""
        return NoStragglers(self.base, self.kind) if self.slow_workers else None

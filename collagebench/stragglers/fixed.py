"""Services of constant length, and fleets in which a fixed number of workers is slow for a whole run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from collagebench.stragglers.draws import permutation
from collagebench.stragglers.service import Mode


@dataclass(frozen=True, slots=True)
class Steady:
    """Every task takes its compute time, or `base` seconds if that is longer."""

    base: float

    @property
    def mode(self) -> Mode:
        """`floor` if there is a base, else `add`, which adds nothing."""
        return "floor" if self.base else "add"

    @property
    def mean(self) -> float:
        """The base."""
        return self.base

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the base, in seconds."""
        return self.base


@dataclass(frozen=True, slots=True)
class NoStragglers(Steady):
    """Nothing is slow."""

    name: str = "none"

    def without(self) -> None:
        """Return None: there are no stragglers to remove."""


@dataclass(frozen=True, slots=True)
class FixedStragglers:
    """In each run, `slow_workers` of the `workers` take `slow_factor` times as long for every task."""

    seed: int
    workers: int
    slow_workers: int
    slow_factor: float
    name: str = field(default="fixed", init=False)
    mode: Mode = field(default="scale", init=False)

    @property
    def mean(self) -> float:
        """The mean factor over the fleet."""
        return 1.0 + self.slow_workers * (self.slow_factor - 1.0) / self.workers

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return `slow_factor` for a slow worker, 1 for another."""
        slow = chosen_workers(self.seed, run, self.workers, self.slow_workers)
        return self.slow_factor if worker in slow else 1.0

    def without(self) -> FixedStragglers | None:
        """Return the same fleet with no slow worker."""
        return replace(self, slow_workers=0) if self.slow_workers and self.slow_factor > 1 else None


def chosen_workers(seed: int, run: int, workers: int, count: int) -> tuple[int, ...]:
    """Return which `count` of `workers` are slow in one run; all workers are equally likely."""
    return permutation(seed, "slow workers", run, 0, workers)[:count]

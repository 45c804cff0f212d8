"""Stragglers whose draws come from one distribution, the same for every worker."""

from __future__ import annotations

from dataclasses import dataclass, replace

from collagebench.stragglers.families import Distribution
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.service import Mode


@dataclass(frozen=True, slots=True)
class Drawn:
    """Every task of every worker draws from `distribution`, independently unless slow periods last."""

    name: str
    mode: Mode
    distribution: Distribution
    """Distribution of seconds, or of factors in mode scale."""
    levels: Levels

    @property
    def mean(self) -> float:
        """The mean draw."""
        if self.levels.stragglers:
            return self.distribution.mean
        return self.distribution.lower_mean(1.0 - self.levels.share)

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the draw for one task."""
        return self.distribution.at(self.levels.of(run, worker, request, attempt, at))

    def without(self) -> Drawn | None:
        """Return the same draws without the upper share, which counts as slow; None if that changes nothing."""
        calm = replace(self, levels=replace(self.levels, stragglers=False))
        return calm if self.levels.stragglers and calm.mean < self.mean else None

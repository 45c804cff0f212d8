"""The progress of a training, which determines its learning rate."""

from __future__ import annotations

import time

from collagebench.training.recipe import Recipe


class Clock:
    """The progress of a training: by steps or, with a time budget, by steps or time, whichever is further."""

    def __init__(self, recipe: Recipe, used: float) -> None:
        """Start the clock; `used` are the seconds used before."""
        self._recipe = recipe
        self._begun = time.perf_counter() - used

    @property
    def used(self) -> float:
        """Seconds used so far."""
        return time.perf_counter() - self._begun

    @property
    def share(self) -> float:
        """The share of the time budget that is used; 0 without a budget."""
        return self.used / (60 * self._recipe.minutes) if self._recipe.minutes else 0.0

    @property
    def of_epochs(self) -> str:
        """`/N` for N epochs, or empty with a time budget, when their number is unknown."""
        return "" if self._recipe.minutes else f"/{self._recipe.epochs}"

    def rate_at(self, step: int, total: int) -> float:
        """Return the learning rate of one step of `total`, counted from 0."""
        if not self._recipe.minutes:
            return self._recipe.rate_at(step, total)
        return self._recipe.rate_after(max(self.share, (step + 1) / total))

    def progress(self, done: int, total: int) -> tuple[int, int]:
        """Return the steps done and in all, or, if the time is further, thousandths of the time budget."""
        return (min(round(1000 * self.share), 1000), 1000) if self.share > done / total else (done, total)

"""Slowness that lasts, without a change of the distribution of service times.

A worker alternates between slow and ordinary periods: a two-state Markov process in continuous time (Gilbert, "Capacity
of a burst-noise channel", 1960). Slow periods are exponential with mean L, ordinary ones with mean L (1 - p) / p, so
that the worker is slow for a share p of the time. A slow worker draws from the upper share p of its distribution, an
ordinary one from the rest. So the distribution of a draw at any one time is unchanged, but slow draws come together.
L = 0 means that nothing lasts: every task is slow or not, independently.

The state must be a function of time that can be computed without simulating the process from its beginning. So the
process is built by uniformisation (Jensen, "Markoff chains as an aid in the study of Markoff processes", 1953). At the
events of a Poisson process of rate 1 / (L (1 - p)), the state is chosen anew: slow with probability p, whatever it was.
A slow period lasts until a choice is ordinary, which is exponential with mean L; an ordinary one lasts until a choice
is slow, with mean L (1 - p) / p. The state at a time is the last choice before it, usually found within one or two
keyed draws. The process also extends before time 0, so it is stationary from the start.

Without stragglers, all workers are always in the ordinary state.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from collagebench.stragglers.draws import key, uniform
from collagebench.stragglers.families import LEAST

_CELLS = (1 << 40) - 1


@dataclass(frozen=True, slots=True)
class Levels:
    """The level of each task: the probability in (0, 1) at which to evaluate the worker's quantile function."""

    seed: int
    share: float
    """Share of the distribution, at its upper end, that is slow; below 1."""
    persistence: float = 0.0
    """Mean length of slow periods in seconds; 0 if slowness does not last."""
    stragglers: bool = True
    """False: no worker is ever slow."""

    def of(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the level for one task; see `model.Stragglers.draw`."""
        level = uniform(key(self.seed, "stragglers", run, worker), request, attempt)
        if self.stragglers:
            if not self.persistence:
                return level
            if self.is_slow(run, worker, at):
                return min(1.0 - self.share * (1.0 - level), 1.0 - LEAST)
        return (1.0 - self.share) * level

    def is_slow(self, run: int, worker: int, at: float) -> bool:
        """Return whether a worker is in a slow period at a time; False if slowness does not last."""
        if not (self.persistence and self.share and self.stragglers):
            return False
        time = at / (self.persistence * (1.0 - self.share))
        return is_slow(key(self.seed, "slow periods", run, worker), time, self.share)


def is_slow(key: int, time: float, share: float) -> bool:
    """Return the state of the process `key` at a time, in units of the mean time between two choices.

    The choices in each unit of time are a Poisson process of rate 1, generated backwards from the unit's end with
    exponential gaps. The process repeats after 2**40 units.
    """
    cell = int(time // 1.0)
    place, limit, choice = 1.0, time - cell, 0
    while True:
        place += log(uniform(key, cell & _CELLS, choice))
        if place < 0.0:  # no earlier choice in this unit
            cell -= 1
            place, limit, choice = 1.0, 1.0, 0
        elif place <= limit:
            return uniform(key, cell & _CELLS, choice + 1) < share
        else:
            choice += 2

"""Slowness that lasts, with the same distribution of service times.

A worker is slow or ordinary for a while: a two-state Markov process in continuous time (Gilbert, "Capacity of a
burst-noise channel", 1960). Slow periods are exponential with mean L, ordinary ones with mean L (1 - p) / p, so that it
is slow for a share p of the time. A slow worker draws from the upper share p of its distribution, an ordinary one from
the rest. At any one time the draw is therefore distributed as if nothing lasted; what changes is that slow draws come
together. L = 0 stands for nothing lasting: every task is slow or not for itself.

The state must be a function of time alone, found without walking there from the beginning. So the process is built by
uniformisation (Jensen, "Markoff chains as an aid in the study of Markoff processes", 1953): a Poisson process of rate
1 / (L (1 - p)) chooses the state anew, each time slow with chance p whatever it was. Left to itself a slow state lasts
until one of these choices says ordinary, which is exponential with mean L; an ordinary one, until one says slow, which
has mean L (1 - p) / p. The state at a time is what the last choice before it said, usually one or two keyed draws
back, and before time 0 the process goes on into the past, so it is stationary from the start.

Without stragglers a fleet is always in the ordinary state.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from collagebench.stragglers.draws import key, uniform
from collagebench.stragglers.families import LEAST

_CELLS = (1 << 40) - 1


@dataclass(frozen=True, slots=True)
class Levels:
    """At which probability, uniform inside (0, 1), each task's quantile function is read."""

    seed: int
    share: float
    """How much of the distribution, its upper end, is slow; below 1."""
    persistence: float = 0.0
    """Mean length of slow periods in seconds; 0: none last."""
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
        """Return whether a worker is slow at a time; False where nothing lasts."""
        if not (self.persistence and self.share and self.stragglers):
            return False
        time = at / (self.persistence * (1.0 - self.share))
        return is_slow(key(self.seed, "slow periods", run, worker), time, self.share)


def is_slow(key: int, time: float, share: float) -> bool:
    """Return the state at a time, counted in mean times between two choices, of the process that `key` names.

    Each unit of time holds the choices that a Poisson process of rate 1 makes there, found from the unit's end
    backwards by exponential gaps. The process repeats after 2**40 units.
    """
    cell = int(time // 1.0)
    place, limit, choice = 1.0, time - cell, 0
    while True:
        place += log(uniform(key, cell & _CELLS, choice))
        if place < 0.0:  # none was left in this unit
            cell -= 1
            place, limit, choice = 1.0, 1.0, 0
        elif place <= limit:
            return uniform(key, cell & _CELLS, choice + 1) < share
        else:
            choice += 2

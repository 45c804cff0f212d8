"""Failures as stragglers: replies that are lost, and workers that crash and come back.

Every service takes `base` seconds, so that only the failures make a difference. A worker whose reply is lost has served
the task as usual, but the reply never arrives. If losses persist, they come in bursts (Gilbert, "Capacity of a
burst-noise channel", 1960; `persistence`): a slow period is then one in which every reply of the worker is lost.

Crashes of a worker are a renewal process: it serves for an exponentially distributed time, is down for `restart_after`
seconds, and comes back. The mean time from one crash to the next is `crash_every` seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from collagebench.stragglers.draws import key, uniform
from collagebench.stragglers.fixed import NoStragglers, Steady
from collagebench.stragglers.persistence import Levels


@dataclass(frozen=True, slots=True)
class Erasure(Steady):
    """A share `levels.share` of the replies is lost."""

    levels: Levels
    name: str = field(default="erasure", init=False)

    def drops(self, run: int, worker: int, request: int, attempt: int, at: float) -> bool:
        """Return whether the reply of a task is lost; the arguments are those of `draw`."""
        return self.levels.of(run, worker, request, attempt, at) > 1.0 - self.levels.share

    def without(self) -> NoStragglers | None:
        """Return a fleet that loses nothing."""
        return NoStragglers(self.base, self.name) if self.levels.share else None


@dataclass(frozen=True, slots=True)
class Crash(Steady):
    """Workers crash and come back; while they serve, every service takes `base` seconds."""

    seed: int
    crash_every: float
    """Mean seconds from one crash of a worker to its next."""
    restart_after: float
    """Seconds from a crash until the worker is started again, less than `crash_every`."""
    name: str = field(default="crash", init=False)

    def crashes(self, run: int, worker: int) -> Iterator[tuple[float, float]]:
        """Yield, without end, the times of each crash and of the return, in seconds since the cell began."""
        name = key(self.seed, "crashes", run, worker)
        serving = self.crash_every - self.restart_after
        back = 0.0
        for crash in count():
            dies = back - serving * math.log(uniform(name, crash))
            back = dies + self.restart_after
            yield dies, back

    def without(self) -> NoStragglers:
        """Return a fleet that never crashes."""
        return NoStragglers(self.base, self.name)

"""Failure as straggling: replies that are lost, and workers that crash and come back.

Services take `base` seconds, all of them, so that what is measured is the failures. A worker whose reply is lost has
served its task like any other, but nobody hears of it. Where losses last, they come in bursts (Gilbert, "Capacity of a
burst-noise channel", 1960; `persistence`): a slow period is then one in which every reply of the worker is lost.

Crashes of a worker are a renewal process: it serves for an exponential time, is gone for `restart_after` seconds, and
is back. Between two of its crashes lie `crash_every` seconds on average.
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
        """Yield when the worker dies and when it is back, seconds since its cell began, in order and without end."""
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

"""What a straggler model is, and the one way to get one by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from collagebench.errors import UsageError
from collagebench.stragglers.draws import permutation
from collagebench.stragglers.service import Mode
from collagebench.stragglers.trace import CollageMachines, CollageTrace

PARAMETERS: dict[str, dict[str, Any]] = {
    "none": {},
    "fixed": {"slow_workers": 1, "slow_factor": 5.0},
    "collage-trace": {},
    "collage-machines": {},
}
"""What each family of stragglers can be told, and its default."""
NAMES = tuple(PARAMETERS)


class Stragglers(Protocol):
    """How slow each task is served: a pure function of where and when it is served (`draws`)."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def mode(self) -> Mode:
        """What a draw means; see `service`."""

    @property
    def mean(self) -> float:
        """The mean draw over the fleet: seconds for floor and add, a factor for scale."""

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the draw for one task, seconds, or a factor for scale; infinity where its reply is lost.

        `request` is the id of its first request; `at` is when its service should begin, seconds since its cell began.
        """

    def without(self) -> Stragglers | None:
        """Return the same fleet without its stragglers, or None when there are none to take away."""


@dataclass(frozen=True, slots=True)
class NoStragglers:
    """Every task takes as long as it takes."""

    name: str = field(default="none", init=False)
    mode: Mode = field(default="add", init=False)
    mean: float = field(default=0.0, init=False)

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return 0 seconds."""
        return 0.0

    def without(self) -> None:
        """Return None: there are none to take away."""


@dataclass(frozen=True, slots=True)
class FixedStragglers:
    """In each run, `slow_workers` of `workers` take `slow_factor` times as long at everything; the others, once."""

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
        slow = permutation(self.seed, "slow workers", run, 0, self.workers)[: self.slow_workers]
        return self.slow_factor if worker in slow else 1.0

    def without(self) -> FixedStragglers | None:
        """Return the same fleet with no slow worker."""
        return replace(self, slow_workers=0) if self.slow_workers and self.slow_factor > 1 else None


def parameters_of(name: str) -> dict[str, Any]:
    """Return the parameters that the stragglers `name` take, and their defaults.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in PARAMETERS:
        raise UsageError(f"no stragglers are called {name!r}; there are {', '.join(NAMES)}")
    return PARAMETERS[name]


def open_stragglers(
    name: str, seed: int, workers: int, time_scale: float = 1.0, parameters: Mapping[str, Any] = {}
) -> Stragglers:
    """Return the straggler model `name`, one of NAMES, for a fleet of `workers`.

    `time_scale` multiplies drawn seconds; it changes nothing for a model that draws factors, or none. `parameters` are
    some of PARAMETERS[name]; the others have their defaults.

    Raises:
        UsageError: the name or a parameter is unknown, or a number makes no sense.
        DataError: the table of facts is missing or damaged.
    """
    known = parameters_of(name)
    for other in parameters:
        if other not in known:
            raise UsageError(f"--{other.replace('_', '-')} means nothing to the stragglers {name}")
    slow_workers, slow_factor = ({**known, **parameters}.get(key) for key in ("slow_workers", "slow_factor"))
    if seed < 0:
        raise UsageError(f"the seed must be 0 or more, not {seed}")
    if workers < 1:
        raise UsageError(f"a fleet needs at least 1 worker, not {workers}")
    if not (math.isfinite(time_scale) and time_scale > 0):
        raise UsageError(f"the time scale must be above 0, not {time_scale}")
    match name:
        case "none":
            return NoStragglers()
        case "fixed":
            assert isinstance(slow_workers, int) and isinstance(slow_factor, (int, float))
            if not 0 <= slow_workers <= workers:
                raise UsageError(f"--slow-workers must be 0 to {workers}, the size of the fleet, not {slow_workers}")
            if not (math.isfinite(slow_factor) and slow_factor >= 1):
                raise UsageError(f"--slow-factor must be 1 or more, not {slow_factor}")
            return FixedStragglers(seed, workers, slow_workers, slow_factor)
        case "collage-trace":
            return CollageTrace(seed, time_scale)
        case "collage-machines":
            return CollageMachines(seed, time_scale)
    raise UsageError(f"no stragglers are called {name!r}; there are {', '.join(NAMES)}")

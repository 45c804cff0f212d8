"""What a straggler model is, and the one way to get one by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from collagebench.errors import UsageError
from collagebench.stragglers import trace
from collagebench.stragglers.draws import permutation
from collagebench.stragglers.service import Mode

NAMES = ("none", "fixed", "collage-trace", "collage-machines")


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

    def draw(self, run: int, worker: int, request: int, attempt: int) -> float:
        """Return the draw for one task: `request` is the id of its first request; seconds, or a factor for scale."""

    def without(self) -> Stragglers | None:
        """Return the same fleet without its stragglers, or None when there are none to take away."""

"""The structured family: machines differ, requests differ, and there are occasional excursions.

    draw = machine factor x request factor x excursion

A machine's factor is lognormal around `median`, or `slow_machine` for a share `slow_machines` of the machines, and does
not change during a run. A request's factor is exp(N(0.011, request_sigma)). An excursion takes `excursion_factor` times
as long. The defaults are a fit to the latencies that the authors of collage inference measured (public repository
krishnagirinarra/collage-inference): machines exp(N(-1.990, 0.202)) seconds, 2 % of them at 0.702 s, requests
exp(N(0.011, 0.103)), 0.65 % excursions of 1.83x. If slow periods last, it is the excursions that last.

The three factors are independent, so the mean is the product of their means. The logarithm of an ordinary machine's
draw is normal with variance machine_sigma^2 + request_sigma^2, shifted by ln excursion_factor for the share of the
excursions. All draws together are a mixture of four lognormals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

from collagebench.stragglers.draws import key, uniform
from collagebench.stragglers.families import Bimodal, Lognormal
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.placement import Place, fleet_mean, slow_worker
from collagebench.stragglers.service import Mode

REQUEST_MEAN = 0.011
"""Mean of the logarithm of the request factor, as fitted."""


@dataclass(frozen=True, slots=True)
class Structured:
    """The structured family; `levels.share` is the share of excursions."""

    mode: Mode
    levels: Levels
    workers: int
    machines: Lognormal
    """The factor of an ordinary machine: seconds, or a factor for scale."""
    slow_machine: float
    """The factor of a slow machine."""
    slow_machines: float
    """A worker's chance of being a slow machine, if `place` is anywhere."""
    place: Place
    requests: Bimodal
    """Distribution of request factor times excursion."""
    name: str = field(default="structured", init=False)

    @property
    def mean(self) -> float:
        """The mean draw over the fleet and all runs."""
        if not self.levels.stragglers:
            return self.machines.mean * self.requests.fast.mean
        slow, ordinary = self.slow_machine, self.machines.mean
        return self.requests.mean * fleet_mean(self.place, self.workers, self.slow_machines, slow, ordinary)

    def machine(self, run: int, worker: int) -> float:
        """Return a worker's factor in one run."""
        factor, level = _machine(self.levels.seed, run, worker, self.machines)
        if not self.levels.stragglers:
            return factor
        slow = level < self.slow_machines if self.place == "anywhere" else worker == self._slow_worker
        return self.slow_machine if slow else factor

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the draw for one task."""
        level = self.levels.of(run, worker, request, attempt, at)
        return self.machine(run, worker) * self.requests.at(level)

    def without(self) -> Structured | None:
        """Return the same fleet without slow machines and excursions, or None if that changes nothing.

        A slow machine becomes an ordinary one.
        """
        calm = replace(self, levels=replace(self.levels, stragglers=False))
        return calm if self.levels.stragglers and calm.mean < self.mean else None

    @property
    def _slow_worker(self) -> int | None:
        return slow_worker(self.place, self.workers)


def structured_requests(sigma: float, excursion_share: float, excursion_factor: float) -> Bimodal:
    """Return the distribution of request factor times excursion."""
    return Bimodal(math.exp(REQUEST_MEAN), excursion_factor, excursion_share, sigma)


@lru_cache(maxsize=1 << 17)
def _machine(seed: int, run: int, worker: int, machines: Lognormal) -> tuple[float, float]:
    """Return the worker's factor as an ordinary machine, and the uniform draw that decides whether it is slow."""
    name = key(seed, "machine factors", run, worker)
    return machines.at(uniform(name, 0)), uniform(name, 1)

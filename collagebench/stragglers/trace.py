"""The latencies that the authors of collage inference inject, in two interpretations.

Their workers (public repository krishnagirinarra/collage-inference) replay 137,594 measured latencies: mean 0.154 s,
p50 0.138, p90 0.189, p95 0.215, p99 0.702, p99.9 0.770, max 1.039; 2.02 % are above 0.5 s. Each value is a floor on a
whole service time.

Their code draws from all values, so any worker may straggle at any request (`collage_trace`). But the values are in the
order of 50 logs, one per machine, and nearly the whole tail is one machine that is slow throughout (median 0.702 s; the
other medians are from 0.099 to 0.235 s). In the second interpretation (`CollageMachines`), a worker is one machine for
a whole run, and everything depends on which worker gets the slow one. Only the logs' quantiles are kept, not their
order: the draws of a worker are independent.

A straggler is a value above 0.4 s. Without them the pooled p99 is 0.244 s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean

from collagebench.errors import DataError
from collagebench.paths import profiles_dir
from collagebench.stragglers.drawn import Drawn
from collagebench.stragglers.draws import key, permutation, uniform
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.placement import Place, fleet_mean, slow_worker
from collagebench.stragglers.quantiles import Quantiles, mixture
from collagebench.stragglers.service import Mode

STRAGGLER_S = 0.4
"""A longer service, in unscaled seconds, is a straggler; the ordinary machines are almost never that slow."""


@lru_cache(maxsize=1)
def machines() -> tuple[tuple[Quantiles, int], ...]:
    """Return each machine's latencies, in seconds, and the number of values in its log.

    Raises:
        DataError: the table is missing or damaged.
    """
    path = profiles_dir() / "collage-trace.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        probabilities = tuple(table["probabilities"])
        return tuple(
            (Quantiles(probabilities, tuple(values)), count)
            for values, count in zip(table["machines"], table["counts"], strict=True)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the latency table {path} cannot be read ({error}); install collagebench again") from None


@lru_cache(maxsize=1)
def pooled() -> Quantiles:
    """Return the latencies of all machines together, in seconds."""
    tables, counts = zip(*machines(), strict=True)
    return mixture(tables, counts)


def collage_trace(
    seed: int, time_scale: float = 1.0, mode: Mode = "floor", slow_share: float | None = None, persistence: float = 0.0
) -> Drawn:
    """Return stragglers for which every task draws from the latencies of all machines, as in the authors' code.

    `slow_share` is None for the share above 0.4 s.
    """
    share = 1.0 - pooled().below(STRAGGLER_S) if slow_share is None else slow_share
    levels = Levels(seed, share, persistence)
    return Drawn("collage-trace", mode, pooled().scaled(amount_scale(mode, time_scale)), levels)


def amount_scale(mode: Mode, time_scale: float) -> float:
    """Return the factor from the table's seconds to draws; in mode scale, a draw is a latency / the pooled median."""
    return 1.0 / pooled().at(0.5) if mode == "scale" else time_scale


@dataclass(frozen=True, slots=True)
class CollageMachines:
    """A fleet in which each worker is one machine for a whole run.

    The machines are assigned without repetition; from the 51st worker on, they are assigned again. A worker's machine
    depends only on (seed, run, worker), not on the size of the fleet, unless `place` names the worker that gets the
    slow machine. In that case it swaps machines with the worker to which the slow one was assigned. Slow periods, if
    they last, draw from the upper share of the worker's own latencies.
    """

    levels: Levels
    workers: int
    time_scale: float = 1.0
    mode: Mode = "floor"
    place: Place = "anywhere"
    stragglers: bool = True
    tables: tuple[Quantiles, ...] = field(init=False, repr=False)
    ordinary: tuple[int, ...] = field(init=False, repr=False)
    """The machines whose median is not above `STRAGGLER_S`."""
    slow: int = field(init=False, repr=False)
    """The machine whose median is."""
    name: str = field(default="collage-machines", init=False)

    def __post_init__(self) -> None:
        tables = [table for table, _ in machines()]
        ordinary = tuple(i for i, table in enumerate(tables) if table.at(0.5) <= STRAGGLER_S)
        if not self.stragglers:
            tables = [table.cut(STRAGGLER_S) for table in tables]
        scale = amount_scale(self.mode, self.time_scale)
        object.__setattr__(self, "ordinary", ordinary)
        object.__setattr__(self, "slow", next(i for i in range(len(tables)) if i not in ordinary))
        object.__setattr__(self, "tables", tuple(table.scaled(scale) for table in tables))

    @property
    def mean(self) -> float:
        """The mean draw over all assignments of machines (0.154 s unscaled); the mean of a single run differs."""
        ordinary, slow = fmean(self.tables[i].mean for i in self.ordinary), self.tables[self.slow].mean
        place = self.place if self.stragglers else "none"
        return fleet_mean(place, self.workers, 1.0 / len(self.tables), slow, ordinary)

    def machine(self, run: int, worker: int) -> int:
        """Return the index of the worker's machine in this run."""
        chosen = slow_worker(self.place, self.workers)
        if worker == chosen and self.stragglers:
            return self.slow
        machine = self._dealt(run, worker)
        if machine != self.slow or (self.stragglers and self.place == "anywhere"):
            return machine
        if chosen is not None and chosen // len(self.tables) == worker // len(self.tables):
            machine = self._dealt(run, chosen)
        return machine if machine != self.slow else self._spare(run, worker)

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the draw for one task: seconds, or a factor for scale."""
        table = self.tables[self.machine(run, worker)]
        return table.at(self.levels.of(run, worker, request, attempt, at))

    def without(self) -> CollageMachines | None:
        """Return the same fleet without the slow machine and slow periods; None if it already is without.

        The machine that is slow throughout is replaced by one of the others, chosen by (seed, run, worker). From those,
        values above 0.4 s are removed.
        """
        if not self.stragglers:
            return None
        return replace(self, stragglers=False, levels=replace(self.levels, persistence=0.0))

    def _dealt(self, run: int, worker: int) -> int:
        deal, place = divmod(worker, len(self.tables))
        return permutation(self.levels.seed, "machines", run, deal, len(self.tables))[place]

    def _spare(self, run: int, worker: int) -> int:
        chance = uniform(key(self.levels.seed, "spare machines", run, worker), 0)
        return self.ordinary[int(chance * len(self.ordinary))]

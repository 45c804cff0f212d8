"""The latencies that the authors of collage inference inject, in two readings.

Their workers (public repository krishnagirinarra/collage-inference) replay 137,594 measured latencies: mean 0.154 s,
p50 0.138, p90 0.189, p95 0.215, p99 0.702, p99.9 0.770, max 1.039; 2.02 % are above 0.5 s. Each value is a floor on a
whole service time.

Their code draws from all of them alike: any worker may straggle at any request (`collage_trace`). But the values lie in
the order of 50 logs, one a machine, and nearly the whole tail is one machine that is slow throughout (median 0.702 s;
the other medians run from 0.099 to 0.235 s). Read so (`CollageMachines`), a worker keeps one machine for a whole run,
and everything depends on who holds the slow one. Only the logs' quantiles are kept (`facts`), not their order: the
draws of one worker are independent.

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
"""A service this long, in unscaled seconds, is a straggler; the ordinary machines are all but never that slow."""


@lru_cache(maxsize=1)
def machines() -> tuple[tuple[Quantiles, int], ...]:
    """Return each machine's latencies, seconds, and how many values its log held.

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
    """Return the latencies of all machines together, seconds."""
    tables, counts = zip(*machines(), strict=True)
    return mixture(tables, counts)


def collage_trace(
    seed: int, time_scale: float = 1.0, mode: Mode = "floor", slow_share: float | None = None, persistence: float = 0.0
) -> Drawn:
    """Return stragglers of whom every task draws from the latencies of all machines, as the authors' code does.

    `slow_share` is None for the share above 0.4 s.
    """
    share = 1.0 - pooled().below(STRAGGLER_S) if slow_share is None else slow_share
    levels = Levels(seed, share, persistence)
    return Drawn("collage-trace", mode, pooled().scaled(amount_scale(mode, time_scale)), levels)


def amount_scale(mode: Mode, time_scale: float) -> float:
    """Return what makes draws of the table's seconds: for scale, a factor is a latency over the median of all."""
    return 1.0 / pooled().at(0.5) if mode == "scale" else time_scale


@dataclass(frozen=True, slots=True)
class CollageMachines:
    """Each worker is one machine for a whole run, dealt out without repetition (a 51st worker begins a new deal).

    Which machine a worker is depends on (seed, run, worker) only, not on the size of the fleet, unless `place` says who
    is the slow one: the worker to whom it was dealt then has what the slow worker was dealt. Slow periods, where they
    last, are the upper share of the worker's own latencies.
    """

    levels: Levels
    workers: int
    time_scale: float = 1.0
    mode: Mode = "floor"
    place: Place = "anywhere"
    stragglers: bool = True
    tables: tuple[Quantiles, ...] = field(init=False, repr=False)
    ordinary: tuple[int, ...] = field(init=False, repr=False)
    """The machines whose median is no straggler."""
    slow: int = field(init=False, repr=False)
    """The machine whose median is one."""
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
        """The mean draw over all deals, seconds: 0.154 unscaled; one run's fleet differs with who is in it."""
        ordinary, slow = fmean(self.tables[i].mean for i in self.ordinary), self.tables[self.slow].mean
        place = self.place if self.stragglers else "none"
        return fleet_mean(place, self.workers, 1.0 / len(self.tables), slow, ordinary)

    def machine(self, run: int, worker: int) -> int:
        """Return which machine, from 0, the worker is in this run."""
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
        """Return the least time this service takes, seconds, or a factor for scale."""
        table = self.tables[self.machine(run, worker)]
        return table.at(self.levels.of(run, worker, request, attempt, at))

    def without(self) -> CollageMachines | None:
        """Return the same fleet, every worker still one machine, but none of them slow, and no slow period.

        The machine that is slow throughout is replaced by one of the others, picked by (seed, run, worker); from those,
        values above 0.4 s are taken away.
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

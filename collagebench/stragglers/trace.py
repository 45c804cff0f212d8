"""The latencies that the authors of collage inference inject, in two readings.

Their workers (public repository krishnagirinarra/collage-inference) replay 137,594 measured latencies: mean 0.154 s,
p50 0.138, p90 0.189, p95 0.215, p99 0.702, p99.9 0.770, max 1.039; 2.02 % are above 0.5 s. Each value is a floor on a
whole service time.

Their code draws from all of them alike: any worker may straggle at any request (`CollageTrace`). But the values lie in
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
from collagebench.stragglers.draws import key, permutation, uniform
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


@dataclass(frozen=True, slots=True)
class CollageTrace:
    """Every task of every worker draws from the latencies of all machines, independently, as the authors' code does."""

    seed: int
    time_scale: float = 1.0
    stragglers: bool = True
    table: Quantiles = field(init=False, repr=False)
    name: str = field(default="collage-trace", init=False)
    mode: Mode = field(default="floor", init=False)

    def __post_init__(self) -> None:
        tables, counts = zip(*machines(), strict=True)
        table = mixture(tables, counts)
        if not self.stragglers:
            table = table.cut(STRAGGLER_S)
        object.__setattr__(self, "table", table.scaled(self.time_scale))

    @property
    def mean(self) -> float:
        """The mean draw, seconds: 0.154 unscaled, 0.142 without stragglers."""
        return self.table.mean

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the least time this service takes, seconds."""
        return self.table.at(uniform(key(self.seed, "stragglers", run, worker), request, attempt))

    def without(self) -> CollageTrace | None:
        """Return the same latencies on the condition that they are not above 0.4 s."""
        return replace(self, stragglers=False) if self.stragglers else None


@dataclass(frozen=True, slots=True)
class CollageMachines:
    """Each worker is one machine for a whole run, dealt out without repetition (a 51st worker begins a new deal).

    Which machine a worker is depends on (seed, run, worker) only, not on the size of the fleet.
    """

    seed: int
    time_scale: float = 1.0
    stragglers: bool = True
    tables: tuple[Quantiles, ...] = field(init=False, repr=False)
    ordinary: tuple[int, ...] = field(init=False, repr=False)
    """The machines whose median is no straggler."""
    name: str = field(default="collage-machines", init=False)
    mode: Mode = field(default="floor", init=False)

    def __post_init__(self) -> None:
        tables = [table for table, _ in machines()]
        ordinary = tuple(i for i, table in enumerate(tables) if table.at(0.5) <= STRAGGLER_S)
        if not self.stragglers:
            tables = [table.cut(STRAGGLER_S) for table in tables]
        object.__setattr__(self, "ordinary", ordinary)
        object.__setattr__(self, "tables", tuple(table.scaled(self.time_scale) for table in tables))

    @property
    def mean(self) -> float:
        """The mean draw over all deals, seconds: 0.154 unscaled; one run's fleet differs with who is in it."""
        kept = range(len(self.tables)) if self.stragglers else self.ordinary
        return fmean(self.tables[i].mean for i in kept)

    def machine(self, run: int, worker: int) -> int:
        """Return which machine, from 0, the worker is in this run."""
        deal, place = divmod(worker, len(self.tables))
        machine = permutation(self.seed, "machines", run, deal, len(self.tables))[place]
        if not self.stragglers and machine not in self.ordinary:
            chance = uniform(key(self.seed, "spare machines", run, worker), 0)
            machine = self.ordinary[int(chance * len(self.ordinary))]
        return machine

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the least time this service takes, seconds."""
        table = self.tables[self.machine(run, worker)]
        return table.at(uniform(key(self.seed, "stragglers", run, worker), request, attempt))

    def without(self) -> CollageMachines | None:
        """Return the same fleet, every worker still one machine, but none of them slow.

        The machine that is slow throughout is replaced by one of the others, picked by (seed, run, worker); from those,
        values above 0.4 s are taken away.
        """
        return replace(self, stragglers=False) if self.stragglers else None

"""The latencies that the authors of collage inference inject, in two readings.

Their workers (public repository krishnagirinarra/collage-inference) replay 137,594 measured latencies: mean 0.154 s, p50
0.138, p90 0.189, p95 0.215, p99 0.702, p99.9 0.770, max 1.039; 2.02 % are above 0.5 s. Each value is a floor on a whole
service time.

Their code draws from all of them alike: any worker may straggle at any request (`CollageTrace`). But the values lie in
the order of 50 logs, one a machine, and nearly the whole tail is one machine that is slow throughout (median 0.702 s;
the other medians run from 0.099 to 0.235 s). Read so (`CollageMachines`), a worker keeps one machine for a whole run,
and everything depends on who holds the slow one. Only the logs' quantiles are kept, not their order: the draws of one
worker are independent.

A straggler is a value above 0.4 s. Without them the pooled p99 is 0.244 s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

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
    table: Quantiles
    name: str = "collage-trace"
    mode: Mode = "floor"

    @property
    def mean(self) -> float:
        """The mean draw, seconds: 0.154 unscaled."""
        return self.table.mean

    def draw(self, run: int, worker: int, request: int, attempt: int) -> float:
        """Return the least time this service takes, seconds."""
        return self.table.at(uniform(key(self.seed, "stragglers", run, worker), request, attempt))

    def without(self) -> CollageTrace | None:
        """Return the same latencies on the condition that they are not above 0.4 s."""
        raise NotImplementedError

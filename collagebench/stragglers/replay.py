"""Replays of a trace: measured service times, one log for each machine.

    iid          every task draws from all values
    per-machine  a worker keeps one machine's log for a whole run, and draws from it in random order
    sequential   a worker keeps one log and reads it in order: request r at index (offset + r), with a random offset
    block        requests in blocks of B; each block reads consecutive values from a random place in all logs

Logs are assigned to workers without repetition; if there are more workers than logs, all logs are assigned again.
Reading wraps around at the end of a log. So every index is read equally often, and the mean is known exactly (for
blocks this is the circular block bootstrap of Politis and Romano, "A circular block-resampling procedure for stationary
data", 1992). The index depends on the request's number in the run, whatever a scheme does, so two schemes read the same
values. A worker that serves every tenth request of a run reads every tenth value. A task that is sent to the same
worker again reads the same value again.

Without stragglers, a value above the pooled 1 - slow_share quantile is replaced by a lower one, drawn from all logs.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate
from statistics import fmean
from typing import Literal, get_args

from collagebench.stragglers.drawn import Drawn
from collagebench.stragglers.draws import key, permutation, uniform
from collagebench.stragglers.families import Empirical
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.service import Mode

Order = Literal["iid", "block", "per-machine", "sequential"]
REPLAYS: tuple[Order, ...] = get_args(Order)
LASTING: tuple[Order, ...] = ("block", "sequential")
"""Replays that keep the order of the trace, and therefore its own slow periods."""
Log = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay in which the log of a value matters: all but `iid`, which is a `drawn.Drawn`."""

    logs: tuple[Log, ...] = field(repr=False)
    """Draws in their order, one log per machine: seconds, or factors for scale."""
    levels: Levels
    """Which values of a worker's log `per-machine` draws; `levels.share` of all values count as slow."""
    order: Order
    block: int = 50
    mode: Mode = "floor"
    stragglers: bool = True
    pooled: Empirical = field(init=False, repr=False, compare=False)
    ranked: tuple[Empirical, ...] = field(init=False, repr=False, compare=False)
    """Each log's values in ascending order."""
    ends: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """End of each log in the concatenation of all logs."""
    limit: float = field(init=False, repr=False, compare=False)
    """The value above which a draw counts as slow."""
    name: str = field(default="trace", init=False)

    def __post_init__(self) -> None:
        pooled = Empirical.of(value for log in self.logs for value in log)
        object.__setattr__(self, "pooled", pooled)
        object.__setattr__(self, "ranked", tuple(map(Empirical.of, self.logs)))
        object.__setattr__(self, "ends", tuple(accumulate(map(len, self.logs))))
        # A rounding error just above a whole number must not move the quantile by one value.
        ordinary = math.ceil((1.0 - self.levels.share) * len(pooled.values) * (1 - 1e-12))
        object.__setattr__(self, "limit", pooled.values[ordinary - 1])

    @property
    def mean(self) -> float:
        """The mean draw over all assignments of logs and all indices."""
        logs = (self.pooled,) if self.order == "block" else self.ranked
        if self.stragglers:
            return fmean(log.mean for log in logs)
        spare = self.pooled.lower_mean(1.0 - self.levels.share)
        return fmean(fmean(spare if value > self.limit else value for value in log.values) for log in logs)

    def log(self, run: int, worker: int) -> int:
        """Return the index of the log that the worker keeps in this run."""
        deal, place = divmod(worker, len(self.logs))
        return permutation(self.levels.seed, "logs", run, deal, len(self.logs))[place]

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the draw for one task."""
        value = self._read(run, worker, request, attempt, at)
        if self.stragglers or value <= self.limit:
            return value
        level = uniform(key(self.levels.seed, "spare values", run, worker), request, attempt)
        return self.pooled.at((1.0 - self.levels.share) * level)

    def without(self) -> Replay | None:
        """Return the same replay, in the same order, with every slow value replaced; None if that changes nothing."""
        calm = replace(self, stragglers=False, levels=replace(self.levels, persistence=0.0))
        return calm if self.stragglers and calm.mean < self.mean else None

    def _read(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        if self.order == "block":
            block, into = divmod(request, self.block)
            level = uniform(key(self.levels.seed, "blocks", run, worker), block)
            place = int(level * self.ends[-1])
            log = bisect_right(self.ends, place)
            return self.logs[log][(place - self.ends[log] + into) % len(self.logs[log])]
        log = self.log(run, worker)
        if self.order == "per-machine":
            return self.ranked[log].at(self.levels.of(run, worker, request, attempt, at))
        values = self.logs[log]
        offset = int(uniform(key(self.levels.seed, "offsets", run, worker), 0) * len(values))
        return values[(offset + request) % len(values)]


def replay(
    logs: tuple[Log, ...], levels: Levels, order: Order, block: int, mode: Mode, time_scale: float
) -> Drawn | Replay:
    """Return stragglers that replay `logs`, in seconds, multiplied by `time_scale`.

    In mode scale, the factor is a value divided by the median of all values, and the time scale has no effect.
    """
    pooled = Empirical.of(value for log in logs for value in log)
    scale = 1.0 / pooled.at(0.5) if mode == "scale" else time_scale
    if order == "iid":
        return Drawn("trace", mode, pooled.scaled(scale), levels)
    return Replay(tuple(tuple(value * scale for value in log) for log in logs), levels, order, block, mode)

"""Replaying what `collagebench record` saw of a fleet, and the format of the file that it writes.

The file is one JSON object, schema 1. Times are in seconds; what could not be known is null. A service is the worker's
own time for a request, and what the way there and back took beyond this worker's median (see `engine/watch.py`).

    schema         1
    environment    the machine and the versions, as in run.json
    model          name, dataset and sha256 of what the workers served
    workers, arrivals, rate (requests a second for each worker), duration_s, seed
    complete       false where the watch was interrupted; seconds: how long it went on
    disturbed      null, or the natural cause that slowed some workers: kind, workers, its parameters, what was started
    machine_busy   share of this machine's processor time that was in use meanwhile
    dispatch_lag_s {p50, p99}: how late requests were sent
    probabilities  those of every quantiles_s
    fleet          of all services: count, mean_s, p50_s, p99_s, quantiles_s, slow_above_s (twice the median),
                   slow_share, slow_periods, slow_periods_ended (the others are censored), slow_period_s (mean length),
                   slow_lasts, autocorrelation (mean of the machines')
    machines       the same of each worker (but slow_above_s), with worker, times_the_middle (its median / the median
                   of the workers' medians), slow_throughout, failed, lost, busy (share of its time in service),
                   queue_p50_s, queue_p99_s, round_trip_p50_s, round_trip_p99_s
    fits           family, parameters, ks, n, log_likelihood, aic: the smallest AIC first
    recommended    stragglers (a family, or `recorded`), options, because
    samples        the name of the file of all services beside this one, or null

In a replay worker i is recorded machine i (beginning again where there are fewer), and every service takes at least a
draw from that machine's quantiles. Where its slow periods lasted, they last in the replay: a two-state Markov process
with the recorded share and mean length decides when the draws come from the slow part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from collagebench.errors import DataError, UsageError
from collagebench.ordinary import ordinary
from collagebench.stragglers.draws import key, uniform
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.quantiles import Quantiles
from collagebench.stragglers.service import Mode

SCHEMA = 1
APART = 1e-9
"""Least relative distance of two quantiles in a table; equal ones are moved apart so far."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One machine as it was recorded."""

    table: Quantiles
    """Its service times, seconds."""
    throughout: bool
    """Whether it is slow throughout."""
    slow_share: float
    """Share of its services that are slow."""
    levels: Levels
    """Where in the table its draws are, and how long its slow periods last."""


@dataclass(frozen=True, slots=True)
class RecordedStragglers:
    """Worker i takes at least what recorded machine i took, drawn from its quantiles."""

    name: str
    seed: int
    machines: tuple[Recorded, ...]
    slow_above: float
    """Seconds above which a service is slow."""
    workers: int
    """Of the fleet, which may have fewer or more than were recorded."""
    ordinary: tuple[int, ...] | None = None
    """The machines that stand in for those that are slow throughout; None while those take part."""
    mode: Mode = field(default="floor", init=False)

    @property
    def mean(self) -> float:
        """The mean draw over the workers, seconds: each counts as the machine that it replays."""
        means = [machine.table.mean for machine in self.machines]
        if self.ordinary is not None:
            spare = fmean(means[i] for i in self.ordinary)
            means = [mean if i in self.ordinary else spare for i, mean in enumerate(means)]
        return fmean(means[worker % len(means)] for worker in range(self.workers))

    def machine(self, run: int, worker: int) -> Recorded:
        """Return which machine the worker is in this run."""
        place = worker % len(self.machines)
        if self.ordinary is not None and place not in self.ordinary:
            chance = uniform(key(self.seed, "spare machines", run, worker), 0)
            place = self.ordinary[int(chance * len(self.ordinary))]
        return self.machines[place]

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the least time this service takes, seconds."""
        machine = self.machine(run, worker)
        return machine.table.at(machine.levels.of(run, worker, request, attempt, at))

    def without(self) -> RecordedStragglers | None:
        """Return the same fleet without its stragglers, or None where there are none.

        A machine that is slow throughout, or was in every service seen, is replaced by one of the others, picked by
        (seed, run, worker); from those, services above twice the fleet's median are taken away.
        """
        always = [machine.throughout or machine.table.values[0] >= self.slow_above for machine in self.machines]
        ordinary = tuple(i for i, slow in enumerate(always) if not slow)
        if self.ordinary is not None or not ordinary:
            return None
        if not any(machine.slow_share or machine.throughout for machine in self.machines):
            return None
        calm = Levels(self.seed, 0.0)
        machines = tuple(
            machine if slow else replace(machine, table=machine.table.cut(self.slow_above), levels=calm)
            for machine, slow in zip(self.machines, always, strict=True)
        )
        return replace(self, machines=machines, ordinary=ordinary)


def open_recorded(
    path: Path | str,
    seed: int,
    time_scale: float = 1.0,
    persistence: float | None = None,
    workers: int | None = None,
) -> RecordedStragglers:
    """Return the stragglers that the profile at `path` recorded, for so many `workers`; None: as many as recorded.

    `time_scale` multiplies all recorded seconds. `persistence` is the mean length in seconds of slow periods, whatever
    was recorded and whatever the time scale; 0 makes every service slow for itself.

    Raises:
        DataError: the profile is missing, damaged or of a newer version.
        UsageError: the persistence is no number of seconds from 0 up, or no machine was slow for a time.
    """
    if persistence is not None and not 0 <= persistence < math.inf:
        raise UsageError(f"--persistence must be a number of seconds from 0 up, not {persistence}")
    profile = read(Path(path))
    try:
        probabilities = profile["probabilities"]
        slow_above = float(profile["fleet"]["slow_above_s"]) * time_scale
        machines = tuple(
            _machine(machine, probabilities, seed, time_scale, persistence)
            for machine in profile["machines"]
            if machine["quantiles_s"] is not None
        )
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise _damaged(Path(path), error) from None
    if not machines or not 0 < slow_above < math.inf:
        raise _damaged(Path(path), "it holds no worker's service times")
    if persistence and not any(machine.levels.persistence for machine in machines):
        raise UsageError(f"--persistence has no effect on {path}: no machine in it was slow for only part of the time")
    return RecordedStragglers(str(path), seed, machines, slow_above, workers or len(machines))


def read(path: Path) -> dict[str, Any]:
    """Return a recorded profile as it was written.

    Raises:
        DataError: it is missing, no profile, or of a newer version.
    """
    try:
        profile = json.loads(ordinary(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the recorded stragglers {path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    schema = profile.get("schema") if isinstance(profile, dict) else None
    if not isinstance(schema, int) or not {"machines", "fleet", "probabilities"} <= profile.keys():
        raise _damaged(path, "it is something else")
    if schema > SCHEMA:
        raise DataError(f"{path} has schema {schema}, but this version reads only up to {SCHEMA}: upgrade collagebench")
    return profile  # type: ignore[no-any-return]


def _damaged(path: Path, why: object) -> DataError:
    return DataError(
        f"{path} holds no recorded stragglers ({str(why).splitlines()[0]}); `collagebench record` writes them"
    )


def _machine(
    machine: dict[str, Any], probabilities: Sequence[float], seed: int, time_scale: float, persistence: float | None
) -> Recorded:
    share = float(machine["slow_share"])
    throughout = bool(machine["slow_throughout"])
    length = 0.0
    if 0 < share < 1 and not throughout:
        recorded = float(machine["slow_period_s"]) * time_scale if machine["slow_lasts"] else 0.0
        length = recorded if persistence is None else persistence
    if not (0 <= share <= 1 and 0 <= length < math.inf):
        raise ValueError("a share or a length is not possible")
    table = _rising(probabilities, machine["quantiles_s"]).scaled(time_scale)
    return Recorded(table, throughout, share, Levels(seed, share if length else 0.0, length))


def _rising(probabilities: Sequence[float], values: Sequence[float]) -> Quantiles:
    """Return the table of `values`, equal ones moved apart a little."""
    rising = [float(value) for value in values]
    if len(rising) != len(probabilities) or not all(0 < value < math.inf for value in rising):
        raise ValueError("quantiles are seconds above 0, one for each probability")
    if rising != sorted(rising):
        raise ValueError("quantiles are not in ascending order")
    for place in range(1, len(rising)):
        rising[place] = max(rising[place], rising[place - 1] * (1 + APART))
    return Quantiles(tuple(float(p) for p in probabilities), tuple(rising))

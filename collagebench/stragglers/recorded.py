"""Replay of a fleet that `collagebench record` watched, and the format of the profile that it writes.

The profile is one JSON object, schema 1. Times are in seconds; unknown values are null. A service time is the worker's
own time for a request, plus the transport time beyond this worker's median (see `engine/watch.py`).

    schema         1
    environment    the machine and the versions, as in run.json
    model          name, dataset and sha256 of the model that the workers served
    workers, arrivals, rate (requests a second for each worker), duration_s, seed
    complete       false if the watch was interrupted; seconds: how long it lasted
    disturbed      null, or the natural cause that slowed some workers: kind, workers, its parameters, what was started
    machine_busy   share of this machine's CPU time that was in use during the watch
    dispatch_lag_s {p50, p99}: how late requests were sent
    probabilities  those of every quantiles_s
    fleet          of all services: count, mean_s, p50_s, p99_s, quantiles_s, slow_above_s (twice the median),
                   slow_share, slow_periods, slow_periods_ended (the others are censored), slow_period_s (mean length),
                   slow_lasts, autocorrelation (mean of the machines')
    machines       the same of each worker (except slow_above_s), with worker, times_the_middle (its median / the median
                   of the workers' medians), slow_throughout, failed, lost, busy (share of its time in service),
                   queue_p50_s, queue_p99_s, round_trip_p50_s, round_trip_p99_s
    fits           family, parameters, ks, n, log_likelihood, aic: the smallest AIC first
    recommended    stragglers (a family, or `recorded`), options, because
    samples        the name of the file of all services beside this one, or null

In a replay, worker i is recorded machine i (starting again from 0 if there are fewer machines), and every service takes
at least a draw from that machine's quantiles. If its slow periods lasted, they last in the replay too: a two-state
Markov process with the recorded share and mean length decides when draws come from the slow part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NoReturn

from collagebench.errors import DataError, UsageError
from collagebench.kinds import KINDS, read_json, shown
from collagebench.stragglers.draws import key, uniform
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.quantiles import Quantiles
from collagebench.stragglers.service import Mode

SCHEMA = 1
APART = 1e-9
"""Least relative distance of two quantiles in a table; equal quantiles are moved apart by this."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded machine."""

    table: Quantiles
    """Its service times, in seconds."""
    throughout: bool
    """Whether it is slow throughout."""
    slow_share: float
    """Share of its services that are slow."""
    levels: Levels
    """At which levels of the table it draws, and how long its slow periods last."""


@dataclass(frozen=True, slots=True)
class RecordedStragglers:
    """A fleet in which every service of worker i takes at least a draw from the quantiles of recorded machine i."""

    name: str
    seed: int
    machines: tuple[Recorded, ...]
    slow_above: float
    """Seconds above which a service is slow."""
    workers: int
    """Number of workers in the fleet, which may differ from the recorded number."""
    ordinary: tuple[int, ...] | None = None
    """The machines that replace those that are slow throughout; None if those are not replaced."""
    mode: Mode = field(default="floor", init=False)

    @property
    def mean(self) -> float:
        """The mean draw over the workers, in seconds."""
        means = [machine.table.mean for machine in self.machines]
        if self.ordinary is not None:
            spare = fmean(means[i] for i in self.ordinary)
            means = [mean if i in self.ordinary else spare for i, mean in enumerate(means)]
        return fmean(means[worker % len(means)] for worker in range(self.workers))

    def machine(self, run: int, worker: int) -> Recorded:
        """Return the machine that the worker replays in this run."""
        place = worker % len(self.machines)
        if self.ordinary is not None and place not in self.ordinary:
            chance = uniform(key(self.seed, "spare machines", run, worker), 0)
            place = self.ordinary[int(chance * len(self.ordinary))]
        return self.machines[place]

    def draw(self, run: int, worker: int, request: int, attempt: int, at: float) -> float:
        """Return the least time that this service takes, in seconds."""
        machine = self.machine(run, worker)
        return machine.table.at(machine.levels.of(run, worker, request, attempt, at))

    def without(self) -> RecordedStragglers | None:
        """Return the same fleet without its stragglers, or None if it has none, or no ordinary machine.

        A machine that is slow throughout, or whose every service was slow, is replaced by one of the others, chosen by
        (seed, run, worker). From those, services above twice the fleet's median are removed.
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
    """Return the stragglers of the profile at `path` for a number of `workers`; None: as many as recorded.

    `time_scale` multiplies all recorded seconds. `persistence` replaces the recorded mean length of slow periods, in
    seconds, and is not scaled; 0 makes services slow independently.

    Raises:
        DataError: the profile is missing, damaged or of a newer version.
        UsageError: the persistence is not a number of seconds from 0 up, or no machine was slow for a part of the time.
    """
    if persistence is not None and not 0 <= persistence < math.inf:
        raise UsageError(f"--persistence must be a number of seconds from 0 up, not {persistence}")
    profile = read(Path(path))
    slow_above = profile["fleet"]["slow_above_s"] * time_scale
    try:
        machines = tuple(
            _machine(machine, profile["probabilities"], seed, time_scale, persistence)
            for machine in profile["machines"]
            if machine["quantiles_s"] is not None
        )
    except ValueError:  # rounded to infinity or to equal numbers
        raise DataError(
            f"{path} times {time_scale:g} (--time-scale) gives times too large or too small to be drawn"
        ) from None
    if persistence and not any(machine.levels.persistence for machine in machines):
        raise UsageError(f"--persistence has no effect on {path}: no machine in it was slow for only part of the time")
    return RecordedStragglers(str(path), seed, machines, slow_above, workers or len(machines))


def read(path: Path) -> dict[str, Any]:
    """Return a recorded profile as it was written; what a replay needs of it is checked.

    Raises:
        DataError: the file is missing, not a profile, damaged, or of a newer version.
    """
    try:
        profile = read_json(path)
    except OSError as error:
        raise DataError(f"the recorded stragglers {path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise _no_profile(path, error) from None
    schema = profile.get("schema") if isinstance(profile, dict) else None
    if not isinstance(schema, int) or not {"machines", "fleet", "probabilities"} <= profile.keys():
        raise _no_profile(path, "it is something else")
    if schema > SCHEMA:
        raise DataError(f"{path} has schema {schema}, but this version reads only up to {SCHEMA}: upgrade collagebench")
    _check(profile, path)
    return profile  # type: ignore[no-any-return]


def _no_profile(path: Path, why: object) -> DataError:
    return DataError(f"{path} holds no recorded stragglers ({why}); `collagebench record` writes them")


def _check(profile: dict[str, Any], path: Path) -> None:
    """Raise DataError for the first value of a profile with which nothing can be drawn."""

    def refuse(what: str, words: str, value: Any) -> NoReturn:
        raise DataError(
            f"{path}: {what} must be {words}, not {shown(value)}; the file was changed or is damaged: restore it, or "
            "record it again"
        )

    def check(where: str, holder: Any, kinds: Mapping[str, str]) -> None:
        if not isinstance(holder, dict):
            refuse(where, "an object", holder)
        for name, kind in kinds.items():
            words, fits = KINDS[kind]
            if not fits(holder.get(name)):
                refuse(f"{where}.{name}", words, holder.get(name))

    def check_rising(where: str, values: Any, kind: str) -> None:
        words, fits = KINDS[kind]
        if not isinstance(values, list):
            refuse(where, "a list", values)
        for place, value in enumerate(values):
            if not fits(value) or (place and value < values[place - 1]):
                refuse(f"{where}[{place}]", f"{words}, and not less than the one before", value)

    probabilities = profile["probabilities"]
    check_rising("probabilities", probabilities, "share")
    if len(probabilities) < 2 or (probabilities[0], probabilities[-1]) != (0, 1):
        refuse("probabilities", "shares from 0 to 1", probabilities)
    check("fleet", profile["fleet"], {"slow_above_s": "positive"})
    if not isinstance(profile["machines"], list):
        refuse("machines", "a list", profile["machines"])
    for number, machine in enumerate(profile["machines"]):
        where = f"machines[{number}]"
        check(where, machine, {"slow_share": "share", "slow_throughout": "truth", "slow_lasts": "truth"})
        if machine["slow_lasts"] and 0 < machine["slow_share"] < 1:
            check(where, machine, {"slow_period_s": "amount"})
        if machine.get("quantiles_s", ()) is not None:
            check_rising(f"{where}.quantiles_s", machine.get("quantiles_s"), "positive")
            if len(machine["quantiles_s"]) != len(probabilities):
                refuse(f"{where}.quantiles_s", f"a list of {len(probabilities)} numbers", machine["quantiles_s"])
    if all(machine["quantiles_s"] is None for machine in profile["machines"]):
        raise _no_profile(path, "it holds no worker's service times")


def _machine(
    machine: dict[str, Any], probabilities: Sequence[float], seed: int, time_scale: float, persistence: float | None
) -> Recorded:
    share, throughout = float(machine["slow_share"]), machine["slow_throughout"]
    length = 0.0
    if 0 < share < 1 and not throughout:
        recorded = float(machine["slow_period_s"]) * time_scale if machine["slow_lasts"] else 0.0
        length = recorded if persistence is None else persistence
    table = _rising(probabilities, machine["quantiles_s"]).scaled(time_scale)
    return Recorded(table, throughout, share, Levels(seed, share if length else 0.0, length))


def _rising(probabilities: Sequence[float], values: Sequence[float]) -> Quantiles:
    """Return a table of the quantiles `values`; equal ones are moved apart slightly."""
    rising = [float(value) for value in values]
    for place in range(1, len(rising)):
        rising[place] = max(rising[place], rising[place - 1] * (1 + APART))
    return Quantiles(tuple(float(p) for p in probabilities), tuple(rising))

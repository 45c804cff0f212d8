"""Implements `collagebench record`: watch a fleet, and write a profile of what was seen, fitted and recommended.

The format is described in `stragglers/recorded.py`, which replays profiles.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench import zoo
from collagebench.config import option
from collagebench.engine.evaluation import session
from collagebench.engine.event_loop import complete
from collagebench.engine.recording_files import (
    kept_meanwhile,
    rounded,
    write_profile,
    write_samples,
)
from collagebench.engine.watch import Machine, Watch, watch
from collagebench.errors import DataError, FleetError, Interrupted, OutputError, UsageError
from collagebench.fleet import CANNOT, LOCAL, Disturbance, Where
from collagebench.fleet.kept import kept
from collagebench.fleet.opening import see_that_limits_allow
from collagebench.hosts import check_python, deal
from collagebench.results.environment import Ticks, capture, cores, processor_time
from collagebench.stragglers.causes import NATURAL
from collagebench.stragglers.draws import stream
from collagebench.stragglers.fitting import fit_all
from collagebench.stragglers.model import PARAMETERS, open_stragglers, parameters_of
from collagebench.stragglers.natural import Natural
from collagebench.stragglers.observed import describe
from collagebench.stragglers.quantiles import PROBABILITIES
from collagebench.stragglers.recommended import recommend
from collagebench.stragglers.recorded import SCHEMA
from collagebench.workload.arrivals import arrivals
from collagebench.workload.dataset import open_dataset

BUSY = 0.1
"""The largest share of the machine's time that requests take at the default rate. At higher rates services wait for
each other's cores and are slow together, which a replay cannot reproduce."""
OVERHEAD = 0.0013
"""Seconds of processor time of a request besides its inference, in client and worker together."""
TIMED_INFERENCES = 25
MOST_REQUESTS = 5_000_000
IMAGES = 256
"""The largest number of different images that requests carry in turn."""
LEAST = 20
"""The least number of services of all workers together for which a profile is written."""

ARRIVALS = ("poisson", "constant")
"""Kinds of arrivals: a worker's own slowness shows best at an even load."""

Report = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """The options of a recording."""

    workers: int = 10
    where: Where = LOCAL
    """The workers' fleet."""
    dataset: str = "shapes"
    data: Path | None = None
    download: bool = False
    models: Path | None = None
    """A directory with a manifest; None for the shipped models."""
    arrivals: str = "poisson"
    rate: float | None = None
    """Requests per second for each worker; None for a rate that keeps this machine below about 10 % busy."""
    duration: float = 60.0
    """Seconds."""
    seed: int = 0
    stragglers: str = "none"
    """One of NATURAL, to disturb the workers meanwhile, or none."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The parameters of those stragglers."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"--workers must be 1 or more, not {self.workers}")
        if self.where.kind == "endpoint":
            raise UsageError(
                "record needs workers that report their service times, which endpoints do not: run against them with "
                "--stragglers none instead"
            )
        if self.where.kind == "ssh":
            deal(self.where.host, self.workers)
            check_python(self.where.remote_python)
        if self.arrivals not in ARRIVALS:
            raise UsageError(f"--arrivals must be {' or '.join(ARRIVALS)}, not {self.arrivals!r}")
        for name, value in (("rate", self.rate), ("duration", self.duration)):
            if value is not None and not 0 < value < 1e6:
                raise UsageError(f"--{name} must be a number above 0 and below 1,000,000, not {value:g}")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, not {self.seed}")
        parameters_of(self.stragglers)
        if self.stragglers not in ("none", *NATURAL):
            raise UsageError(
                f"record watches workers without injection: --stragglers must be one of {', '.join(NATURAL)}, which "
                f"really disturb them, not {self.stragglers}"
            )
        for name in self.parameters:
            takers = [kind for kind in NATURAL if name in parameters_of(kind)]
            if self.stragglers not in takers:
                raise UsageError(f"--{option(name)} is for --stragglers {' or '.join(takers)}, not {self.stragglers}")
        if self.stragglers in NATURAL and self.where.kind in CANNOT:
            raise UsageError(CANNOT[self.where.kind])

    def natural(self) -> Natural | None:
        """Return the stragglers that disturb the workers, or None."""
        natural = open_stragglers(self.stragglers, self.seed, self.workers, parameters=self.parameters)
        return natural if isinstance(natural, Natural) else None


def _too_few(what: str) -> str:
    return f"fewer than {LEAST} services {what}: record for longer (--duration) or raise --rate"


def record(
    asked: Recording, out: Path, samples: bool, report: Report, show: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Watch a fleet, write its profile to `out`, and return the profile; with `samples`, also write all services.

    `show` is called with texts that the user should keep seeing. If the watch is interrupted, or loses all workers, the
    profile covers what was seen until then, and its `complete` is false. If the process is killed, the samples seen so
    far remain in a file beside `out`.

    Raises:
        CollagebenchError: the fleet cannot be started, the images cannot be read, or the profile cannot be written. If
            there is room, the profile is then in the system's temporary directory, and the message says so.
        Interrupted: the watch was interrupted before enough services were seen.
    """
    see_that_limits_allow(asked.workers)
    found = Watch([Machine() for _ in range(asked.workers)])
    with kept_meanwhile(out, found.machines, LEAST) as keep:

        def advance(done: int, total: int, line: str) -> None:
            keep()
            report(done, total, line)

        return _record(asked, out, samples, found, advance, show)


def _record(
    asked: Recording, out: Path, samples: bool, found: Watch, report: Report, show: Callable[[str], None]
) -> dict[str, Any]:
    natural = asked.natural()
    model, pixels = _model_and_images(asked)
    rate = asked.rate or _default_rate(_inference_time(model, pixels), asked.workers)
    schedules = [_schedule(asked, rate, worker) for worker in range(asked.workers)]
    if sum(map(len, schedules)) < LEAST:
        raise UsageError(_too_few(f"would be sent in {asked.duration:g} s"))
    before = processor_time()
    finished = True
    logs = tempfile.mkdtemp(prefix="collagebench-logs-")
    with kept(logs):
        try:
            complete(
                watch(found, model, pixels, schedules, Path(logs), _disturbance(natural), report, show, asked.where)
            )
        except Interrupted:
            finished = found.whole
    gone = all_lost([machine.lost for machine in found.machines])
    if sum(len(machine.seen) for machine in found.machines) < LEAST:
        if not finished:
            raise Interrupted("interrupted before anything was recorded")
        if gone:
            raise FleetError(gone)
        raise UsageError(_too_few("were seen"))
    columns = [machine.in_order() for machine in found.machines]
    # After the duration, the watch only waits for answers, such as those of a hung worker.
    seconds = min(found.seconds, asked.duration)
    beside = out.with_name(f"{out.name.removesuffix('.json')}.csv.gz") if samples else None
    profile: dict[str, Any] = rounded(
        {
            "schema": SCHEMA,
            "environment": capture(),
            "model": {"name": model.name, "dataset": model.dataset, "sha256": model.sha256},
            "workers": asked.workers,
            "arrivals": asked.arrivals,
            "rate": rate,
            "duration_s": asked.duration,
            "seed": asked.seed,
            "complete": finished and not gone,
            "seconds": seconds,
            "disturbed": _disturbed(natural, found),
            "machine_busy": _busy(before, processor_time()),
            "dispatch_lag_s": {"p50": _quantile(found.lags, 0.5), "p99": _quantile(found.lags, 0.99)},
            "probabilities": list(PROBABILITIES),
            **_seen(found, columns, seconds),
            "samples": beside.name if beside else None,
        }
    )
    try:
        if beside:
            write_samples(beside, columns)
        write_profile(out, profile)
    except OutputError as error:
        spare = Path(tempfile.gettempdir()) / f"{datetime.now():%Y%m%d-%H%M%S}-{out.name}"
        write_profile(spare, {**profile, "samples": None})
        raise OutputError(f"{error}; the profile is in {spare}") from None
    return profile


def all_lost(reasons: Sequence[str | None]) -> str | None:
    """Return a message if all workers were lost, else None; `reasons` has the reason for each worker, or None."""
    if None in reasons:
        return None
    return f"every worker was lost: {'; '.join(sorted({str(reason) for reason in reasons}))}"


def _disturbance(natural: Natural | None) -> Disturbance | None:
    if natural is None:
        return None
    return Disturbance(natural.kind, natural.workers_of(0), natural.seed, 0, **natural.parameters)


def _disturbed(natural: Natural | None, found: Watch) -> dict[str, Any] | None:
    if natural is None:
        return None
    return {
        "kind": natural.kind,
        "workers": list(natural.workers_of(0)),
        **natural.parameters,
        "what": found.disturbed,
    }


def _model_and_images(asked: Recording) -> tuple[zoo.Model, NDArray[np.uint8]]:
    dataset = open_dataset(asked.dataset, asked.data, download=asked.download)
    model = zoo.find(zoo.fitting(zoo.load(asked.models or zoo.SHIPPED), dataset.classes), "single")
    if dataset.size != model.image:
        dataset = open_dataset(asked.dataset, asked.data, size=model.image[:2])
    if len(dataset) == 0:
        raise DataError(f"dataset {asked.dataset} has no images")
    count = min(IMAGES, len(dataset))
    chosen: NDArray[np.int64] = np.sort(stream(asked.seed, "images", 0).choice(len(dataset), count, replace=False))
    return model, dataset.load(chosen)


def _inference_time(model: zoo.Model, pixels: NDArray[np.uint8]) -> float:
    """Return the median processor time of one inference, in seconds."""
    runner = session(model)
    times = []
    for number in range(TIMED_INFERENCES):
        start = time.thread_time()
        runner.run(["logits"], {"image": pixels[number % len(pixels)][None]})
        times.append(time.thread_time() - start)
    return median(times)


def _default_rate(inference: float, workers: int) -> float:
    """Return the requests per second for each worker that keep this machine's cores below about 10 % busy."""
    rate = BUSY * min(cores(), workers) / (workers * (inference + OVERHEAD))
    return float(f"{rate:.3g}")


def _schedule(asked: Recording, rate: float, worker: int) -> NDArray[np.float64]:
    """Return the sending times of one worker's requests: seconds below the duration, independent of other workers'."""
    generator = stream(asked.seed, "arrivals", worker)
    mean = rate * asked.duration
    most = math.ceil(mean + 6 * math.sqrt(mean) + 6)
    if most * asked.workers > MOST_REQUESTS:
        raise UsageError(f"that makes more than {MOST_REQUESTS:,} requests: lower --rate or --duration")
    times = arrivals(asked.arrivals, rate, most, generator)
    if asked.arrivals == "constant":
        times = times + generator.uniform(0, 1 / rate)
    return times[times < asked.duration]


def _seen(found: Watch, columns: Sequence[NDArray[np.float64]], seconds: float) -> dict[str, Any]:
    """Return the part of the profile about the services, seen in so many seconds; `columns` are those of each machine,
    [4, n].
    """
    fleet, machines = describe([rows[0] for rows in columns], [rows[2] for rows in columns])
    for machine, seen, (_, queue, _, trip) in zip(machines, found.machines, columns, strict=True):
        machine.update(
            failed=seen.failed,
            lost=seen.lost,
            busy=min(sum(each.service for each in seen.seen) / seconds, 1.0),
            queue_p50_s=_quantile(queue, 0.5),
            queue_p99_s=_quantile(queue, 0.99),
            round_trip_p50_s=_quantile(trip, 0.5),
            round_trip_p99_s=_quantile(trip, 0.99),
        )
    fits = fit_all([rows[2] for rows in columns])
    return {
        "fleet": fleet,
        "machines": machines,
        "fits": [asdict(fit) for fit in fits],
        "recommended": recommend(fits, fleet, machines, PARAMETERS),
    }


def _quantile(values: Sequence[float] | NDArray[np.float64], p: float) -> float | None:
    return float(np.quantile(values, p, method="inverted_cdf")) if len(values) else None


def _busy(before: Ticks, after: Ticks) -> float | None:
    """Return the share of processor time in which this machine was not idle; None if it is unknown."""
    total = after.total - before.total
    return 1 - (after.idle - before.idle) / total if total > 0 else None

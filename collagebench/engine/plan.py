"""The plan of an experiment: everything that is fixed before the first request, for real and simulated fleets.

The plan says which workers have which role and model under each scheme. It holds the straggler model, the rate, and for
every run one schedule of arrivals and images, which all schemes share. It is a pure function of the config, except for
compute times that are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collagebench import zoo
from collagebench.config import Config
from collagebench.engine.durations import inference, rate_of, service
from collagebench.engine.evaluation import Images
from collagebench.engine.recorder import Workload
from collagebench.engine.straggling import stragglers_of
from collagebench.engine.variants import Variant, single_of, sizes_of, variants_of
from collagebench.errors import DataError, ModelError, UsageError
from collagebench.schemes.faults import breach
from collagebench.schemes.protocol import BATCHED, Request, Task
from collagebench.stragglers.draws import key, stream, uniform
from collagebench.stragglers.model import Stragglers
from collagebench.workload.arrivals import arrivals, facts_of, is_log, parameters_of
from collagebench.workload.dataset import Dataset, open_dataset
from collagebench.zoo.seen import seen_in_training, taught_by_another

AT_ONCE = 10_000
"""Requests that are created together."""
OTHER_LOAD = 1.5
"""How many times the mean load the parts of a log or of bursts that the runs meet may have, or it theirs, before a
warning says so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment, resolved."""

    config: Config
    variants: tuple[Variant, ...]
    stragglers: Stragglers
    single: zoo.Model
    """The model that classifies an image if there is no redundancy."""
    compute: Mapping[tuple[str, int], float]
    """Seconds of one inference, by model name and batch size."""
    mean_service: float
    """Mean service time of a single image, in seconds."""
    slow_above: float
    """Seconds of service above which a task straggles: twice the median service time of a single image."""
    rate: float
    """Arrivals per second."""
    workloads: tuple[Workload, ...]
    """One for each run."""
    images: Images
    doubts: tuple[str, ...] = ()
    """Warnings about images that models were trained on, about parity models trained for another single, and about
    arrivals: exact times that are not known, and parts whose load is not that of the whole."""

    @property
    def utilisation(self) -> float:
        """Share of the fleet's time that is needed to serve every request once."""
        return self.rate * self.mean_service / self.config.workers

    def compute_of(self, variant: Variant) -> Callable[[Task], float]:
        """Return a function that gives the inference time of a task, in seconds.

        For a batch that is not full, the time is interpolated between those of one input and of a full batch.
        """
        times = {}
        for role, model in variant.models.items():
            size = variant.codec.batch(role)
            one, full = self.compute[model.name, 1], self.compute[model.name, size]
            times[role] = (one, (full - one) / (size - 1) if size > 1 else 0.0)

        def compute(task: Task) -> float:
            one, more = times[task.role]
            if len(task.requests) > 1 and task.role in BATCHED and len(task.requests) > variant.codec.batch(task.role):
                raise breach(
                    variant.codec,
                    f"put {len(task.requests)} requests into one task for the {task.role} model, but its batch() says "
                    f"{variant.codec.batch(task.role)}",
                    variant.codec.batch,
                )
            return one + more * (len(task.requests) - 1)

        return compute

    def requests(self, run: int) -> Iterator[Request]:
        """Yield the requests of one run in order of arrival."""
        workload = self.workloads[run]
        for first in range(0, self.config.requests, AT_ONCE):  # a list of all would take more memory than the records
            images, arrivals = (each[first : first + AT_ONCE].tolist() for each in (workload.images, workload.arrivals))
            yield from map(Request, count(first), images, arrivals)

    def ties(self, run: int) -> Callable[[int, int], float]:
        """Return a function that breaks routing ties in one run: a number in (0, 1) for a request and an attempt.

        It is a pure function of its arguments and the seed. The numbers of first attempts, nearly all that are needed,
        are computed beforehand.
        """
        routing = key(self.config.seed, "routing", run)
        first = uniform(routing, np.arange(self.config.requests, dtype=np.uint64)).data

        def tie(request: int, attempt: int) -> float:
            return uniform(routing, request, attempt) if attempt else first[request]

        return tie

    def order(self, run: int) -> list[Variant]:
        """Return the variants in the order in which this run measures them."""
        places = stream(self.config.seed, "order", run).permutation(len(self.variants))
        return [self.variants[place] for place in places]


def make_plan(
    config: Config, measured: Mapping[tuple[str, int], float] = {}, pixels: NDArray[np.uint8] | None = None
) -> Plan:
    """Resolve a config.

    `measured` are the seconds of one inference, by model name and batch size, that need not be measured again. `pixels`
    are those of `Plan.images`, if another process has already read them.

    Raises:
        UsageError: an option has a wrong value, or options contradict each other.
        DataError: the images cannot be read.
        ModelError: there is no model for a role, or a model file is damaged.
    """
    variants, dataset = variants_of(config)
    compute = _compute_times(config, variants, measured)
    models = [model for variant in variants for model in variant.models.values()]
    size = _image_size(models)
    if dataset.size != size:
        if config.dataset == "shapes":
            raise ModelError(
                f"the models take images of {size[0]}x{size[1]} pixels, but those of shapes have {dataset.size[0]}"
            )
        dataset = open_dataset(config.dataset, config.data, size=size[:2])
    stragglers = stragglers_of(config)
    single = single_of(variants)
    mean_service, median_service = service(stragglers, compute[single.name, 1], config.workers)
    rate = rate_of(config, mean_service)
    if rate is None:
        raise UsageError(
            f"a service takes {mean_service * 1e3:.2g} ms on average, too short to choose a rate from: give the "
            "requests per second with --rate"
            + (", or how busy the workers should be with --utilisation" if mean_service > 0 else "")
        )
    workloads = tuple(_workload(config, rate, run, dataset) for run in range(config.runs))
    doubts = (
        seen_in_training(models, dataset),
        taught_by_another(models, models),
        _placed(config),
        _partial(config, rate, workloads),
    )
    needed = np.unique(np.concatenate([workload.images for workload in workloads]))
    return Plan(
        config,
        variants,
        stragglers,
        single,
        compute,
        mean_service,
        2 * median_service,
        rate,
        workloads,
        Images(needed, dataset.load(needed) if pixels is None else pixels),
        tuple(filter(None, doubts)),
    )


def compute_times(config: Config, measured: Mapping[tuple[str, int], float] = {}) -> Mapping[tuple[str, int], float]:
    """Return the seconds of one inference of each model that the config needs, by model name and batch size.

    Times that are not in `measured` are measured now, unless the config gives them. Raises the same as `make_plan`.
    """
    return _compute_times(config, variants_of(config)[0], measured)


def _compute_times(
    config: Config, variants: Sequence[Variant], measured: Mapping[tuple[str, int], float]
) -> Mapping[tuple[str, int], float]:
    single = single_of(variants)
    return {
        (name, size): measured.get((name, size)) or inference(model, size, single, config.compute_time)
        for (name, size), model in sizes_of(variants).items()
    }


def _image_size(models: Sequence[zoo.Model]) -> tuple[int, int, int]:
    first = models[0]
    for model in models[1:]:
        if model.image != first.image:
            raise ModelError(
                f"models {first.name} and {model.name} were trained on images of different sizes "
                f"({first.image[:2]} and {model.image[:2]} pixels): they cannot serve one fleet"
            )
    return first.image


def arrival_parameters(config: Config) -> dict[str, float | None]:
    """Return the config's values of the parameters that its kind of arrivals has; None for a default."""
    return {name: getattr(config, name) for name in parameters_of(config.arrivals)}


def _placed(config: Config) -> str | None:
    """Return a warning if the log of arrivals has whole seconds only."""
    if not (facts_of(config.arrivals) or {}).get("whole_seconds"):
        return None
    return (
        f"{Path(config.arrivals).name} has whole seconds only, so requests were placed at random within their seconds: "
        "shorter bursts are missing."
    )


def _partial(config: Config, rate: float, workloads: Sequence[Workload]) -> str | None:
    """Return a warning if the runs met parts of a log, or of bursts, that have another mean load than the whole."""
    log, facts = is_log(config.arrivals), facts_of(config.arrivals, arrival_parameters(config))
    if not facts or facts.get("parameters", {}).get("burst_factor") == 1:
        return None
    whole = (config.requests - log) / rate  # the first arrival of a log is at 0
    met = float(np.mean([workload.arrivals[-1] for workload in workloads]))
    if whole <= OTHER_LOAD * met and met <= OTHER_LOAD * whole:
        return None
    mean = f" of {Path(config.arrivals).name}" if log else ""
    more = "a run covers more of it" if log else "runs have their share of bursts"
    return (
        f"the requests of a run came within {_figures(met)} s, not within {_figures(whole)} s as at the mean load"
        f"{mean}: raise --requests, so that {more}."
    )


def _figures(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:,.0f}"


def _workload(config: Config, rate: float, run: int, dataset: Dataset) -> Workload:
    n, size = config.requests, len(dataset)
    if size == 0:
        raise DataError(f"dataset {config.dataset} has no images")
    generator = stream(config.seed, "arrivals", run)
    times = arrivals(config.arrivals, rate, n, generator, arrival_parameters(config))
    images = stream(config.seed, "images", run).choice(size, n, replace=n > size)
    labels = np.asarray(dataset.labels)
    prior = int(np.bincount(labels).argmax())
    classified = None
    if config.accuracy < n:
        classified = np.zeros(n, dtype=np.bool_)
        classified[stream(config.seed, "accuracy", run).choice(n, config.accuracy, replace=False)] = True
    return Workload(times, images, labels[images], min(round(config.warmup * n), n - 1), prior, classified)

"""Estimates before a run: the time of an inference on this machine, and of a service with stragglers."""

from __future__ import annotations

import time
from itertools import product
from statistics import fmean, median

import numpy as np

from collagebench.config import Config
from collagebench.engine.evaluation import session
from collagebench.stragglers.model import Stragglers
from collagebench.stragglers.service import service_time
from collagebench.zoo import Model

TIMED_INFERENCES = 25
SAMPLED_RUNS, SAMPLED_WORKERS = 200, 10_000
"""Limits of the sample of draws: runs, and workers over all runs, so that a large fleet is sampled in fewer runs."""
SHORT_SERVICE = 0.005
"""Seconds of mean service below which there is no default rate, because workers on one machine could not sustain it."""
FAR_APART = 1000.0
"""Seconds between the sampled services of a worker, so that they are not all in the same slow period."""


def inference(model: Model, batch: int, single: Model, of_single: float | None) -> float:
    """Return the seconds that the inference of a batch takes.

    If `of_single` is None it is measured: the median of several inferences on one thread. Otherwise `of_single` is the
    given time of one inference of `single`, and times are proportional to the number of operations.
    """
    runner = session(model)
    if of_single is not None:
        return of_single * batch * model.macs / single.macs
    blank = np.zeros((batch, *model.input), dtype=model.dtype)
    times = []
    for _ in range(TIMED_INFERENCES):
        start = time.perf_counter()
        runner.run(["logits"], {"image": blank})
        times.append(time.perf_counter() - start)
    return median(times)


def service(stragglers: Stragglers, compute: float, workers: int) -> tuple[float, float]:
    """Return the mean and the median service time of a single image in seconds.

    The median is that of a sample of draws. The mean is computed from the straggler model's exact mean; the sample only
    corrects it for draws that would make a service shorter than its inference.
    """
    runs = max(SAMPLED_RUNS // 20, min(SAMPLED_RUNS, SAMPLED_WORKERS // workers))
    places = product(range(runs), range(workers), range(5))
    draws = [stragglers.draw(run, worker, i, 0, i * FAR_APART) for run, worker, i in places]
    middle = median(service_time(stragglers.mode, compute, draw) for draw in draws)
    if stragglers.mode == "scale":  # never faster than the inference
        return compute * (stragglers.mean + fmean(max(1.0 - draw, 0.0) for draw in draws)), middle
    if stragglers.mode == "floor":
        return stragglers.mean + fmean(max(compute - draw, 0.0) for draw in draws), middle
    return service_time(stragglers.mode, compute, stragglers.mean), middle


def rate_of(config: Config, mean: float) -> float | None:
    """Return a config's arrivals per second if a service takes `mean` seconds; None if that is too short for one."""
    if config.rate is not None:
        return config.rate
    if mean <= 0 or (config.utilisation is None and mean < SHORT_SERVICE):
        return None
    return (config.utilisation or 0.5) * config.workers / mean

"""How long things should take, before any has been done: an inference on this machine, a service with stragglers."""

from __future__ import annotations

import time
from itertools import product
from statistics import fmean, median

import numpy as np

from collagebench.engine.evaluation import session
from collagebench.stragglers.model import Stragglers
from collagebench.stragglers.service import service_time
from collagebench.zoo import Model

TIMED_INFERENCES = 25
SAMPLED_RUNS, SAMPLED_WORKERS = 200, 10_000
"""Runs whose draws are sampled beforehand, and of how many workers in all: a large fleet says as much in fewer runs."""
FAR_APART = 1000.0
"""Seconds between the sampled services of one worker, so that one slow period does not count for all of them."""


def inference(model: Model, batch: int, single: Model, of_single: float | None) -> float:
    """Return the seconds that the inference of a batch takes: measured, a median on one thread, or worked out.

    `of_single` is how long one inference of `single` is said to take; others take as many times that as they take
    operations. None: nothing is said.
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

    The median is that of a sample of draws; the mean comes from the straggler model's own, and the sample makes up for
    draws that would make a service shorter than its inference.
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

"""The structured family's machines, requests and excursions are as asked."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from scipy import stats
from straggler_samples import drawn, levels, standard_errors

from collagebench.stragglers.model import open_stragglers
from collagebench.stragglers.structured import Structured


def structured(workers: int = 10, **parameters: Any) -> Structured:
    """Return the structured family with these parameters."""
    model = open_stragglers("structured", 3, workers, 1.0, parameters)
    assert isinstance(model, Structured)
    return model


def mixture_below(value: float) -> float:
    """Return the share of all draws below `value`, from a mixture of four lognormals."""
    body, width = math.log(0.1367) + 0.011, math.hypot(0.202, 0.103)
    share = 0.0
    for slow, mean, sigma in ((0.98, body, width), (0.02, math.log(0.702) + 0.011, 0.103)):
        for weight, factor in ((1 - 0.0065, 1.0), (0.0065, 1.83)):
            share += slow * weight * NormalDist(mean + math.log(factor), sigma).cdf(math.log(value))
    return share


def test_a_million_requests() -> None:
    """10^6 request factors follow the mixture of requests and excursions, within three standard errors."""
    family = structured().requests
    sample = drawn(family.at, levels(3))
    ordinary, excursion = (
        stats.lognorm(0.103, scale=math.exp(0.011)),
        stats.lognorm(0.103, scale=1.83 * math.exp(0.011)),
    )
    for value in (0.7, 0.9, 1.0, 1.2, 1.4, 1.6, 1.9, 2.2):
        assert standard_errors(sample, value, 0.9935 * ordinary.cdf(value) + 0.0065 * excursion.cdf(value)) < 3
    assert abs(sample.mean() - family.mean) < 3 * sample.std() / math.sqrt(len(sample))


def test_machines() -> None:
    """Of 30,000 machines 2 % have 0.702 s, within three standard errors, and the others are lognormal."""
    model = structured()
    machines = np.array([model.machine(run, worker) for run in range(3000) for worker in range(10)])
    slow = machines == 0.702
    assert abs(slow.mean() - 0.02) < 3 * math.sqrt(0.02 * 0.98 / len(machines))
    assert stats.kstest(machines[~slow], stats.lognorm(0.202, scale=0.1367).cdf).pvalue > 0.001


def test_all_draws_together() -> None:
    """200,000 draws of 20,000 machines have the mixture's distribution and mean, within three standard errors."""
    model = structured()
    requests = np.reshape([model.requests.at(level) for level in levels(3, 200_000)], (20_000, 10))
    machines = np.array([model.machine(run, worker) for run in range(2000) for worker in range(10)])
    draws = machines[:, None] * requests
    for value in (0.08, 0.1, 0.138, 0.2, 0.3, 0.5, 0.7, 0.9):
        shares = (draws < value).mean(axis=1)
        assert abs(shares.mean() - mixture_below(value)) < 3 * shares.std() / math.sqrt(len(shares))
    means = draws.mean(axis=1)
    assert abs(means.mean() - model.mean) < 3 * means.std() / math.sqrt(len(means))


def test_a_draw_is_the_product_of_its_factors() -> None:
    """A draw is the machine's factor times the request's at the task's level."""
    model = structured()
    for run, worker, request in ((0, 0, 0), (3, 7, 99), (5, 2, 12345)):
        factor = model.requests.at(model.levels.of(run, worker, request, 0, 0.0))
        assert model.draw(run, worker, request, 0, 0.0) == model.machine(run, worker) * factor


@pytest.mark.parametrize(("place", "holder"), [("last", 9), ("first", 0), ("none", None)])
def test_the_place_of_the_slow_machine(place: str, holder: int | None) -> None:
    """With a named place the slow machine is the same worker's in every run, or nobody's, and the mean reflects it."""
    model, anywhere = structured(slow_place=place), structured()
    for run in range(100):
        for worker in range(10):
            if worker == holder:
                assert model.machine(run, worker) == 0.702
            else:
                assert model.machine(run, worker) in (
                    anywhere.machine(run, worker),
                    anywhere.without().machine(run, worker),
                )
    ordinary = 0.1367 * math.exp(0.202**2 / 2)
    slow = ordinary if holder is None else 0.702
    assert model.mean == pytest.approx((9 * ordinary + slow) / 10 * model.requests.mean)


def test_without_stragglers() -> None:
    """Without stragglers no machine is slow and no request has an excursion; all other machines stay the same."""
    model = structured()
    bound = model.without()
    assert bound is not None
    assert bound.without() is None
    assert bound.mean == pytest.approx(0.1367 * math.exp(0.202**2 / 2) * math.exp(0.011 + 0.103**2 / 2))
    places = [(run, worker, 7, 0, 0.0) for run in range(300) for worker in range(10)]
    kept = [place for place in places if model.machine(*place[:2]) != 0.702]
    assert all(bound.machine(*place[:2]) == model.machine(*place[:2]) for place in kept)
    assert all(bound.draw(*place) <= model.draw(*place) for place in kept)
    assert structured(excursion_share=0.0, slow_machines=0.0).without() is None

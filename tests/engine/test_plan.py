"""What is fixed before the first request: images, arrivals, the rate, and which answers are classified."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from collagebench.cli.resolve import resolve
from collagebench.config import Config
from collagebench.engine.plan import Plan, make_plan
from collagebench.engine.straggling import USUAL_TIME_SCALE, time_scale
from collagebench.errors import UsageError


def planned(measured: dict[tuple[str, int], float] | None = None, **options: Any) -> Plan:
    """Return the plan of two runs of a scheme without redundancy on ten workers."""
    usual = {"schemes": ("none",), "workers": 10, "runs": 2, "requests": 300, "compute_time": 0.01}
    return make_plan(resolve({**usual, **options}), measured or {})


def test_images_come_twice_only_where_there_are_too_few() -> None:
    """A run of 10,000 requests uses each of 10,000 images once; one of 10,001 requests uses some again."""
    for requests in (10_000, 10_001):
        for workload in planned(requests=requests, accuracy=0).workloads:
            assert len(workload.images) == requests
            assert (len(np.unique(workload.images)) == requests) is (requests == 10_000)


def test_runs_differ_and_the_seed_decides() -> None:
    """Each run has its own arrivals and images, always the same for a seed, and an image always has the same label."""
    first, second = planned().workloads
    again, _ = planned().workloads
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.arrivals, again.arrivals)
    assert not np.array_equal(first.images, second.images)
    assert not np.array_equal(first.arrivals, second.arrivals)
    plan = planned(seed=1)
    assert not np.array_equal(plan.workloads[0].images, first.images)
    label = dict(zip(first.images.tolist(), first.labels.tolist(), strict=True))
    assert all(
        label.get(image, one) == one for image, one in zip(second.images.tolist(), second.labels.tolist(), strict=True)
    )


def test_as_many_answers_are_classified_as_asked_for() -> None:
    """Each run classifies `accuracy` answers, not the same in all runs; `classified` is None if that is all."""
    first, second = planned(accuracy=40).workloads
    assert first.classified is not None
    assert second.classified is not None
    assert (first.classified.sum(), second.classified.sum()) == (40, 40)
    assert not np.array_equal(first.classified, second.classified)
    assert planned(accuracy=300).workloads[0].classified is None


@pytest.mark.parametrize(("warmup", "requests", "left_out"), [(0.1, 300, 30), (0.5, 3, 2), (0.9, 1, 0), (0.0, 9, 0)])
def test_the_warm_up_leaves_a_request(warmup: float, requests: int, left_out: int) -> None:
    """The warm-up is a share of a run's requests, rounded, and never all of them."""
    assert planned(warmup=warmup, requests=requests).workloads[0].warmup == left_out


def test_the_rate_is_that_which_was_asked_for_or_follows_from_the_load() -> None:
    """The rate follows from the utilisation (0.5 by default), or the reverse; services of 1 ms are too short."""
    drawn = {"stragglers": "lognormal", "time_scale": 2.0}
    mean = 2.0 * 0.1 * np.exp(0.5**2 / 2)
    for options, utilisation in (({"utilisation": 0.3}, 0.3), ({}, 0.5), ({"rate": 7.0}, 0.7 * mean)):
        plan = planned(**drawn, **options)
        assert plan.mean_service == pytest.approx(mean, rel=0.01)
        assert plan.utilisation == pytest.approx(utilisation, rel=0.01)
        assert plan.rate == pytest.approx(10 * utilisation / mean, rel=0.01)
        assert plan.slow_above == pytest.approx(2 * 2.0 * 0.1, rel=0.05)
    with pytest.raises(UsageError, match=r"a service takes 1 ms on average, too short .* with --utilisation"):
        planned(stragglers="none", compute_time=0.001)


def test_measured_times_are_replayed_as_they_are() -> None:
    """Families and the published trace are sped up by default; other traces and recorded profiles are not."""
    for stragglers in ({"stragglers": "lognormal"}, {"stragglers": "collage-trace"}):
        assert time_scale(Config(**stragglers)) == USUAL_TIME_SCALE
        assert time_scale(Config(**stragglers, time_scale=0.7)) == 0.7
    for stragglers in ({"stragglers": "trace", "trace": "a.csv"}, {"stragglers": "recorded.json"}):
        assert time_scale(Config(**stragglers)) == 1.0
        assert time_scale(Config(**stragglers, time_scale=0.7)) == 0.7


def test_inference_is_timed_where_it_is_not_given() -> None:
    """Without --compute-time, inference is timed on this machine (here 1 µs to 1 s), unless it was timed before."""
    plan = planned(compute_time=None, rate=10.0)
    ((name, size), seconds) = next(iter(plan.compute.items()))
    assert (name, size) == (plan.single.name, 1)
    assert 1e-6 < seconds < 1.0
    assert planned({(name, 1): 0.123}, compute_time=None, rate=10.0).compute == {(name, 1): 0.123}

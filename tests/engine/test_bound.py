"""The bound: the same arrivals on the same fleet, had it no stragglers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from collagebench.cli.resolve import resolve
from collagebench.engine.bound import bound
from collagebench.engine.plan import Plan, make_plan
from collagebench.stragglers.families import Lognormal


def planned(**options: Any) -> Plan:
    """Return the plan of two runs on ten workers, whose inferences take 10 ms and hardly ever queue."""
    usual = {"schemes": ("hedge",), "workers": 10, "runs": 2, "requests": 1000, "rate": 5.0, "warmup": 0.1}
    return make_plan(resolve({**usual, "compute_time": 0.01, "accuracy": 0, **options}))


def test_without_its_slow_workers_a_fleet_takes_as_long_as_an_inference() -> None:
    """Whatever the slow ones did: each answer after the warm-up of both runs took 10 ms, the slowest as well."""
    told: list[int] = []
    found = bound(planned(stragglers="fixed", slow_workers=9), told.append)
    assert found is not None
    assert (found["requests"], found["source"], sum(told)) == (1800, "simulated", 2000)
    for name in ("p50", "p90", "p95", "p99", "p999", "max", "mean"):
        assert found[name] == pytest.approx(0.01)
    assert found["std"] == pytest.approx(0.0, abs=1e-9)
    assert [seconds for _, seconds in found["curve"]] == pytest.approx([0.01] * len(found["curve"]))


def test_its_quantiles_are_those_of_services_that_are_not_slow() -> None:
    """Where no request waits, latencies are draws from the lower 90 % of the distribution, within 5 %."""
    drawn = {"stragglers": "lognormal", "slow_share": 0.1, "time_scale": 1.0}
    found = bound(planned(**drawn, requests=4000, rate=1.0), lambda requests: None)
    assert found is not None
    draws = Lognormal(0.1, 0.5)
    for name, q in {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}.items():
        assert found[name] == pytest.approx(draws.at(0.9 * q), rel=0.05), name
    shares, seconds = np.array(found["curve"]).T
    assert seconds == pytest.approx([draws.at(0.9 * share) for share in shares], rel=0.05)
    assert (shares[0], shares[-1]) == pytest.approx((0.02, 1 - 1 / found["requests"]))
    assert {0.5, 0.98, 0.99} <= set(shares.round(12).tolist())
    assert (np.diff(shares) > 0).all()
    assert found["mean"] == pytest.approx(draws.lower_mean(0.9), rel=0.02)
    second = np.mean([draws.at(0.9 * (place + 0.5) / 10_000) ** 2 for place in range(10_000)])
    assert found["std"] == pytest.approx(math.sqrt(second - draws.lower_mean(0.9) ** 2), rel=0.05)


def test_a_fleet_without_stragglers_has_no_bound() -> None:
    """It is as fast as it would be: there is nothing to take away."""
    assert bound(planned(stragglers="none"), lambda requests: None) is None
    assert bound(planned(stragglers="fixed", slow_workers=0), lambda requests: None) is None


def test_requests_that_fail_have_no_end() -> None:
    """Under a deadline shorter than an inference every latency is infinite, and nothing is said of how they scatter."""
    found = bound(planned(stragglers="fixed", slow_workers=1, deadline=0.005), lambda requests: None)
    assert found is not None
    assert {found[name] for name in ("p50", "p99", "max", "mean", "std")} == {math.inf}

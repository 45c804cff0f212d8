"""The bound: latencies of the same arrivals on the same fleet without stragglers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from collagebench.cli.resolve import resolve
from collagebench.config import SchemeConfig
from collagebench.engine.bound import bound, with_deadlines, without_deadlines
from collagebench.engine.plan import Plan, make_plan
from collagebench.engine.variants import Variant
from collagebench.schemes.plain import Equal
from collagebench.stragglers.families import Lognormal


def planned(**options: Any) -> Plan:
    """Return the plan of two runs on ten workers, whose inferences take 10 ms and hardly ever queue."""
    usual = {"schemes": ("hedge",), "workers": 10, "runs": 2, "requests": 1000, "rate": 5.0, "warmup": 0.1}
    return make_plan(resolve({**usual, "compute_time": 0.01, "accuracy": 0, **options}))


def test_without_its_slow_workers_a_fleet_takes_as_long_as_an_inference() -> None:
    """Even with 9 of 10 workers slow, the bound of every request after the warm-up is the 10 ms of an inference."""
    told: list[int] = []
    found = bound(planned(stragglers="fixed", slow_workers=9), told.append)
    assert found is not None
    assert (found["requests"], found["source"], sum(told)) == (1800, "simulated", 2000)
    for name in ("p50", "p90", "p95", "p99", "p999", "max", "mean"):
        assert found[name] == pytest.approx(0.01)
    assert found["std"] == pytest.approx(0.0, abs=1e-9)
    assert [seconds for _, seconds in found["curve"]] == pytest.approx([0.01] * len(found["curve"]))


def test_its_quantiles_are_those_of_services_that_are_not_slow() -> None:
    """At a low load the bound's latencies are draws from the lower 90 % of the distribution, within 5 %."""
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
    """Without stragglers, or with 0 slow workers, the bound is None."""
    assert bound(planned(stragglers="none"), lambda requests: None) is None
    assert bound(planned(stragglers="fixed", slow_workers=0), lambda requests: None) is None


def test_requests_that_fail_have_no_end() -> None:
    """Under a deadline shorter than an inference, the quantiles, the mean and the deviation are infinite."""
    found = bound(planned(stragglers="fixed", slow_workers=1, deadline=0.005), lambda requests: None)
    assert found is not None
    assert {found[name] for name in ("p50", "p99", "max", "mean", "std")} == {math.inf}


@pytest.mark.parametrize("workers", [1, 50])
@pytest.mark.parametrize("utilisation", [0.5, 1.3])
@pytest.mark.parametrize(
    "drawn",
    [
        {"stragglers": "none"},
        {"stragglers": "markov", "persistence": 0.5},
        {"stragglers": "collage-machines"},
        {"stragglers": "fixed", "slow_workers": 1, "compute_time": 0.05},
    ],
    ids=lambda drawn: str(drawn["stragglers"]),
)
def test_the_short_way_finds_what_the_engine_does(drawn: dict[str, Any], utilisation: float, workers: int) -> None:
    """If no deadline is near, the short way gives the engine's latencies bit for bit, for both kinds of arrivals."""
    for arrivals in ("poisson", "constant"):
        asked = {"workers": workers, "arrivals": arrivals, "utilisation": utilisation, "deadline": 1e6, "runs": 1}
        plan = planned(**{**asked, **drawn, "rate": None, "schemes": ("none",), "requests": 600})
        variant = whole_fleet(plan)
        short = without_deadlines(plan, variant, 0, lambda requests: None)
        assert short is not None
        assert short.tolist() == with_deadlines(plan, variant, 0, lambda requests: None).tolist()


def test_the_short_way_leaves_deadlines_to_the_engine() -> None:
    """If a task may miss its deadline, the short way returns None, and the bound has both answers and failures."""
    plan = planned(stragglers="fixed", slow_workers=1, rate=1200.0, deadline=0.1)
    assert without_deadlines(plan, whole_fleet(plan), 0, lambda requests: None) is None
    found = bound(plan, lambda requests: None)
    assert found is not None
    assert found["p50"] < 0.1
    assert found["max"] == math.inf


def whole_fleet(plan: Plan) -> Variant:
    """Return the variant that serves each request once, by all workers."""
    workers = {"single": tuple(range(plan.config.workers))}
    return Variant(SchemeConfig("equal", "bound"), workers, {"single": plan.single}, Equal())

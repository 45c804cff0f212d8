"""Settings for gRPC and Envoy: the right delay, valid documents, and none where a proxy cannot do it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from collagebench.study.proxies import fixed, settings
from collagebench.study.wishes import Candidate

PLAIN = {"variant": "none", "latency_s": {"p50": 0.02, "p90": 0.03, "p95": 0.035, "p99": None}}
OWN = {"p50": 0.03, "p90": 0.04, "p95": 0.0431, "p99": 0.14}


def of(scheme: str, **options: Any) -> dict[str, Any] | None:
    """Return the settings for a choice."""
    return settings(Candidate(scheme, scheme, options, ()), {"schemes": [PLAIN, {"variant": scheme, "latency_s": OWN}]})


def test_a_hedge_becomes_a_hedging_policy_of_grpc() -> None:
    """gRPC gets two attempts, the second after the hedge's own percentile in seconds, for the protocol's method."""
    found = of("hedge", hedge_delay="p95")
    assert found is not None
    (method,) = json.loads(found["grpc"])["methodConfig"]
    assert method["hedgingPolicy"] == {
        "maxAttempts": 2,
        "hedgingDelay": "0.0431s",
        "nonFatalStatusCodes": ["UNAVAILABLE"],
    }
    assert method["name"] == [{"service": "inference.GRPCInferenceService", "method": "ModelInfer"}]


def test_a_hedge_becomes_a_route_of_envoy_with_its_budget_in_the_cluster() -> None:
    """Envoy's first try goes on while the copy is sent, and the cluster has the budget."""
    found = of("hedge", hedge_delay=0.05, hedge_budget=0.1)
    assert found is not None
    route, cluster = found["envoy"].split("# and in the cluster:\n")
    policy = yaml.safe_load(route)["route"]
    assert policy["hedge_policy"] == {"hedge_on_per_try_timeout": True}
    assert (policy["retry_policy"]["per_try_timeout"], policy["retry_policy"]["num_retries"]) == ("0.05s", 1)
    (threshold,) = yaml.safe_load(cluster)["circuit_breakers"]["thresholds"]
    assert threshold["retry_budget"]["budget_percent"] == {"value": 10}


def test_a_percentile_that_most_answers_take_becomes_a_longer_delay() -> None:
    """If the percentile is close to the median, a longer fixed delay is set, as otherwise jitter would cause copies."""
    alike = {"variant": "hedge", "latency_s": {"p50": 0.02, "p95": 0.0205}}
    found = settings(Candidate("hedge", "hedge", {}, ()), {"schemes": [PLAIN, alike]})
    assert found is not None
    assert (found["delay_s"], found["longer"]) == (0.0246, 0.2)
    apart = of("hedge", hedge_delay="p90")
    assert apart is not None
    assert (apart["delay_s"], apart["longer"]) == (0.04, 0.0)
    chosen = of("hedge", hedge_delay=0.03)
    assert chosen is not None
    assert chosen["delay_s"] == 0.03


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("none", {}),
        ("collage", {"grid": 3}),
        ("reissue", {"reissue_after": "p99"}),
        ("hedge", {"hedge_delay": 0.1, "hedge_probability": 0.5}),
    ],
)
def test_what_a_proxy_cannot_do_has_no_settings(scheme: str, options: dict[str, Any]) -> None:
    """There are no settings for a collage, no redundancy, reissue, or hedging with a probability."""
    assert of(scheme, **options) is None


def test_a_short_delay_is_written_without_an_exponent() -> None:
    """A delay of microseconds is written without an exponent, which Protobuf's JSON does not take."""
    found = of("hedge", hedge_delay=4.1e-5)
    assert found is not None
    assert '"0.000041s"' in found["grpc"]
    assert yaml.safe_load(found["envoy"])["route"]["retry_policy"]["per_try_timeout"] == "0.000041s"


def test_what_is_exported_can_be_simulated() -> None:
    """The fixed delay replaces the percentile, and the other options stay."""
    choice = Candidate("hedge p90 5 %", "hedge", {"hedge_delay": "p90", "hedge_budget": 0.05}, ())
    one = fixed(choice, 0.0732)
    assert dict(one.options) == {"hedge_delay": 0.0732, "hedge_budget": 0.05}
    assert one.variant == "hedge after 73.2 ms"


def test_a_percentile_that_is_not_known_gives_no_settings() -> None:
    """If the percentile is not known, there are no settings."""
    assert of("hedge", hedge_delay="p87") is None

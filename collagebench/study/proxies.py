"""Settings that reproduce a hedge in a gRPC service config or an Envoy route.

Both know only fixed delays. A running percentile is therefore replaced by its value in seconds at the highest simulated
load: the percentile of the choice's own latencies, which include the load and the gain of its copies. (The percentile
without redundancy is shorter on a busy fleet, and a fixed delay that is too short does not correct itself: copies
lengthen queues, which cause more copies.) If nearly all answers take the same time, for example because stragglers
only lose replies, the percentile is close to that common time, and on real machines most answers would come just after
the delay. The delay is then lengthened by MARGIN. The result of the fixed delay is simulated too, see `fixed`.

Sources: gRPC proposal A6 and the gRPC guide to request hedging (hedging policies are implemented in the Java and .NET
clients, not in Go, C++ or Python); Envoy's API reference (v3) of RetryPolicy, HedgePolicy and RetryBudget (a per-try
timeout counts as a 5xx, so 5xx must be retried).

Two things differ from the simulation. First, neither sends the copy to the least loaded other worker: gRPC sends it to
the next pick of its load balancer, so choose one that considers load; Envoy avoids the host already tried, by the
predicate below. Second, neither limits copies to a share of the requests: a gRPC client throttles only after failures,
and Envoy's budget counts active requests. Envoy also cannot reissue: without a hedge policy, its per-try timeout limits
the last try as well, and the request then fails.
"""

from __future__ import annotations

import json
from typing import Any

from collagebench.config import SchemeConfig
from collagebench.schemes.percentile import RunningPercentile, parse_delay
from collagebench.study.points import of_scheme
from collagebench.study.wishes import Candidate

METHOD = {"service": "inference.GRPCInferenceService", "method": "ModelInfer"}
JUST, MARGIN = 0.05, 0.2
"""A delay less than JUST (a share) above the median is lengthened by MARGIN (a share)."""


def settings(choice: Candidate, summary: dict[str, Any]) -> dict[str, Any] | None:
    """Return `delay_s`, `longer` (the share by which it exceeds the percentile), `grpc` and `envoy`.

    `summary` is that of the choice's experiment at the highest load. Returns None if the choice is not a hedge that
    copies every late request, or if its percentile is unknown.
    """
    if choice.scheme != "hedge" or choice.options.get("hedge_probability", 1.0) != 1.0:
        return None
    own = of_scheme(summary, choice.variant)
    given = parse_delay(choice.options.get("hedge_delay", "p95"))
    if not isinstance(given, RunningPercentile):
        return _texts(given, 0.0, choice)
    known, median = own["latency_s"].get(f"p{given.p:g}"), own["latency_s"]["p50"]
    if known is None:
        return None
    longer = MARGIN if median is not None and known < (1 + JUST) * median else 0.0
    return _texts(float(f"{known * (1 + longer):.4g}"), longer, choice)


def _texts(delay: float, longer: float, choice: Candidate) -> dict[str, Any]:
    budget = choice.options.get("hedge_budget")
    return {"delay_s": delay, "longer": longer, "grpc": _grpc(delay), "envoy": _envoy(delay, budget)}


def fixed(choice: Candidate, delay: float) -> SchemeConfig:
    """Return the choice with a fixed delay in seconds instead of its running percentile, as in gRPC and Envoy."""
    options = {**choice.options, "hedge_delay": delay}
    return SchemeConfig(choice.scheme, f"{choice.scheme} after {1e3 * delay:.7g} ms", tuple(sorted(options.items())))


def _as_text(delay: float) -> str:
    """Return seconds in protobuf's JSON form of a Duration: no exponent, at most nine decimals."""
    return f"{delay:.9f}".rstrip("0").rstrip(".") + "s"


def _grpc(delay: float) -> str:
    policy = {"maxAttempts": 2, "hedgingDelay": _as_text(delay), "nonFatalStatusCodes": ["UNAVAILABLE"]}
    config = {"methodConfig": [{"name": [METHOD], "hedgingPolicy": policy}]}
    return json.dumps(config, indent=2)


def _envoy(delay: float, budget: float | None) -> str:
    lines = [
        "route:",
        "  retry_policy:",
        "    retry_on: 5xx,unavailable",
        "    num_retries: 1",
        f"    per_try_timeout: {_as_text(delay)}",
        "    retry_back_off: {base_interval: 0.001s, max_interval: 0.001s}",
        "    retry_host_predicate:",
        "    - name: envoy.retry_host_predicates.previous_hosts",
        "      typed_config:",
        "        '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        "    host_selection_retry_max_attempts: 5",
        "  hedge_policy:",
        "    hedge_on_per_try_timeout: true",
    ]
    if budget is not None:
        lines += [
            "# and in the cluster:",
            "circuit_breakers:",
            "  thresholds:",
            f"  - retry_budget: {{budget_percent: {{value: {100 * budget:g}}}, min_retry_concurrency: 1}}",
        ]
    return "\n".join(lines)

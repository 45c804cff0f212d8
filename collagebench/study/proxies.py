"""What to write into a gRPC service config or an Envoy route to have a hedge there.

Both know only fixed delays, so a running percentile is given as the seconds that it had at the highest load simulated:
that percentile of the choice's own latencies, its copies' load and gain among them. (That of no redundancy is shorter
on a busy fleet, and a fixed delay that is too short does not mend itself: copies make queues, which make more copies.)
Where answers take about as long as each other, as where nothing but losses is drawn, a percentile of them is what most
of them take, and on real machines most would come just after it: the delay is then longer, see MARGIN. What the fixed
delay gives is simulated as well, see `fixed`.

Sources: gRPC proposal A6 and its guide to request hedging (hedging policies are implemented in the Java and .NET
clients, not in Go, C++ or Python); Envoy's API reference of RetryPolicy, HedgePolicy and RetryBudget, version 3 (a
time-out of a try counts as a 5xx, so that must be retried).

What neither can do as simulated here: send the copy to the least loaded other worker (gRPC sends it to the next pick of
its load balancer, so choose one that knows of loads; Envoy avoids the host that was tried by the predicate below), and
bound copies by requests (a gRPC client throttles only by failures; Envoy's budget counts active requests). Nor can
Envoy reissue: without a hedge policy its time-out of a try bounds the last try as well, and the request then fails.
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
"""A delay that is less than the first share above the median is made longer by the second."""


def settings(choice: Candidate, summary: dict[str, Any]) -> dict[str, Any] | None:
    """Return `delay_s`, `longer` (by what share than the percentile), `grpc` and `envoy`; None for other schemes.

    `summary` is that of the experiment with the choice at the highest load.
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
    """Return the choice with `delay` seconds in place of its running percentile, as gRPC and Envoy have it."""
    options = {**choice.options, "hedge_delay": delay}
    return SchemeConfig(choice.scheme, f"{choice.scheme} after {1e3 * delay:.7g} ms", tuple(sorted(options.items())))


def _as_text(delay: float) -> str:
    """Return seconds as protobuf's JSON has a Duration: no exponent, at most nine decimals."""
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

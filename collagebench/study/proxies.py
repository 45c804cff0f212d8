"""What to write into a gRPC service config or an Envoy route to have a hedge, or a retry after a timeout, there.

Both know only fixed delays, so a running percentile is given as the seconds that it had at the highest load simulated:
that percentile of the choice's own latencies, its copies' load and gain among them. (That of no redundancy is shorter
on a busy fleet, and a fixed delay that is too short does not mend itself: copies make queues, which make more copies.)
What the fixed delay gives is simulated as well, see `fixed`.

Sources: gRPC proposal A6 and its guide to request hedging (hedging policies are implemented in the Java and .NET
clients, not in Go, C++ or Python); Envoy's API reference of RetryPolicy, HedgePolicy and RetryBudget, version 3 (a
time-out of a try counts as a 5xx, so that must be retried).

What neither can do as simulated here: send the copy to the least loaded other worker (gRPC sends it to the next pick of
its load balancer, so choose one that knows of loads; Envoy avoids the host that was tried by the predicate below), and
bound copies by requests (a gRPC client throttles only by failures; Envoy's budget counts active requests).
"""

from __future__ import annotations

import json
from typing import Any

from collagebench.config import SchemeConfig
from collagebench.schemes.percentile import RunningPercentile, parse_delay
from collagebench.study.wishes import Candidate

METHOD = {"service": "inference.GRPCInferenceService", "method": "ModelInfer"}
DELAYS = {"hedge": "hedge_delay", "reissue": "reissue_after"}
"""The option that is the delay, of each scheme that can be had."""


def settings(choice: Candidate, summary: dict[str, Any]) -> dict[str, Any] | None:
    """Return `delay_s`, `grpc` and `envoy` (texts, None where it cannot be had there), or None for other schemes.

    `summary` is that of the experiment with the choice at the highest load.
    """
    if choice.scheme not in DELAYS or choice.options.get("hedge_probability", 1.0) != 1.0:
        return None
    own = next(scheme for scheme in summary["schemes"] if scheme["variant"] == choice.variant)
    delay = _seconds(choice.options.get(DELAYS[choice.scheme], "p95"), own["latency_s"])
    if delay is None:
        return None
    return {
        "delay_s": delay,
        "grpc": _grpc(delay) if choice.scheme == "hedge" else None,
        "envoy": _envoy(delay, choice.scheme == "hedge", choice.options.get("hedge_budget")),
    }


def fixed(choice: Candidate, delay: float) -> SchemeConfig:
    """Return the choice with `delay` seconds in place of its running percentile, as gRPC and Envoy have it."""
    options = {**choice.options, DELAYS[choice.scheme]: delay}
    return SchemeConfig(choice.scheme, f"{choice.scheme} after {1e3 * delay:.7g} ms", tuple(sorted(options.items())))


def _seconds(given: str | float, latencies: dict[str, float | None]) -> float | None:
    delay = parse_delay(given)
    if not isinstance(delay, RunningPercentile):
        return delay
    known = latencies.get(f"p{delay.p:g}")
    return None if known is None else float(f"{known:.4g}")


def _as_text(delay: float) -> str:
    """Return seconds as protobuf's JSON has a Duration: no exponent, at most nine decimals."""
    return f"{delay:.9f}".rstrip("0").rstrip(".") + "s"


def _grpc(delay: float) -> str:
    policy = {"maxAttempts": 2, "hedgingDelay": _as_text(delay), "nonFatalStatusCodes": ["UNAVAILABLE"]}
    config = {"methodConfig": [{"name": [METHOD], "hedgingPolicy": policy}]}
    return json.dumps(config, indent=2)


def _envoy(delay: float, hedges: bool, budget: float | None) -> str:
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
    ]
    if hedges:
        lines += ["  hedge_policy:", "    hedge_on_per_try_timeout: true"]
    if budget is not None:
        lines += [
            "# and in the cluster:",
            "circuit_breakers:",
            "  thresholds:",
            f"  - retry_budget: {{budget_percent: {{value: {100 * budget:g}}}, min_retry_concurrency: 1}}",
        ]
    return "\n".join(lines)

"""The report as one JSON object, with all that the table shows and more: the contract of `report --format json`.

An unknown figure is null, never 0, NaN or infinite. A quantile is unknown if there are too few requests to bound it
from above (then `latency_at_least_s` has its lower bound), or if so many failed that it is infinite (then `failed` and
a warning say so). Mean, std and max are null if any request failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from collagebench.errors import UsageError
from collagebench.report.between import between, ratio
from collagebench.report.differences import differences
from collagebench.report.tails import tails
from collagebench.report.verdict import verdict
from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.accuracy import Answers, answers, sample
from collagebench.statistics.comparison import MINIMUM_EFFECT, Difference, Versus, compare
from collagebench.statistics.cost import Cost, busy_share, cost, goodput, goodput_ci95
from collagebench.statistics.injection import injection
from collagebench.statistics.latency import Latency, failed_by_run, latency
from collagebench.statistics.quantiles import QUANTILES, requests_needed
from collagebench.statistics.timing import dispatch_lag, phase_means
from collagebench.statistics.validity import judge, overwhelmed
from collagebench.statistics.warnings import warnings

SCHEMA = 1
LOST, OVERLOADED = "fails most of its requests", "cannot sustain the load"


def summarise(runs: Sequence[Run], baseline: str | None = None, slo_ms: float | None = None) -> Any:
    """Return the report of one or several run directories as plain JSON values.

    One run gives the object itself; several give `runs`, a list of such objects, with `valid`, `reasons`, `comparison`
    and `differences` for all of them. If `slo_ms` is None, each run's own applies; if `baseline` is None, it is each
    run's first scheme.

    Raises:
        UsageError: a run has no scheme called `baseline`.
    """
    objects: list[dict[str, Any]] = [_one(run, baseline, slo_ms) for run in runs]
    if len(objects) == 1:
        return finite(objects[0])
    names = _labels(runs)
    together = {
        "schema": SCHEMA,
        "valid": all(item["valid"] for item in objects),
        "reasons": [f"{name}: {text}" for name, item in zip(names, objects, strict=True) for text in item["reasons"]],
        "runs": [{"name": name, **item} for name, item in zip(names, objects, strict=True)],
        "comparison": between(names, objects),
        "differences": differences(objects),
    }
    return finite(together)


def failing(scheme: dict[str, Any]) -> str | None:
    """Return why a scheme is unstable, LOST or OVERLOADED; None if it is not."""
    if not scheme["unstable"]:
        return None
    lost = 2 * scheme["failed"] > scheme["requests"] and len(scheme["unstable"]) == 1
    return LOST if lost else OVERLOADED


def bound_of(schemes: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the bound of a run's schemes, {latency_s, requests, source}; None without one."""
    return next((scheme["bound"] for scheme in schemes if scheme["bound"]), None)


def not_own(scheme: dict[str, Any]) -> float | None:
    """Return the share of answers that did not come from the request's own first task; None without answers."""
    sources: dict[str, float] = scheme["sources"]
    return 1 - sources.get("own", 0.0) if sources else None


def by_source(scheme: dict[str, Any]) -> Iterator[tuple[str, float | None, float | None, list[float] | None]]:
    """Yield each source with its share of the answers, their accuracy and its interval, the most frequent first.

    The answers to requests that straggled come last, as `(straggled)`.
    """
    accuracy = scheme["accuracy"]
    for source, share in sorted(scheme["sources"].items(), key=lambda item: -item[1]):
        yield source, share, accuracy["by_source"][source], accuracy["ci95_by_source"][source]
    share = accuracy["straggled_answers"] / accuracy["answers"] if accuracy["answers"] else None
    yield "(straggled)", share, accuracy["straggled"], accuracy["ci95_straggled"]


def finite(value: Any) -> Any:
    """Replace NaN and infinity in a JSON value by None."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _one(run: Run, baseline: str | None, slo_ms: float | None) -> dict[str, Any]:
    if slo_ms is None:
        slo_ms = run.config.get("slo_ms")
    if baseline is not None and baseline not in run.variants:
        raise UsageError(f"{run.directory} has no scheme {baseline!r}; its schemes are {', '.join(run.variants)}")
    reasons = judge(run)
    times = {variant: latency(run.of(variant).requests) for variant in run.variants}
    schemes = [_scheme(run, variant, time, slo_ms) for variant, time in times.items()]
    base = next((item for item in schemes if item["variant"] == baseline), schemes[0] if schemes else None)
    versus = compare(run, times, base["variant"]) if base else {}
    for item in schemes:
        item["relative"] = _relative(item, base)
        item["versus"] = _versus(versus.get(item["variant"]))
    return {
        "schema": SCHEMA,
        "valid": not reasons,
        "reasons": reasons,
        "warnings": warnings(run) + _never_in_time(schemes, slo_ms),
        "status": run.header.get("status"),
        "engine": run.header.get("engine"),
        "tool": run.header.get("tool"),
        "created_utc": run.header.get("created_utc"),
        "verdict": [] if reasons else verdict(schemes, base, MINIMUM_EFFECT),
        "baseline": base["variant"] if base else None,
        "minimum_effect": dict(MINIMUM_EFFECT),
        "slo_ms": slo_ms,
        "rate": run.service.get("rate"),
        "mean_service_s": run.service.get("mean_s"),
        "config": run.config,
        "stragglers": run.header.get("stragglers"),
        "arrivals": run.header.get("arrivals"),
        "environment": run.header.get("environment", {}),
        "models": run.header.get("models", []),
        "hosts": run.header.get("hosts", []),
        "schemes": schemes,
    }


def _never_in_time(schemes: list[dict[str, Any]], slo_ms: float | None) -> list[str]:
    """Return a warning if no answer is within the SLO, which was perhaps meant in seconds."""
    known = [
        scheme["goodput_rps"] for scheme in schemes if scheme["sources"] and scheme["goodput_rps"] is not None
    ]  # without schemes that answer nothing
    if slo_ms is None or not known or max(known) > 0:
        return []
    return [f"no answer of any scheme is within the --slo of {slo_ms:g} ms: check that it is in milliseconds."]


def _scheme(run: Run, variant: str, time: Latency, slo_ms: float | None) -> dict[str, Any]:
    facts, mine = run.scheme(variant), run.of(variant)
    allotment = facts.get("allotment")
    workers = sum(allotment.values()) if allotment else None
    given, spent = answers(mine.requests), cost(mine.tasks)
    some = len(mine.cells) > 0
    in_time = mine.requests, None if slo_ms is None else slo_ms / 1e3, sample(run) is not None
    rates = goodput_ci95(*in_time)
    return {
        "scheme": facts.get("scheme", variant),
        "variant": variant,
        "about": facts.get("about"),
        "code": facts.get("code"),
        "options": facts.get("options", {}),
        "settings": facts.get("settings", facts.get("options", {})),
        "workers": workers,
        "allotment": allotment,
        "utilisation": run.service.get("utilisation"),
        "busy": busy_share(mine.tasks, mine.requests, workers) if workers else None,
        "runs": len(mine.cells),
        "requests": time.requests,
        "failed": time.failed,
        "unstable": overwhelmed(run, variant),
        **_latency(time, within=len(mine.cells) == 1),
        "by_run": _by_run(time, mine.requests),
        "tail": tails(time),
        "phases_s": phase_means(mine.requests),
        **_answers(given),
        "cost": _cost(spent, int(mine.cells["requests"].sum())) if some else None,
        "goodput_rps": goodput(*in_time),
        "goodput_ci95_rps": rates and list(rates),
        "dispatch_lag_s": dispatch_lag(mine.requests),
        "injection": _injection(mine),
        "bound": _bound(run),
    }


def _latency(time: Latency, within: bool) -> dict[str, Any]:
    """Return quantiles with their intervals; those from within a run only if `within`, for a single run."""
    quantiles = {name: time.quantiles.get(name) for name in QUANTILES}
    known = {name: item.known if item else None for name, item in quantiles.items()}
    return {
        "latency_s": {**known, "mean": time.mean, "std": time.std, "max": time.max},
        "latency_at_least_s": {
            name: None if item is None or item.bounded else item.at_least for name, item in quantiles.items()
        },
        "infinite": [name for name, item in quantiles.items() if item and math.isinf(item.observed)],
        "ci95_s": {name: list(item.ci95) if item and item.ci95 else None for name, item in quantiles.items()},
        "ci95_within_s": {
            name: list(item.ci95_within) if within and item and item.ci95_within else None
            for name, item in quantiles.items()
        },
    }


def _by_run(time: Latency, requests: Table) -> dict[str, list[Any]]:
    """Return the figures of each run; infinite if too many requests failed."""
    runs = list(time.mean_by_run)
    quantiles = {f"{name}_s": [item.by_run[run] for run in runs] for name, item in time.quantiles.items()}
    failed = failed_by_run(requests)
    return {
        "run": runs,
        **quantiles,
        "mean_s": [time.mean_by_run[run] for run in runs],
        "failed_share": [failed[run] for run in runs],
    }


def _answers(given: Answers) -> dict[str, Any]:
    overall, by_source = given.overall, given.by_source
    return {
        "accuracy": {
            "overall": overall.value,
            "by_source": {source: share.value for source, share in by_source.items()},
            "ci95": list(overall.ci95) if overall.ci95 else None,
            "ci95_by_source": {source: list(s.ci95) if s.ci95 else None for source, s in by_source.items()},
            "answers": overall.of,
            "effective_answers": overall.worth,
            "straggled": given.straggled.value,
            "ci95_straggled": list(given.straggled.ci95) if given.straggled.ci95 else None,
            "straggled_answers": given.straggled.of,
        },
        "sources": {source: share.value for source, share in given.sources.items()},
    }


def _cost(spent: Cost, requests: int) -> dict[str, Any]:
    return {
        "executed_s": spent.executed_s,
        "cancelled_s": spent.cancelled_s,
        "wasted_s": spent.wasted_s,
        "bytes_sent": spent.bytes_sent,
        "cancelled_in_service_s": spent.cancelled_in_service_s,
        "cancelled_in_service_tasks": spent.cancelled_in_service_tasks,
        "tasks": spent.tasks,
        "cancelled_tasks": spent.cancelled_tasks,
        "unreported_tasks": spent.unreported_tasks,
        "executed_s_per_request": spent.executed_s / requests if requests and spent.executed_s is not None else None,
    }


def _injection(run: Run) -> dict[str, Any]:
    found = injection(run)
    return {
        "tasks": found.tasks,
        "error_s": {"p50": found.p50, "p99": found.p99},
        "beyond_floor": found.beyond_floor,
        "beyond_floor_share": found.share,
    }


def _versus(versus: Versus | None) -> dict[str, Any] | None:
    if versus is None:
        return None
    accuracy, answers = versus.figures["accuracy"], versus.answers
    counts = {"pairs": answers.pairs, "won": answers.won, "lost": answers.lost}
    return {
        "baseline": versus.baseline,
        "runs": versus.runs,
        "runs_left_out": versus.left_out,
        **{name: _slower(versus.figures[name]) for name in ("p50", "p99", "mean")},
        "accuracy": accuracy
        and {"difference": accuracy.value, "ci95": list(accuracy.ci95), **_tested(accuracy), **counts},
    }


def _slower(item: Difference | None) -> dict[str, Any] | None:
    if item is None:
        return None
    return {
        "difference_s": item.value,
        "ci95_s": list(item.ci95),
        "ratio": item.ratio,
        "ratio_ci95": item.ratio_ci95 and list(item.ratio_ci95),
        **_tested(item),
        "runs_needed": item.runs_needed,
    }


def _tested(item: Difference) -> dict[str, Any]:
    return {"p": item.p, "p_holm": item.p_holm, "real": item.real}


def _relative(item: dict[str, Any], base: dict[str, Any] | None) -> dict[str, float | None]:
    """Return p50, p99 and work of a scheme divided by those of the baseline."""

    def figures(scheme: dict[str, Any]) -> dict[str, float | None]:
        work = scheme["cost"] and scheme["cost"]["executed_s_per_request"]
        return {"p50": scheme["latency_s"]["p50"], "p99": scheme["latency_s"]["p99"], "executed": work}

    own, other = figures(item), figures(base) if base else {}
    return {name: ratio(value, other.get(name)) for name, value in own.items()}


def _bound(run: Run) -> dict[str, Any] | None:
    bound = run.header.get("bound")
    if not bound:
        return None
    latency_s = {name: bound.get(name) for name in (*QUANTILES, "mean", "std", "max")}
    latency_s.update({name: None for name, q in QUANTILES.items() if bound.get("requests", 0) < requests_needed(q)})
    return {"latency_s": latency_s, "requests": bound.get("requests"), "source": bound.get("source")}


def _labels(runs: Sequence[Run]) -> list[str]:
    """Return the directories' names, or paths if two have the same name."""
    names = [run.directory.resolve().name for run in runs]
    return [str(run.directory) if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]

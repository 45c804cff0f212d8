"""The report as CSV: one row for each scheme of each run, always with the same columns, empty if unknown.

Times are in seconds, shares from 0 to 1; a column's name has its unit. New columns are only added at the end.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from collagebench.report.expression import LATENCIES
from collagebench.report.summary import finite, not_own
from collagebench.report.tails import ends_of
from collagebench.statistics.quantiles import QUANTILES
from collagebench.statistics.timing import PHASES

Object = dict[str, Any]


def rows(summary: Object, names: Sequence[str]) -> str:
    """Return the object that `summarise` made of runs called `names` as CSV, with a header line."""
    runs = zip(names, summary.get("runs", [summary]), strict=True)
    return _written(COLUMNS, ({"run": name, **_row(one, scheme)} for name, one in runs for scheme in one["schemes"]))


def sweep_rows(summary: Object) -> str:
    """Return the object that `summarise_sweep` made as CSV: a row for each scheme of each cell.

    Before the columns of a run there is one for each axis; `run` is the cell's name. A scheme that is unstable is not
    valid, which says nothing against the others in its cell.
    """
    axes = [axis["option"] for axis in summary["axes"]]
    heads = [f"axis_{axis}" for axis in axes]
    found = (
        {
            **{head: cell["values"][axis] for head, axis in zip(heads, axes, strict=True)},
            "run": cell["name"],
            **_row({**cell, "valid": cell["valid"] and not scheme["unstable"]}, scheme),
        }
        for cell in summary["cells"]
        for scheme in cell["schemes"]
    )
    return _written([*heads, *COLUMNS], found)


def _written(columns: Sequence[str], found: Iterable[Object]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def _row(one: Object, scheme: Object) -> Object:
    accuracy, cost, relative = scheme["accuracy"], scheme["cost"] or {}, scheme["relative"]
    bound = (scheme["bound"] or {}).get("latency_s", {})
    row = {
        "engine": one["engine"],
        "valid": one["valid"],
        "scheme": scheme["scheme"],
        "variant": scheme["variant"],
        "baseline": one["baseline"],
        "workers": scheme["workers"],
        "rate_rps": one["rate"],
        "utilisation": scheme["utilisation"],
        "busy": scheme["busy"],
        "runs": scheme["runs"],
        "requests": scheme["requests"],
        "failed": scheme["failed"],
        **{f"latency_{name}_s": value for name, value in scheme["latency_s"].items()},
        **_ends("latency_{}_ci95_{}_s", {name: ends_of(scheme, name) for name in QUANTILES}),
        **{f"latency_{name}_at_least_s": value for name, value in scheme["latency_at_least_s"].items()},
        "p50_ratio": relative["p50"],
        "p99_ratio": relative["p99"],
        "work_ratio": relative["executed"],
        **_differences(scheme["versus"] or {}),
        "accuracy": accuracy["overall"],
        **_ends("{}_ci95_{}", {"accuracy": accuracy["ci95"]}),
        "accuracy_straggled": accuracy["straggled"],
        "not_own": not_own(scheme),
        "goodput_rps": scheme["goodput_rps"],
        **_ends("{}_ci95_{}_rps", {"goodput": scheme["goodput_ci95_rps"]}),
        "executed_s": cost.get("executed_s"),
        "executed_s_per_request": cost.get("executed_s_per_request"),
        "wasted_s": cost.get("wasted_s"),
        "cancelled_s": cost.get("cancelled_s"),
        "bytes_sent": cost.get("bytes_sent"),
        **{f"phase_{name}_mean_s": scheme["phases_s"][name] for name in PHASES},
        **{f"dispatch_lag_{name}_s": value for name, value in scheme["dispatch_lag_s"].items()},
        **{f"bound_{name}_s": bound.get(name) for name in ("p50", "p95", "p99", "mean")},
        "unstable": bool(scheme["unstable"]),
    }
    return {name: "true" if value is True else "false" if value is False else value for name, value in row.items()}


def _ends(name: str, intervals: dict[str, Sequence[float] | None]) -> Object:
    ends = {figure: finite(list(interval or (None, None))) for figure, interval in intervals.items()}
    return {
        name.format(figure, end): ends[figure][place] for figure in ends for place, end in enumerate(("low", "high"))
    }


def _differences(versus: Object) -> Object:
    """Return the paired differences from the baseline; empty for the baseline itself, and with too few runs."""
    found: Object = {}
    for name, unit in (("p50", "_s"), ("p99", "_s"), ("mean", "_s"), ("accuracy", "")):
        figure = versus.get(name) or {}
        low, high = figure.get("ci95") or figure.get("ci95_s") or (None, None)
        found |= {
            f"{name}_difference{unit}": figure.get(f"difference{unit}"),
            f"{name}_difference_ci95_low{unit}": low,
            f"{name}_difference_ci95_high{unit}": high,
            **({} if name == "accuracy" else _ends("{}_ci95_{}", {f"{name}_ratio": figure.get("ratio_ci95")})),
            f"{name}_p_holm": figure.get("p_holm"),
            f"{name}_real": figure.get("real"),
        }
    return found


COLUMNS = (
    *("run", "engine", "valid", "scheme", "variant", "baseline", "workers", "rate_rps", "utilisation", "busy", "runs"),
    *("requests", "failed"),
    *(f"latency_{name}_s" for name in LATENCIES),
    *(f"latency_{name}_ci95_{end}_s" for name in QUANTILES for end in ("low", "high")),
    *(f"latency_{name}_at_least_s" for name in QUANTILES),
    *("p50_ratio", "p99_ratio", "work_ratio"),
    *_differences({}),
    *("accuracy", "accuracy_ci95_low", "accuracy_ci95_high", "accuracy_straggled", "not_own"),
    *("goodput_rps", "goodput_ci95_low_rps", "goodput_ci95_high_rps"),
    *("executed_s", "executed_s_per_request", "wasted_s", "cancelled_s", "bytes_sent"),
    *(f"phase_{name}_mean_s" for name in PHASES),
    *("dispatch_lag_p50_s", "dispatch_lag_p99_s"),
    *(f"bound_{name}_s" for name in ("p50", "p95", "p99", "mean")),
    "unstable",
)
"""The columns, in order."""

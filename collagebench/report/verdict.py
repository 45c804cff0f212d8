"""The verdict in sentences: each scheme against the baseline, the best first.

Nothing is computed here. A difference is stated without reservation only if it is real: significant and larger than the
minimum effect. Figures that cannot be trusted allow no conclusion, so an INVALID run has no sentences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from collagebench.report.parts import as_ms, as_p
from collagebench.statistics.paired import LEVEL

SINGLES = {"own", "replica", "hedge", "resent"}
"""Sources of answers that the single gives."""


def verdict(schemes: Sequence[dict[str, Any]], base: dict[str, Any] | None, minimum: dict[str, float]) -> list[str]:
    """Return one sentence for each scheme other than `base`, from a summary's schemes and `minimum_effect`."""
    others = [scheme for scheme in schemes if scheme["versus"]]
    if base is None:
        return []
    ordered = sorted(others, key=lambda scheme: _place(scheme, base))
    return [*(_sentence(scheme, base, minimum) for scheme in ordered), *_more_runs(ordered)]


def by_single(scheme: dict[str, Any]) -> bool:
    """Return whether the single gave every answer of a scheme."""
    return set(scheme["sources"]) <= SINGLES


def _place(scheme: dict[str, Any], base: dict[str, Any]) -> tuple[int, bool, float]:
    """Return a sort key: schemes really faster than the baseline, then not shown to differ, really slower, and unknown.

    Within each group, those really less accurate come last. An infinite p99 is slower than any other.
    """
    figure, accuracy = scheme["versus"]["p99"] or scheme["versus"]["p50"], scheme["versus"]["accuracy"]
    if figure is None:
        return 3, False, 0.0
    loses = bool(accuracy and accuracy["real"] and accuracy["difference"] < 0)
    if "p99" in scheme["infinite"]:
        return 2, loses, math.inf
    if "p99" in base["infinite"] and scheme["latency_s"]["p99"] is not None:
        return 0, loses, scheme["latency_s"]["p99"]
    return (1 if not figure["real"] else 0 if figure["ratio"] < 1 else 2), loses, figure["ratio"]


def _sentence(scheme: dict[str, Any], base: dict[str, Any], minimum: dict[str, float]) -> str:
    name, versus = scheme["variant"], scheme["versus"]
    p99, p50, accuracy = versus["p99"], versus["p50"], versus["accuracy"]
    if p99:
        text = f"{name}: {_latency('p99', p99, base['variant'], minimum['latency'])}{_hardware(scheme, base)}"
    elif p50:
        text = f"{name}: {_failures(scheme, base)}"
        text += f"{_latency('p50', p50, base['variant'], minimum['latency'])}{_hardware(scheme, base)}"
        text += f", {_p99_alone(scheme, base)}"
    else:
        text = f"{name}: {_failures(scheme, base)}"
        text += f"latency not compared with {base['variant']} ({_why(scheme, base)})"
    one_model = by_single(scheme) and by_single(base)
    return text + (_accuracy(accuracy, minimum["accuracy"], one_model) + _pairs(scheme, base) if accuracy else "")


def _more_runs(schemes: Sequence[dict[str, Any]]) -> list[str]:
    """Return a sentence about the runs that differences in p99 need, if more runs may show any."""
    known = [(scheme["variant"], (scheme["versus"]["p99"] or {}).get("runs_needed")) for scheme in schemes]
    needed = {name: count for name, count in known if count is not None}
    if not needed:
        return []
    (name, count), *others = needed.items()
    texts = [f"about {count} for {name}", *(f"{count} for {name}" for name, count in others)]
    return [
        f"more runs may tell: {', '.join(texts)}, if the p99 differs as measured; --resume --runs "
        f"{max(needed.values())} adds them"
    ]


def _p99_alone(scheme: dict[str, Any], base: dict[str, Any]) -> str:
    """Return the scheme's p99 if that of the baseline is infinite, otherwise why the p99 is not compared."""
    p99 = scheme["latency_s"]["p99"]
    if "p99" in base["infinite"] and p99 is not None:
        return f"p99 {as_ms(p99)} ms ({base['variant']}: infinite)"
    return f"p99 not compared ({_why(scheme, base)})"


def _failures(scheme: dict[str, Any], base: dict[str, Any]) -> str:
    """Return how many requests failed if a p99 is infinite, as that decides what can be compared; otherwise empty."""
    if not any("p99" in one["infinite"] for one in (scheme, base)):
        return ""
    count = scheme["failed"]
    own = "no request" if not count else f"{count} request{'s' if count > 1 else ''}"
    return f"{own} failed ({base['variant']}: {base['failed']}), "


def _latency(name: str, figure: dict[str, Any], base: str, minimum: float) -> str:
    if figure["ratio"] == 1 and figure["ci95_s"] == [0, 0]:
        return f"{name} the same as that of {base}"
    times = max(figure["ratio"], 1 / figure["ratio"])
    way = "lower" if figure["ratio"] < 1 else "higher"
    size = "1.00x" if _times(times) == "1.00" else f"{_times(times)}x {way}"
    if figure["real"]:
        ends = f" ({_ends(figure)})" if _ends(figure) else ""
        return f"{name} {_times(times)}x{ends} {way} than {base}"
    if figure["p_holm"] <= LEVEL:
        if not figure["ratio_ci95"]:
            return f"{name} inconclusive against {base} ({size}, with an unbounded interval)"
        low, high = figure["ratio_ci95"]
        if 1 / (1 + minimum) <= low and high <= 1 + minimum:
            return f"{name} within {100 * minimum:g} % of {base} ({size})"
        mean = "lower" if figure["difference_s"] < 0 else "higher"
        if mean == way and low < high:
            return f"{name} inconclusive against {base} ({size}, could be {_ends(figure)})"
        return f"{name} inconclusive against {base} ({size} over all runs together, {mean} on average over the runs)"
    return f"{name} not shown to differ from {base} ({size}, p {as_p(figure['p_holm'])})"


def _ends(figure: dict[str, Any]) -> str:
    """Return the interval of the factor, lower or higher; empty if its rounded ends are equal."""
    if not figure["ratio_ci95"]:
        return ""
    ends = figure["ratio_ci95"] if figure["ratio"] >= 1 else [1 / end for end in reversed(figure["ratio_ci95"])]
    low, high = map(_times, ends)
    return f"{low} to {high}" if low != high else ""


def _times(times: float) -> str:
    return f"{times:.2f}" if times < 1.1 else f"{times:.1f}" if times < 10 else f"{times:,.0f}"


def _accuracy(figure: dict[str, Any], minimum: float, one_model: bool) -> str:
    points = f"{100 * figure['difference']:+.1f}"
    low, high = figure["ci95"]
    if points in ("+0.0", "-0.0") and not figure["real"]:
        if (one_model and not figure["won"] + figure["lost"]) or -minimum <= low <= high <= minimum:
            return ", the same accuracy"
        return f", accuracy not shown to differ ({100 * low:+.1f} to {100 * high:+.1f} points)"
    if figure["real"]:
        return f", accuracy {points} points"
    if abs(float(points)) >= 100 * minimum > abs(100 * figure["difference"]):  # or rounding would make it seem as large
        points = f"{100 * figure['difference']:+.3f}"
    why = (
        f"significant, but less than {100 * minimum:g}"
        if figure["p_holm"] <= LEVEL
        else f"not significant, p {as_p(figure['p_holm'])}"
    )
    return f", accuracy {points} points ({why})"


def _pairs(scheme: dict[str, Any], base: dict[str, Any]) -> str:
    """Return the requests that a difference in accuracy covers, if the accuracy of one of the schemes covers more."""
    pairs = scheme["versus"]["accuracy"]["pairs"]
    more = pairs < max(one["accuracy"]["answers"] for one in (scheme, base))
    return f" on {pairs:,} requests that both answered" if more else ""


def _hardware(scheme: dict[str, Any], base: dict[str, Any]) -> str:
    own, other = scheme["workers"], base["workers"]
    if own is None or other is None:
        return ""
    return " on equal hardware" if own == other else f" with {own} workers against {other}"


def _why(scheme: dict[str, Any], base: dict[str, Any]) -> str:
    if scheme["versus"]["runs"] < 2:
        return "that takes at least two runs of both: raise --runs"
    failing = [one["variant"] for one in (scheme, base) if "p99" in one["infinite"]]
    if failing:
        return f"too many requests of {' and '.join(failing)} failed"
    few = [one["variant"] for one in (scheme, base) if one["latency_at_least_s"]["p99"] is not None]
    if few:
        return "too few requests: raise --requests or --runs"
    none = [one["variant"] for one in (scheme, base) if one["latency_s"]["p99"] == 0]
    if none:
        return f"the p99 of {' and '.join(none)} is 0"
    return "a run has too many failed requests"

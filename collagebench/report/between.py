"""Schemes that several runs have, each compared with itself in the first run: ratios, and whether it differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from collagebench.report.tails import tail_of
from collagebench.statistics.paired import LEVEL, holm
from collagebench.statistics.ratio import ratio_ci95
from collagebench.statistics.unpaired import unpaired


def between(names: Sequence[str], objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return p50 and p99 of every scheme that several runs have, in each of these runs, with ratios to the first run.

    A row also says whether they are shown to differ from the first run; None for that run itself. They differ if the
    difference is larger than the minimum effect, and significant after Holm's correction over all tests of the
    comparison.
    """
    rows: list[dict[str, Any]] = []
    tests: list[tuple[dict[str, Any], str, float]] = []
    for first in objects[0]["schemes"]:
        sides = [(names[0], first)]
        for name, item in zip(names[1:], objects[1:], strict=True):
            sides += [(name, scheme) for scheme in item["schemes"] if scheme["variant"] == first["variant"]]
        for name, scheme in sides if len(sides) > 1 else []:
            endless = [quantile for quantile in ("p50", "p99") if quantile in scheme["infinite"]]
            row = {"variant": first["variant"], "run": name, "infinite": endless}
            for quantile in ("p50", "p99"):
                own, base = scheme["latency_s"][quantile], first["latency_s"][quantile]
                row[f"{quantile}_s"], row[f"{quantile}_ratio"] = own, ratio(own, base)
                row[f"{quantile}_differs"] = None if scheme is first else False
                p = None if scheme is first else _apart(scheme, first, quantile)
                if p is not None:
                    tests.append((row, quantile, p))
            rows.append(row)
    least = objects[0]["minimum_effect"]["latency"]
    for (row, quantile, _), p in zip(tests, holm([p for *_, p in tests]), strict=True):
        times = row[f"{quantile}_ratio"]
        row[f"{quantile}_differs"] = p <= LEVEL and (times == 0 or max(times, 1 / times) > 1 + least)
    return rows


def _apart(scheme: dict[str, Any], first: dict[str, Any], quantile: str) -> float | None:
    """Return the p value of the difference of a quantile between two runs of a scheme; None if it has no ratio."""
    times = ratio(scheme["latency_s"][quantile], first["latency_s"][quantile])
    if times is None:
        return None
    own, other = ([math.inf if p is None else p for p in one["by_run"][f"{quantile}_s"]] for one in (scheme, first))
    p = unpaired(own, other)
    if p is None:
        return None
    # The pooled figures, the interval of their ratio, and the mean of the runs' differences must agree on which is
    # slower.
    tails = tail_of(scheme, quantile), tail_of(first, quantile)
    ends = ratio_ci95(tails[0], tails[1], paired=False) if tails[0] and tails[1] else None
    agree = (times > 1) == (fmean(own) > fmean(other)) and not (ends and ends[0] <= 1 <= ends[1])
    return p if agree else 1.0


def ratio(value: float | None, base: float | None) -> float | None:
    """Return value / base; None unless both are known and the base is not 0."""
    return value / base if value is not None and base else None

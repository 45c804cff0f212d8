"""The ratio of two quantiles is the same everywhere, from either side, and from what a report keeps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import lognormal, make_run

from collagebench.report.summary import finite
from collagebench.report.tails import tail_of, tails
from collagebench.results.reader import load
from collagebench.statistics.latency import Latency, latency
from collagebench.statistics.ratio import SHARES, along, ratio_ci95, tail

RUNS = [0, 1, 2, 3]


def known(value: Any) -> Any:
    """Return what is not None."""
    assert value is not None
    return value


def timed(latencies: list[list[float | None]]) -> Latency:
    """Return the latency of one scheme with these runs."""
    with TemporaryDirectory() as directory:
        return latency(load(make_run(Path(directory) / "run", {"none": latencies})).of("none").requests)


def failing(latencies: list[list[float]], every: int) -> list[list[float | None]]:
    """Return the latencies with one failed request in every `every`; none if it is 0."""
    return [
        [None if every and place % every == 0 else value for place, value in enumerate(run, 1)] for run in latencies
    ]


@settings(max_examples=15, deadline=None)
@given(
    factor=st.floats(0.5, 2.0),
    seeds=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    failures=st.sampled_from([(0, 0), (0, 30), (150, 30)]),
    name=st.sampled_from(["p50", "p90", "p95"]),
    paired=st.booleans(),
)
def test_a_ratio_from_either_side_and_from_what_a_report_keeps(
    factor: float, seeds: tuple[int, int], failures: tuple[int, int], name: str, paired: bool
) -> None:
    """A ratio lies in its interval, exchanging the sides inverts both, and a report's JSON suffices to compute it."""
    runs = [
        failing(lognormal(seed, len(RUNS), 120, median), every)
        for seed, median, every in zip(seeds, (0.02, 0.02 * factor), failures, strict=True)
    ]
    sides = [timed(some) for some in runs]
    own, other = (known(tail(side, name, RUNS)) for side in sides)
    ends = known(ratio_ci95(own, other, paired))
    turned = known(ratio_ci95(other, own, paired))
    assert ends[0] <= own.observed / other.observed * (1 + 1e-9)
    assert ends[1] >= own.observed / other.observed * (1 - 1e-9)
    for end, opposite in zip(ends, turned[::-1], strict=True):
        assert 1 / end == pytest.approx(opposite) if 0 < end < math.inf else opposite in (0.0, math.inf)
    kept = [
        json.loads(json.dumps(finite({"latency_s": {name: side.quantiles[name].known}, "tail": tails(side)})))
        for side in sides
    ]
    told = [known(tail_of(scheme, name)) for scheme in kept]
    assert ratio_ci95(told[0], told[1], paired) == ends


def test_what_has_nothing_in_common_is_less_sure() -> None:
    """Two schemes that are slow in the same runs have a narrower ratio than two with runs of their own."""
    slow = (1.0, 1.0, 1.0, 2.0)
    own, other = (
        [[times * level * (1 + 0.01 * place) for place in range(100)] for level in slow] for times in (0.01, 0.02)
    )
    one, two = (known(tail(timed(some), "p50", RUNS)) for some in (own, other))
    assert ratio_ci95(one, two) == pytest.approx((0.5, 0.5))
    low, high = known(ratio_ci95(one, two, paired=False))
    assert low < 0.45 < 0.55 < high


def test_tails_reach_as_far_as_there_are_requests() -> None:
    """The last share of a tail is that of about half a request, and its value is the slowest latency."""
    time = timed([[0.001 * place for place in range(1, 101)]] * 4)
    kept = along(time)
    assert 0.5 <= 400 * SHARES[len(kept) - 1] < 0.5 * 1.05
    assert kept[-1] == 0.1
    assert kept == sorted(kept)


def test_without_runs_to_tell_by_there_is_no_tail() -> None:
    """A single run has no tail, and an infinite quantile has no ratio."""
    assert tail(timed([[0.01] * 50]), "p50", [0]) is None
    own = known(tail(timed([[0.01] * 50] * 2), "p50", [0, 1]))
    endless = known(tail(timed([[None] * 50] * 2), "p50", [0, 1]))
    assert ratio_ci95(own, endless) is None
    assert ratio_ci95(endless, own) is None

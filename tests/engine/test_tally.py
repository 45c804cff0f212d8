"""Counts for the live view: quantiles to within 1 %, and workers that serve a straggler."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from collagebench.engine.tally import Tally, Watched
from collagebench.schemes.protocol import Request


@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("scale", [1e-3, 0.02, 3.0, 100.0])
def test_quantiles_are_right_to_one_percent(q: float, scale: float) -> None:
    """At any scale, a quantile is within 1 % of that of the sample."""
    latencies = scale * np.random.default_rng(1).lognormal(0, 1, 2000)
    tally = Tally()
    for seconds in latencies.tolist():
        tally.add("own", seconds)
    exact = float(np.quantile(latencies, q, method="inverted_cdf"))
    assert tally.quantile(q) == pytest.approx(exact, rel=0.0101)


def test_failures_are_infinitely_slow() -> None:
    """A quantile among the failures is infinite, one below them is not, and without requests it is None."""
    tally = Tally()
    assert tally.quantile(0.5) is None
    for _ in range(98):
        tally.add("own", 0.01)
    tally.failed = 2
    assert tally.quantile(0.98) == pytest.approx(0.01, rel=0.01)
    assert tally.quantile(0.99) == math.inf


def test_counts_of_several_cells_add_up() -> None:
    """Merged counts are those of everything counted by one."""
    together, parts = Tally(), [Tally(), Tally()]
    for place, seconds in enumerate([0.01, 0.02, 0.03, 0.5]):
        for tally in (together, parts[place % 2]):
            tally.add(("own", "collage")[place // 2], seconds)
            tally.failed += place
    parts[0].merge(parts[1])
    assert (parts[0].answered, parts[0].failed, parts[0].sources) == (4, 6, {"own": 2, "collage": 2})
    assert [parts[0].quantile(q) for q in (0.1, 0.2, 0.3, 0.4)] == [together.quantile(q) for q in (0.1, 0.2, 0.3, 0.4)]
    assert len({parts[0].quantile(q) for q in (0.1, 0.2, 0.3, 0.4)}) == 4


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e6, 1e300])
def test_any_latency_can_be_counted(seconds: float) -> None:
    """Latencies of 0 s and of years are counted too."""
    tally = Tally()
    tally.add("default", seconds)
    assert tally.quantile(0.5) is not None
    assert tally.sources == {"default": 1}


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append(name)


def test_everything_is_passed_on_and_the_warm_up_not_counted() -> None:
    """Every call is passed on to the listener, and requests of the warm-up are not counted."""
    heard, tally = Heard(), Tally()
    watched = Watched(heard, tally, warmup=1, slow_above=0.1)
    quick, slow = (SimpleNamespace(worker=worker, expected=seconds) for worker, seconds in ((4, 0.1), (3, 0.2)))
    for job in (quick, slow):
        watched.sent(job)
    assert watched.slow == {3: 1}
    watched.answered(Request(0, 0, 0.0), "own", [quick], 9.0)
    watched.answered(Request(1, 0, 1.0), "collage", [slow], 1.5)
    watched.failed(Request(0, 0, 0.0), "deadline")
    watched.failed(Request(2, 0, 0.0), "deadline")
    watched.ended(slow, 2.0)
    watched.ended(quick, 2.0)
    assert watched.slow == {3: 0}
    assert (tally.answered, tally.failed, tally.sources) == (1, 1, {"collage": 1})
    assert heard.calls == ["sent", "sent", "answered", "answered", "failed", "failed", "ended", "ended"]

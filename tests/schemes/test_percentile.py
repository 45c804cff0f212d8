"""Running percentiles: exact order statistics of the latest values."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from collagebench.errors import UsageError
from collagebench.schemes.percentile import MINIMUM, Delay, RunningPercentile, parse_delay
from collagebench.schemes.protocol import Wake
from collagebench.statistics.notes import delays


@pytest.mark.parametrize("p", [*range(1, 100), 99.9, 99.5, 2.5])
def test_the_rank_is_the_smallest_that_reaches_the_share(p: float) -> None:
    """Of 1 to n, the p-th percentile is the smallest whole number that is at least p % of n, for every n."""
    percentile = RunningPercentile(p)
    for n in range(1, 1001):
        percentile.add(float(n))
        if n >= 20:
            assert percentile.value == ceil(Fraction(str(p)) / 100 * n), n


def test_only_the_last_thousand_count() -> None:
    """The p99 follows the last thousand values: it drops once fewer than eleven of them are slow."""
    percentile = RunningPercentile(99)
    for _ in range(1000):
        percentile.add(10.0)
    for _ in range(989):
        percentile.add(1.0)
    assert percentile.value == 10.0
    percentile.add(1.0)
    assert percentile.value == 1.0
    for _ in range(10):
        percentile.add(1.0)
    assert percentile.lowest(1000) == 1.0


@pytest.mark.parametrize(("text", "seconds"), [("0.2", 0.2), (0.2, 0.2), ("0", 0.0), (0, 0.0), (" 3e1 ", 30.0)])
def test_a_number_is_seconds(text: str | float, seconds: float) -> None:
    """A number is seconds, whether given as a text or not, and may be 0."""
    assert parse_delay(text) == seconds


@pytest.mark.parametrize(("text", "p"), [("p95", 95.0), ("P95", 95.0), ("p0.1", 0.1), ("p99.9", 99.9), ("p1", 1.0)])
def test_a_letter_before_it_makes_it_a_percentile(text: str, p: float) -> None:
    """A number after a p or P is a percentile, and may have decimals."""
    found = parse_delay(text)
    assert isinstance(found, RunningPercentile)
    assert found.p == p


@pytest.mark.parametrize("text", ["", "p", "p0", "p100", "p-1", "pnan", "-0.1", -1, "inf", "nan", 1e999, "q95", "95%"])
def test_what_is_neither_is_refused(text: str | float) -> None:
    """Anything else is refused with what a delay may be and what was given."""
    with pytest.raises(UsageError, match=r"^a delay must be seconds, such as 0.2, or a percentile .*; not ") as refused:
        parse_delay(text)
    assert str(refused.value).endswith(f"not {text!r}")


def test_a_delay_in_seconds_is_known_from_the_start_and_stays() -> None:
    """A delay in seconds is known from the start, does not change with latencies, and is never overdue."""
    delay = Delay("0.25")
    delay.add(9.0)
    assert delay.seconds == 0.25
    assert delay.wake("first", 1.0) == [Wake("first", 1.25)]
    assert delay.overdue(5.0) == []


def test_what_comes_before_a_percentile_is_known_is_asked_for_once_it_is() -> None:
    """Wakes asked for before the percentile was known come once it is, each counted from its own start, in order."""
    delay = Delay("p50")
    for number in range(19):
        delay.add(0.1 * number)
    assert (delay.seconds, delay.wake("old", 1.0), delay.wake("new", 9.5), delay.overdue(9.6)) == (None, [], [], [])
    delay.add(0.95)
    assert delay.seconds == pytest.approx(0.9)
    assert delay.overdue(10.0) == [Wake("old", 10.0), Wake("new", pytest.approx(10.4))]
    assert delay.overdue(10.0) == []
    assert delay.wake("later", 11.0) == [Wake("later", pytest.approx(11.9))]
    assert delay.overdue(20.0) == []


def test_a_report_knows_from_how_many_replies_on_a_percentile_is_known() -> None:
    """The report's note on requests before the percentile was known uses the schemes' number of replies."""
    assert MINIMUM == delays.REPLIES

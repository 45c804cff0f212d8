"""A running percentile of the last latencies, and delays that are either seconds or such a percentile.

Requests that arrive before the percentile is known get that delay once it is known (see `Delay`). Otherwise they would
have no delay at all, and if a reply were lost, would wait for their deadline.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable

from collagebench.errors import UsageError
from collagebench.schemes.protocol import Wake

MINIMUM = 20
"""The least number of values for which a percentile is known."""


class RunningPercentile:
    """The observed p-th percentile (an order statistic) of the last `window` values; unknown before MINIMUM values."""

    def __init__(self, p: float, window: int = 1000) -> None:
        self.p = p
        self._last: deque[float] = deque(maxlen=window)
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        """Add a value in seconds; takes O(window) moves in a short array."""
        if len(self._last) == self._last.maxlen:
            del self._sorted[bisect_left(self._sorted, self._last[0])]
        self._last.append(value)
        insort(self._sorted, value)

    @property
    def value(self) -> float | None:
        """The percentile in seconds, or None while too few values are known."""
        # A rounding error just above a whole number must not raise the rank by one.
        return self.lowest(max(math.ceil(self.p / 100 * len(self._sorted) * (1 - 1e-12)), 1))

    def lowest(self, rank: int) -> float | None:
        """Return the value of a rank, from 1 for the lowest; None while too few are known, infinity beyond the last."""
        if len(self._sorted) < MINIMUM:
            return None
        return self._sorted[rank - 1] if rank <= len(self._sorted) else math.inf


class Delay:
    """A delay in seconds after which a scheme acts on a request: fixed, or a running percentile."""

    def __init__(self, option: str | float) -> None:
        """`option` is as in `parse_delay`, whose errors it raises."""
        self._is = parse_delay(option)
        self._early: list[tuple[Hashable, float]] = []
        """Tokens for which the delay was not known yet, and the times at which their delays began."""

    @property
    def seconds(self) -> float | None:
        """The delay, None while it is a percentile that is not known yet."""
        return self._is.value if isinstance(self._is, RunningPercentile) else self._is

    def add(self, latency: float) -> None:
        """Add a latency in seconds; a fixed delay ignores it."""
        if isinstance(self._is, RunningPercentile):
            self._is.add(latency)

    def wake(self, token: Hashable, since: float) -> list[Wake]:
        """Return a Wake for `token` at the delay after `since`; if the delay is unknown, `overdue` returns it later."""
        seconds = self.seconds
        if seconds is None:
            self._early.append((token, since))
            return []
        return [Wake(token, since + seconds)]

    def overdue(self, now: float) -> list[Wake]:
        """Return the Wakes that were put off because the delay was unknown, once it is known."""
        seconds = self.seconds if self._early else None
        if seconds is None:
            return []
        early, self._early = self._early, []
        return [Wake(token, max(now, since + seconds)) for token, since in early]


def parse_delay(text: str | float) -> float | RunningPercentile:
    """Read `0.2` (seconds) or `p95` (a running percentile of the request latencies seen so far).

    Raises:
        UsageError: it is neither.
    """
    try:
        if isinstance(text, str) and text[:1] in "pP" and text:
            p = float(text[1:])
            if 0 < p < 100:
                return RunningPercentile(p)
        elif 0 <= float(text) < math.inf:
            return float(text)
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f"a delay must be seconds, such as 0.2, or a percentile between p0 and p100, such as p95; not {text!r}"
    )

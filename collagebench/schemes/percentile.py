"""A running percentile of the last latencies, and the option that is either seconds or such a percentile."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

from collagebench.errors import UsageError


class RunningPercentile:
    """The observed p-th percentile (an order statistic) of the last `window` values; none before `minimum` of them."""

    def __init__(self, p: float, window: int = 1000, minimum: int = 20) -> None:
        self.p = p
        self.minimum = minimum
        self._last: deque[float] = deque(maxlen=window)
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        """Take in a value in seconds, in O(window) moves of a short array."""
        if len(self._last) == self._last.maxlen:
            del self._sorted[bisect_left(self._sorted, self._last[0])]
        self._last.append(value)
        insort(self._sorted, value)

    @property
    def value(self) -> float | None:
        """The percentile in seconds, or None while too few values are known."""
        # The product may come out a rounding error above a whole number, which must not cost a rank.
        return self.lowest(max(math.ceil(self.p / 100 * len(self._sorted) * (1 - 1e-12)), 1))

    def lowest(self, rank: int) -> float | None:
        """Return the value of a rank, 1 being the lowest, or None while too few are known; infinite beyond the last."""
        if len(self._sorted) < self.minimum:
            return None
        return self._sorted[rank - 1] if rank <= len(self._sorted) else math.inf


def seconds_of(delay: float | RunningPercentile) -> float | None:
    """Return a delay in seconds, None while it is a percentile that is not known yet."""
    return delay.value if isinstance(delay, RunningPercentile) else delay


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
    raise UsageError(f"a delay is seconds, such as 0.2, or a percentile between p0 and p100, such as p95; not {text!r}")

"""A running percentile of the last latencies, and the option that is either seconds or such a percentile.

What arrives before a percentile is known has its delay from there on (`Delay`): else it would have none at all, and
where replies are lost, wait for its deadline.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable

from collagebench.errors import UsageError
from collagebench.schemes.protocol import Wake

MINIMUM = 20
"""Values below which a percentile is not known."""


class RunningPercentile:
    """The observed p-th percentile (an order statistic) of the last `window` values; none before MINIMUM of them."""

    def __init__(self, p: float, window: int = 1000) -> None:
        self.p = p
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
        if len(self._sorted) < MINIMUM:
            return None
        return self._sorted[rank - 1] if rank <= len(self._sorted) else math.inf


class Delay:
    """What passes, in seconds, until a scheme looks at something again: always as long, or a running percentile."""

    def __init__(self, option: str | float) -> None:
        """`option` is what `parse_delay` reads; it raises what that raises."""
        self._is = parse_delay(option)
        self._early: list[tuple[Hashable, float]] = []
        """The tokens whose delay was not known yet, and when it began."""

    @property
    def seconds(self) -> float | None:
        """The delay, None while it is a percentile that is not known yet."""
        return self._is.value if isinstance(self._is, RunningPercentile) else self._is

    def add(self, latency: float) -> None:
        """Take in a latency, of which the delay may be a percentile."""
        if isinstance(self._is, RunningPercentile):
            self._is.add(latency)

    def wake(self, token: Hashable, since: float) -> list[Wake]:
        """Ask for `token` the delay after `since`; if that is not known yet, `overdue` will once it is."""
        seconds = self.seconds
        if seconds is None:
            self._early.append((token, since))
            return []
        return [Wake(token, since + seconds)]

    def overdue(self, now: float) -> list[Wake]:
        """Ask for what came before the delay was known, once it is."""
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

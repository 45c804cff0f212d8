"""SingleR: reissue a request once, after a delay d, with probability q; both are fitted to a log of latencies.

A fixed delay that respects a small budget must be long, and a copy that is sent late returns late. With a probability
below 1, copies can be sent earlier, when they still have time to win. Let X be the latency of a request, Y that of its
copy, independent of X with the same distribution, and T the latency that the user sees:

    copies per request    q P(X > d) <= budget
    tail                  P(T > t) = P(X > t) (1 - q P(Y <= t - d))   for t >= d, and P(X > t) before

The fit tries every delay in the log with the largest q that the budget allows, and takes the pair with the lowest
percentile of T. In this model no policy with several reissues is better. The model ignores the load that copies add: on
a busy fleet there are more of them, and a smaller budget is needed. Source: Kaler, He and Elnikety, "Optimal Reissue
Policies for Reducing Tail Latency", SPAA 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from collagebench.errors import UsageError

GOLDEN = (5**0.5 - 1) / 2
ROUNDING = 1e-12
"""Times and shares that differ by no more count as equal."""


def coin(number: int) -> float:
    """Return a value in [0, 1) for a request's number; among consecutive numbers, a share q of the values is below q.

    This is the Weyl sequence of the golden ratio instead of a random one: among any n consecutive numbers the share
    deviates from q by only O(log n / n) (Kuipers and Niederreiter, "Uniform Distribution of Sequences", 1974).
    """
    return (number + 1) * GOLDEN % 1.0


def fit(latencies: ArrayLike, budget: float, percentile: float = 0.99) -> tuple[float, float]:
    """Return the delay (seconds) and the probability that minimise a percentile of the latency within a budget.

    `latencies` [n] are in seconds, without reissue, and infinite for failed requests; copies are assumed to have the
    same. `budget` is the share of requests that may be reissued, and `percentile` a share below 1. Takes
    O(n (log n)^2). Of equally good pairs it returns the one with the fewest copies, and of these the shortest delay.

    Raises:
        UsageError: so many requests failed that the percentile is infinite whatever is reissued.
    """
    x = np.sort(np.asarray(latencies, dtype=np.float64))
    delays = np.unique(np.concatenate([[0.0], x[np.isfinite(x)]]))
    slower = (len(x) - np.searchsorted(x, delays, side="right")) / len(x)
    q = np.minimum(1.0, budget / np.maximum(slower, budget)) if budget > 0 else np.zeros_like(slower)
    target = 1 - percentile

    def good(t: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for each delay whether at most the share `target` is slower than `t`."""
        tail = (len(x) - np.searchsorted(x, t + ROUNDING, side="right")) / len(x)
        answered = np.searchsorted(x, t - delays + ROUNDING, side="right") / len(x)
        return np.asarray(tail * (1 - q * answered) <= target + ROUNDING)

    def least(offset: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each delay the least `offset + latency` that is good, by bisection; infinite if none is."""
        low = np.zeros(len(delays), dtype=np.int64)
        high = np.full(len(delays), len(x), dtype=np.int64)
        while (open_ := low < high).any():
            middle = (low + high) // 2
            ok = good(offset + x[np.minimum(middle, len(x) - 1)])
            high = np.where(open_ & ok, middle, high)
            low = np.where(open_ & ~ok, middle + 1, low)
        return np.where(low < len(x), offset + x[np.minimum(low, len(x) - 1)], np.inf)

    # The tail falls in steps, at each latency and at the delay plus each latency: its percentile is one of these.
    reached = np.minimum(least(np.zeros_like(delays)), least(delays))
    best = np.lexsort((delays, np.round(q * slower, 12), np.round(reached, 12)))[0]
    if np.isinf(reached[best]):
        raise UsageError(f"{np.isinf(x).mean():.1%} of the requests in the log failed: no delay can be fitted to it")
    return float(delays[best]), float(q[best])

"""The reject option: a less accurate model's least sure answers are not used where a better one is still to come.

How sure an answer is, is its margin: by how much the best class's score exceeds the second best's. What is rejected
is a share of all requests, not of the answers, so that a percentile of the latencies that is further from 1 than this
share is left alone, however many requests are late. Sources: Chow, "On optimum recognition error and reject
tradeoff", IEEE Transactions on Information Theory 16(1), 1970, for rejecting; Scheffer, Decomain and Wrobel, "Active
hidden Markov models for information extraction", IDA 2001, for margins. That the share adapts is ours.
"""

from __future__ import annotations

from collections import deque

from collagebench.errors import UsageError
from collagebench.schemes.percentile import RunningPercentile

WINDOW = 1000
"""Answers by whose margins the next one is judged."""


class Rejection:
    """Rejects of the answers it is shown the least sure ones, as many as are `share` of all requests.

    It uses the first twenty, by which nothing can be told yet.
    """

    def __init__(self, share: float) -> None:
        if not 0 <= share < 1:
            raise UsageError(f"--reject must be a share of all requests, from 0 to below 1, not {share}")
        self.share = share
        self._margins = RunningPercentile(0.0, WINDOW)
        self._arrived = 0
        self._carried = 0.0
        self._arrived_by: deque[int] = deque(maxlen=WINDOW)
        """How many requests had arrived when each of those answers was judged."""

    def arrived(self) -> None:
        """A request has come in."""
        self._arrived += 1

    def rejects(self, margin: float) -> bool:
        """Whether an answer of this margin, a finite number or inf, is not to be used."""
        known = len(self._arrived_by)
        requests = self._arrived - self._arrived_by[0] if known else 0
        # The next is among the `rank` lowest of known + 1 with a chance of rank / (known + 1). What rounding leaves
        # is carried over, so that a share of less than one of those that are known is neither lost nor made one.
        wanted = self.share * requests / max(known, 1) * (known + 1) + self._carried
        rank = int(wanted)
        self._carried = wanted - rank
        least = self._margins.lowest(rank) if rank else None
        self._margins.add(margin)
        self._arrived_by.append(self._arrived)
        return least is not None and margin < least

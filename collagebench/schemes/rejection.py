"""The reject option: the least certain answers of a less accurate model are not used if a better one can still come.

The certainty of an answer is its margin: the score of the best class minus that of the second best. The rejected share
is one of all requests, not of the model's answers. So a percentile of the latencies that is further from 1 than this
share is not affected, however many requests are late. Sources: Chow, "On optimum recognition error and reject
tradeoff", IEEE Transactions on Information Theory 16(1), 1970, for rejecting; Scheffer, Decomain and Wrobel, "Active
hidden Markov models for information extraction", IDA 2001, for margins. The adaptive share is ours.
"""

from __future__ import annotations

from collections import deque

from collagebench.errors import UsageError
from collagebench.schemes.percentile import RunningPercentile

WINDOW = 1000
"""The number of previous answers with which an answer is compared."""


class Rejection:
    """Rejects the answers with the smallest margins, as many as make `share` of all requests.

    The first twenty answers are never rejected, because there are too few to compare with.
    """

    def __init__(self, share: float) -> None:
        if not 0 <= share < 1:
            raise UsageError(f"--reject must be a share of all requests, from 0 to below 1, not {share}")
        self.share = share
        self._margins = RunningPercentile(0.0, WINDOW)
        self._arrived = 0
        self._carried = 0.0
        self._arrived_by: deque[int] = deque(maxlen=WINDOW)
        """The number of requests that had arrived when each of the last WINDOW answers was judged."""

    def arrived(self) -> None:
        """Count a request that has arrived."""
        self._arrived += 1

    def rejects(self, margin: float) -> bool:
        """Return whether to reject an answer with this margin, a finite number or inf, and remember the margin."""
        known = len(self._arrived_by)
        requests = self._arrived - self._arrived_by[0] if known else 0
        # The new answer is among the `rank` lowest of known + 1 with probability rank / (known + 1). The remainder of
        # the rounding is carried over, so that a share below one answer in the window is neither lost nor rounded up.
        wanted = self.share * requests / max(known, 1) * (known + 1) + self._carried
        rank = int(wanted)
        self._carried = wanted - rank
        least = self._margins.lowest(rank) if rank else None
        self._margins.add(margin)
        self._arrived_by.append(self._arrived)
        return least is not None and margin < least

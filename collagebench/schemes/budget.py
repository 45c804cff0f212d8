"""A budget of copies: a token bucket that fills with the load, so that copies cannot overload the fleet.

Every arriving request earns a share of a token, every copy costs a whole token, and the bucket holds at most one. So n
consecutive arrivals earn at most share x n copies, and one more token may have been saved before: from the first of
them until the next arrival after them, at most share x n + 1 copies are sent. The bucket starts empty, so at most that
share of all requests so far has had a copy. Relatives: gRPC's retry throttling (proposal A6), Finagle's maxExtraLoad,
brpc's limit of the ratio of backup requests within a window.
"""

from __future__ import annotations

from fractions import Fraction

from collagebench.errors import UsageError

SAVED_AT_MOST = 1
"""Capacity of the bucket in tokens. With more, stragglers that come close together would get their copies sooner, but
a window could contain as many more copies."""


class CopyBudget:
    """Tokens for copies; `share` is the mean number of copies allowed per request, from 0 to 1."""

    def __init__(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise UsageError(f"--hedge-budget must be a share of the requests, from 0 to 1, not {share}")
        # From the decimal digits: twenty times 0.05 must be one token, not slightly less.
        self._share = Fraction(str(share))
        self._tokens = Fraction(0)

    def earn(self) -> None:
        """Add the share of a token of a request that has arrived."""
        self._tokens = min(self._tokens + self._share, Fraction(SAVED_AT_MOST))

    def spend(self) -> bool:
        """Pay for a copy; return False if there is no token."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

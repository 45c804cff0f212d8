"""A budget of copies: a bucket of tokens that fills with the load, so that copies can never take over.

Every request that arrives brings a share of a token, every copy costs a whole one, and the bucket holds no more than
one. So the requests of any window, n consecutive arrivals, pay for at most share x n copies, and one more may have been
saved up before: never more than share x n + 1 copies are sent from the first of them until the next one after them.
The bucket starts empty: of all requests so far, at most their share has had a copy. Relatives: gRPC's retry throttling
(proposal A6), Finagle's maxExtraLoad, brpc's limit of the ratio of backup requests within a window.
"""

from __future__ import annotations

from fractions import Fraction

from collagebench.errors import UsageError

SAVED_AT_MOST = 1
"""Tokens that the bucket holds. More would let stragglers that come close together have their copies sooner, and let as
many more copies into a window."""


class CopyBudget:
    """Tokens for copies; `share` is how many copies each request may cost on average, from 0 to 1."""

    def __init__(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise UsageError(f"--hedge-budget must be a share of the requests, from 0 to 1, not {share}")
        # As written in decimal: twenty times 0.05 must be one token, not a little less.
        self._share = Fraction(str(share))
        self._tokens = Fraction(0)

    def earn(self) -> None:
        """A request has arrived."""
        self._tokens = min(self._tokens + self._share, Fraction(SAVED_AT_MOST))

    def spend(self) -> bool:
        """Pay for a copy; False when there is no token."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

"""No redundancy: each request goes to one worker.

`none` is the fleet before redundancy. `equal` uses the workers that redundancy would cost for plain requests behind the
same router; this is the fair baseline, with which ParM (SOSP 2019) compares. They differ only if `spare` workers are
left out of `none`.
"""

from __future__ import annotations

from collections.abc import Collection

from collagebench.errors import UsageError
from collagebench.schemes.checks import check_count
from collagebench.schemes.protocol import Action, Request, Scheme, Task


class Equal(Scheme):
    """One task a request, on all workers of the budget."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send the request to one worker."""
        return [self._send("single", (request,))]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer the request."""
        (request,) = task.requests
        return self._answer(request, "own", task) if self._open(request) else []


class NoRedundancy(Equal):
    """One task a request, on the budget less `spare` workers."""

    def __init__(self, spare: int = 0) -> None:
        super().__init__()
        check_count(0, spare=spare)
        self.spare = spare

    def allot(self, workers: int) -> dict[str, int]:
        """Leave the spare workers out."""
        if workers <= self.spare:
            raise UsageError(f"none keeps {self.spare} spare workers out of {workers}: no worker is left to serve")
        return {"single": workers - self.spare}

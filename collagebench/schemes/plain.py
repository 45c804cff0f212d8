"""No redundancy: each request goes to one worker, and that is that.

`none` is the fleet as it was before anybody paid for redundancy; `equal` spends the workers that redundancy would cost
on more plain replicas behind the same router, which is the fair baseline (ParM, SOSP 2019, compares with it). They
differ only where `spare` workers are kept out of `none`.
"""

from __future__ import annotations

from collections.abc import Collection

from collagebench.errors import UsageError
from collagebench.schemes.checks import check_count
from collagebench.schemes.protocol import Action, Request, Scheme, Task


class Equal(Scheme):
    """One task a request, on all workers of the budget."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Send it to one worker."""
        return [self._send("single", (request,))]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer it."""
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

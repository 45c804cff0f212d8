"""Parity models (ParM): one more task for k requests, from which any one of their answers can be reconstructed.

Every request goes to one worker as usual. Groups of up to `parity_k` requests go as one parity image to a worker with
the parity model, whose output estimates the sum of the outputs of its images. When that output and all outputs of the
group but one are there, the missing one is the difference. So a group tolerates one slow request; if two are slow, both
wait. With `hold`, a reconstructed answer is used no earlier than `hold` seconds after the request's arrival.

Under `wait` and `deadline` a group is k consecutive requests, as in the paper. That includes requests that are already
answered; their outputs are kept for the others. If all requests of a group are answered, no parity is sent. Under
`idle`, which is ours, a request that is answered before its group is sent is left out. An absent image adds nothing to
the sum, and the output of a parity of one image is the answer itself.

If the own tasks of some requests of a group have all failed, the parity replaces one of them (none, if the parity has
failed itself). The others are sent again, up to three times in all.

Source: Kosaian, Rashmi and Venkataraman, "Parity Models: Erasure-Coded Resilience for Prediction Serving Systems", SOSP
2019. Their groups are k consecutive queries (`wait`). As here, they use m / k parity workers for m singles.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.parity import LARGEST_K, add, concatenate, recover
from collagebench.errors import UsageError
from collagebench.schemes.backed_up import SINGLES_AT_MOST, BackedUp, parse_hold
from collagebench.schemes.checks import check_count
from collagebench.schemes.groups import Flush
from collagebench.schemes.protocol import Action, Keep, Request, Task
from collagebench.terms import CODES


@dataclass(slots=True)
class _Group:
    """A parity task that was sent, and the replies for its group."""

    parity: Task
    replied: bool = False
    """Whether the parity task has been served."""
    over: bool = False
    """Whether nothing can be reconstructed any more: the parity task has failed, or a request of the group has."""
    singles: list[Task] = field(default_factory=list)
    """The single tasks that have answered requests of the group, before or after it was sent."""


class Parity(BackedUp):
    """Singles backed up by parities of `parity_k` on `parity_workers` workers (default: 1 of k + 1); delays in s."""

    role = "parity"

    def __init__(
        self,
        parity_k: int = 2,
        parity_code: str = "addition",
        flush: Flush = "wait",
        flush_after: float | None = None,
        hold: str | float = 0.0,
        parity_workers: int | None = None,
        reissue_after: str | float | None = None,
    ) -> None:
        check_count(2, LARGEST_K, parity_k=parity_k)
        check_count(1, parity_workers=parity_workers)
        if parity_code not in CODES:
            raise UsageError(f"--parity-code must be addition or concatenation, not {parity_code!r}")
        if parity_code == "concatenation" and parity_k not in (2, 4):
            raise UsageError(f"--parity-code concatenation takes --parity-k 2 or 4, not {parity_k}: use addition")
        super().__init__(parity_k, flush, flush_after, parse_hold("hold", hold, flush), reissue_after, whole=True)
        self.parity_k = parity_k
        self.parity_code = parity_code
        self.parity_workers = parity_workers
        self._group_of: dict[int, _Group] = {}
        """The group of each open request whose group was sent, by the request's id."""
        self._early: dict[int, Task] = {}
        """The single that has answered a request before its group is sent, by the request's id."""

    def allot(self, workers: int) -> dict[str, int]:
        """Give `parity_workers` of them to the parity model: by default one for every k singles, at least one."""
        return self._allot(workers, self.parity_workers or max(round(workers / (self.parity_k + 1)), 1))

    def needs(self, role: str) -> Mapping[str, Any]:
        """The parity model must be trained for this k and code."""
        return {"k": self.parity_k, "code": self.parity_code} if role == "parity" else {}

    def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
        """Return the parity of a group's images [1, *shape]: float32 for addition, uint8 for concatenation."""
        if task.role != "parity":
            return np.array(images)
        parity = add(images) if self.parity_code == "addition" else concatenate(images, self.parity_k)
        return parity[np.newaxis]

    def decode(self, request: Request, replies: Sequence[tuple[Task, NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Subtract the singles' outputs from the parity's; a single's output is the answer itself."""
        (task, outputs), *others = replies
        if task.role != "parity":
            return super().decode(request, replies)
        return recover(outputs[0], np.reshape([rows[0] for _, rows in others], (len(others), outputs.shape[1])))

    def _send_group(self, members: Sequence[Request], now: float) -> list[Action]:
        still_open = tuple(request for request in members if self._open(request))
        early = [self._early.pop(request.id) for request in members if request.id in self._early]
        keeps: list[Action] = [Keep(task, still_open) for task in early]
        if not still_open:
            return keeps
        send = self._send("parity", members)
        group = _Group(send.task, singles=early)
        for request in members:
            if request in still_open:
                self._group_of[request.id] = group
            else:
                del self._live[request.id]  # no task may answer it any more
        return [send, *keeps, *self._send_lost_again(group, "lost")]

    def _single_replied(self, task: Task, now: float) -> list[Action]:
        """Answer the task's request, and keep the reply for the other requests of its group."""
        (request,) = task.requests
        group = self._group_of.get(request.id)
        waits = group is None and self._open(request)
        actions = super()._single_replied(task, now)
        if waits and request in self._groups:
            self._early[request.id] = task
            actions.append(Keep(task, None))
        if group is None or group.over:
            return actions
        group.singles.append(task)
        if others := self._open_in(group):
            actions.append(Keep(task, tuple(others)))
        return actions + self._recover(group, now)

    def _group_replied(self, task: Task, now: float, missing: Collection[int]) -> list[Action]:
        group = self._group_with(task)
        if group is None:
            return []
        if missing:
            return self._group_failed(task, "no answer")
        group.replied = True
        return self._recover(group, now)

    def _group_failed(self, task: Task, reason: str) -> list[Action]:
        group = self._group_with(task)
        if group is None:
            return []
        group.over = True
        return self._send_lost_again(group, reason)

    def _single_failed(self, request: Request, reason: str) -> list[Action]:
        group = self._group_of.get(request.id)
        if group is None or request.id in self._held:
            return super()._single_failed(request, reason)
        return self._send_lost_again(group, reason)

    def _recover(self, group: _Group, now: float) -> list[Action]:
        """Reconstruct the last missing answer, if all other outputs of the group are there."""
        if group.over or not group.replied or len(group.singles) < len(group.parity.requests) - 1:
            return []
        return [
            action
            for request in self._open_in(group)
            for action in self._use(request, (group.parity, *group.singles), now)
        ]

    def _send_lost_again(self, group: _Group, reason: str) -> list[Action]:
        """Send the requests without a single again, except one that the parity can answer."""
        lost = [request for request in self._open_in(group) if not self._has_single(request)]
        to_send = len(lost) - (0 if group.over else 1)
        lost.sort(key=lambda request: self._singles[request.id])
        again = [request for request in lost if self._singles[request.id] < SINGLES_AT_MOST][: max(to_send, 0)]
        actions = [action for request in again for action in self._send_again(request)]
        if len(again) < to_send:
            group.over = True
            for request in lost:
                if request not in again:
                    actions += self._give_up(request, reason)
        return actions

    def _open_in(self, group: _Group) -> list[Request]:
        return [request for request in group.parity.requests if self._open(request)]

    def _group_with(self, task: Task) -> _Group | None:
        return next((self._group_of[r.id] for r in task.requests if r.id in self._group_of), None)

    def _settle(self, request: Request, used: Sequence[Task] = ()) -> list[Action]:
        self._group_of.pop(request.id, None)
        return super()._settle(request, used)

"""Coded inference: k requests become k + s coded images for the unmodified model, and any k outputs answer them all.

There are no singles. Every group of k requests (see `groups`) is encoded into k + s images, each a weighted sum of the
k, which go to k + s workers. As soon as k have replied, the requests are answered from those outputs and the other
tasks are cancelled. So up to s stragglers delay no request, but every answer is an estimate, even if no worker is slow.
A group of n < k requests is sent to n + s workers and needs n replies; a group of one is sent as 1 + s copies.

    approxifer  Berrut's rational interpolation encodes and decodes: Soleymani, Ali, Mahdavifar and Avestimehr,
                "ApproxIFER", arXiv 2109.09868
    nercc       smoothing splines encode and decode: Moradi and Maddah-Ali, "NeRCC", arXiv 2402.04377. Any number of
                outputs can be decoded, but fewer outputs give a worse estimate. `coded_after` seconds after it was
                sent, a group is answered from the outputs that are there, or else from the first reply

A coded task that fails is sent again, with the same coded image, up to three times in all. When too few replies can
still come, the group's requests fail.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding import berrut, splines
from collagebench.coding.linear import combine
from collagebench.errors import UsageError
from collagebench.schemes.checks import check_count, check_seconds
from collagebench.schemes.groups import Flush, Groups
from collagebench.schemes.protocol import Action, Request, Scheme, Send, Task, Wake

TASKS_AT_MOST = 3
"""How often one coded image may be sent."""
ENDS = 1
"""The number of ends of the line that hold a coded image (see `coding.linear`)."""
SMOOTH_ENCODE = 3e-5
SMOOTH_DECODE = 1e-4
"""Tuned on CIFAR-10 training images with k = 8 and one of 9 lost (benchmarks/coded_accuracy.py). The accuracy is within
half a point of the best if neither is above 1e-4, and nearly three points below it at 4e-4 each."""


@dataclass(slots=True)
class _Group:
    """A group that was sent and is not answered yet."""

    requests: Sequence[Request]
    enough: int
    """The number of replies that it needs."""
    live: dict[int, Task] = field(default_factory=dict)
    """Tasks that may still be served, by share."""
    replied: dict[int, Task] = field(default_factory=dict)


class Coded(Scheme):
    """Groups of up to `coded_k` requests on that many workers and `coded_s` more; delays in seconds."""

    def __init__(
        self,
        coded_k: int,
        coded_s: int,
        flush: Flush,
        flush_after: float | None,
        coded_after: float | None = None,
    ) -> None:
        super().__init__()
        check_count(1, coded_k=coded_k)
        check_count(0, coded_s=coded_s)
        check_seconds(coded_after=coded_after)
        self.coded_k = coded_k
        self.coded_s = coded_s
        self.coded_after = coded_after
        self.idle_role = "coded" if flush == "idle" else None
        self._groups = Groups(coded_k, flush, flush_after, self._send_group)
        self.waits = max(self._groups.flush_after, coded_after or 0.0)
        self._group_of: dict[int, _Group] = {}
        """Groups that were sent, by the id of their first request."""

    def allot(self, workers: int) -> dict[str, int]:
        """All workers serve coded images; there must be one for each coded image of a group."""
        if workers < self.coded_k + self.coded_s:
            raise UsageError(
                f"groups of {self.coded_k} coded images (--coded-k) and {self.coded_s} extra (--coded-s) need "
                f"{self.coded_k + self.coded_s} workers, not {workers}"
            )
        return {"coded": workers}

    def arrived(self, request: Request, now: float) -> list[Action]:
        """Add the request to those to be grouped."""
        return self._groups.arrived(request, now)

    def idle(self, role: str, now: float) -> list[Action]:
        """A worker is idle: send a group of the oldest requests, if they are old enough."""
        return self._groups.idle(now)

    def woke(self, token: Hashable, now: float) -> list[Action]:
        """Act on the deadline of a group that is being gathered, or on the `coded_after` of one that was sent."""
        assert isinstance(token, tuple)
        what, which = token
        if what != "enough":
            return self._groups.woke(token, now)
        group = self._group_of.get(which)
        if group is None:
            return []
        group.enough = 1
        return self._answer_group(group) if group.replied else []

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        """Answer the group if it has enough replies now."""
        group = self._group_of.get(task.requests[0].id)
        if group is None:
            return []
        group.replied[task.share] = group.live.pop(task.share)
        return self._answer_group(group) if len(group.replied) >= group.enough else []

    def failed(self, task: Task, reason: str, now: float) -> list[Action]:
        """Send the coded image again, or settle or fail its group if it was sent often enough.

        The new task avoids the workers of its group, unless the last one was refused: then no other worker is left.
        """
        group = self._group_of.get(task.requests[0].id)
        if group is None:
            return []
        del group.live[task.share]
        self._drop(task)
        if task.attempt + 1 < TASKS_AT_MOST:
            avoid = () if reason == "refused" else (task, *group.live.values())
            return [self._send_share(group, task.share, task.attempt + 1, avoid)]
        enough = group.enough if self.coded_after is None else 1
        if len(group.replied) + len(group.live) < enough:
            del self._group_of[group.requests[0].id]
            return [action for request in group.requests for action in self._give_up(request, reason)]
        return [] if group.live else self._answer_group(group)

    def finished(self, now: float) -> list[Action]:
        """Send the last, partial group."""
        return self._groups.finished(now)

    def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
        """Return the one coded image of the task, float32 [1, *shape]."""
        weights = self._encoder(len(images))
        return combine(weights[task.share : task.share + 1], images)

    def decode(self, request: Request, replies: Sequence[tuple[Task, NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Estimate the request's output from the coded outputs."""
        requests = replies[0][0].requests
        scores: NDArray[np.float32] = self._decoded(
            {task.share: outputs[0] for task, outputs in replies}, len(requests)
        )[requests.index(request)]
        return scores

    def _encoder(self, images: int) -> NDArray[np.float32]:
        """Return the weights of each coded image of a group of `images`, [shares, images]."""
        raise NotImplementedError

    def _decoded(self, outputs: Mapping[int, NDArray[np.float32]], images: int) -> NDArray[np.float32]:
        """Return the estimated outputs of a group's images, [images, classes], from the outputs by share."""
        raise NotImplementedError

    def _send_group(self, members: Sequence[Request], now: float) -> list[Action]:
        group = _Group(members, enough=len(members))
        self._group_of[members[0].id] = group
        actions: list[Action] = []
        for share in range(len(members) + self.coded_s):
            actions.append(self._send_share(group, share, 0, tuple(group.live.values())))
        if self.coded_after is not None:
            actions.append(Wake(("enough", members[0].id), now + self.coded_after))
        return actions

    def _send_share(self, group: _Group, share: int, attempt: int, avoid: Sequence[Task]) -> Send:
        send = self._send("coded", group.requests, attempt, avoid, share)
        group.live[share] = send.task
        return send

    def _answer_group(self, group: _Group) -> list[Action]:
        del self._group_of[group.requests[0].id]
        tasks = group.replied.values()
        return [action for request in group.requests for action in self._answer(request, "coded", *tasks)]


class ApproxIFER(Coded):
    """Coded inference by Berrut's rational interpolation."""

    def __init__(
        self, coded_k: int = 8, coded_s: int = 1, flush: Flush = "wait", flush_after: float | None = None
    ) -> None:
        super().__init__(coded_k, coded_s, flush, flush_after)

    def _encoder(self, images: int) -> NDArray[np.float32]:
        return berrut.encoder(images, images + self.coded_s, ENDS)

    def _decoded(self, outputs: Mapping[int, NDArray[np.float32]], images: int) -> NDArray[np.float32]:
        return berrut.decode(outputs, images, images + self.coded_s, ENDS)


class NeRCC(Coded):
    """Coded inference by smoothing splines, which smooth by `smooth_encode` and `smooth_decode`."""

    def __init__(
        self,
        coded_k: int = 8,
        coded_s: int = 1,
        flush: Flush = "wait",
        flush_after: float | None = None,
        coded_after: float | None = None,
        smooth_encode: float = SMOOTH_ENCODE,
        smooth_decode: float = SMOOTH_DECODE,
    ) -> None:
        super().__init__(coded_k, coded_s, flush, flush_after, coded_after)
        for option, smoothing in (("--smooth-encode", smooth_encode), ("--smooth-decode", smooth_decode)):
            if not 0 <= smoothing < float("inf"):
                raise UsageError(f"{option} must be a number from 0 up, not {smoothing}")
        self.smooth_encode = smooth_encode
        self.smooth_decode = smooth_decode

    def _encoder(self, images: int) -> NDArray[np.float32]:
        return splines.encoder(images, images + self.coded_s, self.smooth_encode, ENDS)

    def _decoded(self, outputs: Mapping[int, NDArray[np.float32]], images: int) -> NDArray[np.float32]:
        return splines.decode(outputs, images, images + self.coded_s, self.smooth_decode, ENDS)

"""Collage inference: one more model classifies a mosaic of up to w x w requests in one shot and backs them all up.

A group (see `groups`) becomes one image of w x w cells; cells without a request are blank. Its reply answers those of
its requests that are still open (see `backed_up`). Source: Narra, Lin, Ananthanarayanan, Avestimehr and Annavaram,
"Collage Inference", arXiv 1904.12222. Their rule for groups is `wait`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.mosaic import LARGEST_GRID, mosaic
from collagebench.errors import UsageError
from collagebench.schemes.backed_up import BackedUp, parse_hold
from collagebench.schemes.checks import check_count
from collagebench.schemes.groups import Flush
from collagebench.schemes.protocol import Task
from collagebench.terms import HEADS

"""The output of a collage model: scores for every cell, or boxes, which may leave cells without an answer."""


class Collage(BackedUp):
    """Singles backed up by `grid` x `grid` collages on `collage_workers` workers; delays in seconds."""

    role = "collage"

    def __init__(
        self,
        grid: int = 3,
        flush: Flush = "auto",
        flush_after: float | None = None,
        hold: str | float | None = None,
        collage_workers: int = 1,
        reissue_after: str | float | None = None,
        head: str = "grid",
        reject: float | None = None,
    ) -> None:
        check_count(2, LARGEST_GRID, grid=grid)
        if head not in HEADS:
            raise UsageError(f"--head must be {' or '.join(HEADS)}, not {head!r}")
        check_count(1, collage_workers=collage_workers)
        hold_ = parse_hold("hold", hold, flush)
        super().__init__(grid * grid, flush, flush_after, hold_, reissue_after, twice=True, reject=reject)
        self.grid = grid
        self.head = head
        self.collage_workers = collage_workers

    def allot(self, workers: int) -> dict[str, int]:
        """Give `collage_workers` of them to the collage model."""
        return self._allot(workers, self.collage_workers)

    def needs(self, role: str) -> Mapping[str, Any]:
        """The collage model must be of this grid and this head."""
        return {"grid": self.grid, "head": self.head} if role == "collage" else {}

    def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
        """Paste a group's images into one mosaic."""
        return mosaic(images, self.grid, shape[:2])[np.newaxis] if task.role == "collage" else np.array(images)

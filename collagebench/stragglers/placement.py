"""Which worker gets the slow machine, if that is not left to chance.

A collage scheme gives its last worker or workers to the collage model, and every scheme uses the first worker for
single images. What redundancy is worth depends on which of them has the slow machine.
"""

from __future__ import annotations

from typing import Literal, get_args

Place = Literal["anywhere", "last", "first", "none"]
PLACES: tuple[Place, ...] = get_args(Place)


def slow_worker(place: Place, workers: int) -> int | None:
    """Return the worker that is slow in every run; None if no worker is, or if chance decides ("anywhere")."""
    return {"last": workers - 1, "first": 0}.get(place)


def fleet_mean(place: Place, workers: int, share: float, slow: float, ordinary: float) -> float:
    """Return the mean over a fleet in which a slow machine has the mean `slow` and the others `ordinary`.

    `share` is each worker's chance of being a slow machine, if `place` is anywhere.
    """
    if place != "anywhere":
        share = 0.0 if slow_worker(place, workers) is None else 1.0 / workers
    return ordinary + share * (slow - ordinary)

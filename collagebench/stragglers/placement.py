"""Which worker holds the slow machine, where that is not left to chance.

A collage scheme gives its last worker, or workers, to the collage model, and every scheme serves single images with the
first. Whether the fleet's slow machine is the one or the other decides what redundancy is worth.
"""

from __future__ import annotations

from typing import Literal, get_args

Place = Literal["anywhere", "last", "first", "none"]
PLACES: tuple[Place, ...] = get_args(Place)


def slow_worker(place: Place, workers: int) -> int | None:
    """Return the worker that is slow in every run, or None where there is none, or chance decides ("anywhere")."""
    return {"last": workers - 1, "first": 0}.get(place)


def fleet_mean(place: Place, workers: int, share: float, slow: float, ordinary: float) -> float:
    """Return the mean over a fleet whose slow machine has the mean `slow`, the others `ordinary`.

    `share` is a worker's chance of being slow anywhere.
    """
    if place != "anywhere":
        share = 0.0 if slow_worker(place, workers) is None else 1.0 / workers
    return ordinary + share * (slow - ordinary)

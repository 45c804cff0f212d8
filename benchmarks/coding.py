"""How long coding takes on one core, compared with copying the same images.

python benchmarks/coding.py
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from collagebench.coding import berrut, parity, splines

REPEATS = 200
CLASSES = 10
SMOOTHING = 1e-5


def timed(call: Callable[[], object]) -> float:
    """Return the microseconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e3


def report(name: str, call: Callable[[], object], copy: Callable[[], object] | None = None) -> None:
    """Print a line; call and copy are timed alternately, so that other load affects both."""
    pairs = [(timed(call), timed(copy) if copy else 0.0) for _ in range(REPEATS + 20)][20:]
    ours, copied = (median(times) for times in zip(*pairs, strict=True))
    print(f"{name:44}{ours:10.1f}" + (f"{copied:10.1f}{ours / copied:9.1f}" if copy else ""))


def encoders(images: list[NDArray[np.uint8]], side: int) -> None:
    """Print how long it takes to code 2 to 4, or 8 images of one size."""

    def copy(k: int) -> Callable[[], object]:
        return lambda: [image.copy() for image in images[:k]]

    size = f"of {side}x{side}"
    for k in (2, 3, 4):
        report(f"parity, add {k} {size}", lambda k=k: parity.add(images[:k]), copy(k))  # type: ignore[misc]
    for k in (2, 4):
        report(f"parity, concatenate {k} {size}", lambda k=k: parity.concatenate(images[:k], k), copy(k))  # type: ignore[misc]
    report(f"berrut, 8 {size} to 9", lambda: berrut.encode(images, 9), copy(8))
    report(f"splines, 8 {size} to 9", lambda: splines.encode(images, 9, SMOOTHING), copy(8))


def main() -> None:
    """Print one line for each case."""
    generator = np.random.default_rng(0)
    print(f"microseconds, medians of {REPEATS} calls")
    print(f"{'':44}{'coding':>10}{'copying':>10}{'ratio':>9}")
    for side in (32, 224):
        encoders(list(generator.integers(0, 256, (8, side, side, 3), dtype=np.uint8)), side)
    outputs = generator.normal(size=(9, CLASSES)).astype(np.float32)
    eight = {share: outputs[share] for share in (0, 1, 2, 4, 5, 6, 7, 8)}
    report(f"parity, recover 1 of 4, {CLASSES} classes", lambda: parity.recover(outputs[0], outputs[1:4]))
    report(f"berrut, decode 8 from 8 of 9, {CLASSES} classes", lambda: berrut.decode(eight, 8, 9))
    report(f"splines, decode 8 from 8 of 9, {CLASSES} classes", lambda: splines.decode(eight, 8, 9, SMOOTHING))
    groups = generator.integers(0, 256, (500, 4, 32, 32, 3), dtype=np.uint8)
    for k in (2, 4):
        seconds = min(timed(lambda k=k: parity.concatenate_many(groups[:, :k])) for _ in range(5)) / 1e6  # type: ignore[misc]
        print(f"{f'parity, concatenate_many, {k} of 32x32':44}{len(groups) / seconds:10.0f} groups a second")


if __name__ == "__main__":
    main()

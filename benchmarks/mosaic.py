"""How long a collage takes to make, on one core, beside Pillow's resize of the same picture already pasted.

python benchmarks/mosaic.py
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from collagebench.coding.mosaic import mosaic

REPEATS = 300
CASES = [(3, 224, 416), (3, 32, 96), (3, 32, 64), (4, 224, 416)]


def timed(call: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def main() -> None:
    """Print one line a case; the two are timed in turn, so that a busy moment meets both."""
    generator = np.random.default_rng(0)
    print("milliseconds (median, least)        collage         Pillow   ratio   largest difference")
    for grid, image, size in CASES:
        images = list(generator.integers(0, 256, (grid * grid, image, image, 3), dtype=np.uint8))
        out = np.empty((size, size, 3), np.uint8)
        pasted = Image.fromarray(mosaic(images, grid, (grid * image, grid * image)))

        def ours(images: list = images, grid: int = grid, out: np.ndarray = out) -> np.ndarray:
            return mosaic(images, grid, out.shape[:2], out)

        def theirs(pasted: Image.Image = pasted, size: int = size) -> Image.Image:
            return pasted.resize((size, size), Image.Resampling.BILINEAR)

        difference = np.abs(ours().astype(int) - np.asarray(theirs())).max()
        rounds = [(timed(ours), timed(theirs)) for _ in range(REPEATS)]
        (median, least), (median_theirs, least_theirs) = (
            (statistics.median(t), min(t)) for t in zip(*rounds, strict=True)
        )
        name = f"{grid * grid} of {image}x{image} to {size}x{size}"
        print(
            f"{name:30} {median:7.3f} {least:7.3f} {median_theirs:7.3f} {least_theirs:7.3f}  "
            f"{median / median_theirs:5.2f}   {difference}"
        )


if __name__ == "__main__":
    main()

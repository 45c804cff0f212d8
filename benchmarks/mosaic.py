"""How long a collage takes to make on one core, compared with Pillow doing the same work from the same arrays.

python benchmarks/mosaic.py
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collagebench.coding.mosaic import mosaic

REPEATS = 300
CASES = [(3, 224, 416), (3, 32, 96), (3, 32, 64), (4, 224, 416)]


def timed(call: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def with_pillow(images: list[NDArray[np.uint8]], grid: int, size: int) -> NDArray[np.uint8]:
    """Paste and resize, as the paper's code does."""
    side = images[0].shape[0]
    whole = Image.new("RGB", (grid * side, grid * side))
    for k, image in enumerate(images):
        whole.paste(Image.fromarray(image), (k % grid * side, k // grid * side))
    return np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR))


def main() -> None:
    """Print one line for each case; the two are timed alternately, so that other load affects both."""
    generator = np.random.default_rng(0)
    print(f"milliseconds a collage, {REPEATS} calls; ratio of the medians; largest difference in grey levels")
    print(f"{'':25}{'collagebench':>18}{'Pillow':>18}{'ratio':>9}{'differ':>9}")
    print(f"{'':25}{'median':>9}{'least':>9}{'median':>9}{'least':>9}")
    for grid, side, size in CASES:
        images = list(generator.integers(0, 256, (grid * grid, side, side, 3), dtype=np.uint8))
        ours = partial(mosaic, images, grid, (size, size))
        theirs = partial(with_pillow, images, grid, size)
        difference = np.abs(ours().astype(int) - theirs()).max()
        a, b = zip(*((timed(ours), timed(theirs)) for _ in range(REPEATS)), strict=True)
        times = "".join(f"{milliseconds:9.3f}" for milliseconds in (median(a), min(a), median(b), min(b)))
        name = f"{grid * grid} of {side}x{side} to {size}x{size}"
        print(f"{name:25}{times}{median(a) / median(b):9.2f}{difference:9}")


if __name__ == "__main__":
    main()

"""Images of two classes that differ only in brightness, so that training takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


class Tones:
    """Noisy 8x8 images of two classes, dark and bright."""

    name = "tones"
    classes = ("dark", "bright")
    size = (8, 8, 3)

    def __init__(self, n: int = 600) -> None:
        rng = np.random.default_rng(0)
        self.labels = rng.integers(2, size=n)
        noise = rng.integers(100, size=(n, *self.size))
        self._images = (noise + 110 * self.labels[:, None, None, None]).astype(np.uint8)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.labels)

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at `indices`."""
        return self._images[indices]


def tones(directory: Path, sizes: tuple[tuple[int, int], ...] = ((20, 16),)) -> Path:
    """Write bright and dark images, 20 each for training and for testing, with these (width, height) in turn."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, level in (("bright", 150), ("dark", 0)):
            (directory / split / name).mkdir(parents=True)
            for k in range(20):
                width, height = sizes[k % len(sizes)]
                pixels = (level + rng.integers(100, size=(height, width, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(directory / split / name / f"{k:02}.png")
    return directory

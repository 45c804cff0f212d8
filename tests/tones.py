"""Images of two classes that differ only in brightness, so that training takes seconds."""

from __future__ import annotations

import numpy as np


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

"""What a training does, written down: with the same recipe, data and thread count it makes the same model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from collagebench.errors import UsageError

HELD_OUT = 50
"""One training image in this many is kept out of training, to watch it by; the test split is never touched."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The arguments of a training, besides the data and the architecture."""

    dataset: str
    """The name that the model's dataset goes by."""
    seed: int = 0
    epochs: int = 20
    """How often every training image is used."""
    batch: int = 64
    """Inputs (images or whole collages) in one step."""
    rate: float = 0.1
    """The peak of the one-cycle learning rate (Smith and Topin, arXiv 1708.07120)."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    crop: int = 0
    """Every image is shifted by up to this many pixels, its border mirrored."""
    flip: bool = True
    """Every image is mirrored left to right half of the time."""
    blanks: float = 0.5
    """Share of the collages that have blank cells: a random number of first cells is filled."""
    threads: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.threads) < 1:
            raise UsageError("a training needs at least one epoch, one input a batch and one thread")
        if self.seed < 0:
            raise UsageError(f"the seed is a whole number from 0 up, not {self.seed}")
        if not 0 < self.rate <= 10:
            raise UsageError(f"a learning rate of {self.rate} trains nothing; 0.1 is usual")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return asdict(self)

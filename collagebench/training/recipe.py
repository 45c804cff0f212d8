"""What a training does, written down: with the same recipe, data and thread count it makes the same model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from collagebench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Recipe:
    """The arguments of a training, besides the data and the architecture."""

    dataset: str
    """The name that the model's dataset goes by."""
    seed: int = 0
    epochs: int = 20
    """How often every training image is used."""
    batch: int = 64
    """Inputs (images, collages or parities) in one step."""
    rate: float = 0.2
    """The peak of the learning rate, which rises and falls in straight lines."""
    warmup: float = 0.2
    """Share of the steps in which it rises."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    """Of the weights; normalisation and biases are left alone."""
    label_smoothing: float = 0.1
    crop: int = 0
    """Every image is shifted by up to this many pixels, its border mirrored."""
    flip: bool = True
    """Every image is mirrored left to right in every second epoch."""
    blanks: float = 0.5
    """Share of the collages (parities) that are not full: a random number of first cells is filled."""
    teacher: str | None = None
    """sha256 of the checkpoint of the single that it is distilled from; None without."""
    start: str | None = None
    """sha256 of the checkpoint whose weights it begins with; None of random ones (a parity's are its teacher's)."""
    distillation: float = 0.8
    """Weight of the teacher's answers in the loss; the labels have the rest."""
    temperature: float = 2.0
    """What the logits are divided by before teacher and student are compared (Hinton et al., arXiv 1503.02531)."""
    threads: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.threads) < 1:
            raise UsageError("a training needs at least one epoch, one input a batch and one thread")
        if self.seed < 0:
            raise UsageError(f"the seed is a whole number from 0 up, not {self.seed}")
        if not 0 < self.rate <= 10:
            raise UsageError(f"a learning rate of {self.rate} trains nothing; 0.2 is usual")
        if not 0 <= self.blanks <= 1:
            raise UsageError(f"the share of collages with blanks is between 0 and 1, not {self.blanks}")

    def rate_at(self, step: int, total: int) -> float:
        """Return the learning rate of one step of `total`, counted from 0."""
        risen = self.warmup * total
        done = step + 1
        return self.rate * (done / risen if done < risen else min((total - step) / max(total - risen, 1), 1.0))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return asdict(self)

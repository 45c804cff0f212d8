"""Recipes: the arguments of a training. The same recipe, data and thread count give the same model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from collagebench.errors import UsageError

VIEWS = ("image", "shifts", "inputs")
"""What a teacher sees: the image as it is and mirrored; or each of these with every possible shift; or exactly what its
student sees, with all alterations. In the last case it is asked at every step, or beforehand if the recipe has
rounds."""
MOST_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Recipe:
    """The arguments of a training, besides the data and the architecture."""

    dataset: str
    """The name of the model's dataset."""
    seed: int = 0
    epochs: int = 20
    """How often every training image is used; with a time budget, the most."""
    minutes: float | None = None
    """The time budget, without the last validation; None for no limit."""
    batch: int = 64
    """Inputs (images, collages or parities) in one step."""
    rate: float = 0.2
    """The peak of the learning rate, which rises and falls linearly."""
    warmup: float = 0.2
    """Share of the steps in which it rises."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    """Weight decay, not applied to normalisation and biases (but see `bias_rate`)."""
    label_smoothing: float = 0.1
    """Share of the label that is spread over all classes, if there is no teacher."""
    crop: int = 0
    """Every image is shifted by up to this many pixels, with its border reflected."""
    flip: bool = True
    """Every image is mirrored left to right in every second epoch."""
    cutout: int = 0
    """Side in pixels of a grey square that hides a part of every image (arXiv 1708.04552); 0 for none."""
    mix: float = 0.0
    """Share of the images that are mixed with another, in a random ratio (arXiv 1710.09412). The target of such an
    image is the teacher's answer alone, or, without a teacher, both labels in the same ratio."""
    cutmix: float = 0.0
    """Share of the images in which a rectangle of random size shows another image (arXiv 1905.04899), with targets as
    for `mix`."""
    blanks: float = 0.5
    """Share of the collages (parities) that are not full: only a random number of the first cells is filled."""
    teacher: str | None = None
    """sha256 of the checkpoint or model of the single that is the teacher, or of several, joined by +; None without a
    teacher."""
    start: str | None = None
    """sha256 of the checkpoint with the initial weights, or the name of torchvision's weights. None for random weights,
    or, for a parity, its teacher's."""
    distillation: float = 0.8
    """Weight of the teacher's answers in the loss; the labels have the rest."""
    temperature: float = 2.0
    """Divides the logits before teacher and student are compared (Hinton et al., arXiv 1503.02531)."""
    threads: int = 1
    bias_rate: float = 1.0
    """Learning rate of biases relative to that of weights. Above 1, biases are also decayed like weights."""
    teacher_sees: str = "image"
    """What the teacher sees, one of VIEWS."""
    rounds: int = 0
    """The number of alterations of each image, which epochs use in turn, so that the teacher can be asked about all of
    them beforehand; 0 for a new alteration in every epoch."""
    every: int = 1
    """Epochs between validations, and between checkpoints."""
    muon: float = 0.0
    """The peak learning rate of Muon, for filters, relative to their norm; 0 to train filters with SGD, too."""
    images: str | None = None
    """The fingerprint of the training images; None if unknown."""
    ema: float = 0.0
    """Decay of the exponential moving average of the weights, which is what is validated and exported; 0 for none."""

    def __post_init__(self) -> None:
        for option, most in (("epochs", None), ("batch", None), ("every", None), ("threads", MOST_THREADS)):
            value = getattr(self, option)
            if value < 1 or (most and value > most):
                raise UsageError(f"--{option} must be a number from 1 {f'to {most}' if most else 'up'}, not {value}")
        if self.teacher_sees not in VIEWS:
            raise UsageError(f"a teacher sees one of {', '.join(VIEWS)}, not {self.teacher_sees!r}; use --teacher-sees")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError(f"--minutes must be a number above 0, not {self.minutes}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"the seed must be a whole number from 0 to 2^63 - 1, not {self.seed}")
        if not 0 < self.rate <= 10:
            raise UsageError(f"--rate must be a number above 0, up to 10, such as 0.2, not {self.rate}")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup must be a share from 0 to below 1, not {self.warmup}")
        if not 0 <= self.blanks <= 1:
            raise UsageError(f"the share of collages with blanks must be between 0 and 1, not {self.blanks}")
        if not (min(self.mix, self.cutmix) >= 0 and self.mixed <= 1):
            raise UsageError(
                f"--mix and --cutmix must be shares that add up to at most 1, not {self.mix} and {self.cutmix}"
            )
        if not 0 <= self.distillation <= 1:
            raise UsageError(f"--distillation must be a share from 0 to 1, not {self.distillation}")
        if not 0 < self.temperature < math.inf:
            raise UsageError(f"--temperature must be a number above 0, not {self.temperature}")
        if self.rounds < 0:
            raise UsageError(f"--rounds must be a number from 0 up, not {self.rounds}")
        if self.rounds and not (self.teacher and self.teacher_sees == "inputs"):
            raise UsageError("rounds are asked of a teacher; add --single and --teacher-sees inputs")
        if self.mixed and self.teacher and self.teacher_sees != "inputs":
            raise UsageError("a teacher must see mixed images to answer for them; add --teacher-sees inputs")
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"--label-smoothing must be a share from 0 to below 1, not {self.label_smoothing}")
        if not 0 <= self.muon <= 1:
            raise UsageError(f"--muon must be a rate from 0, for none, to 1, such as 0.24, not {self.muon}")
        if not 0 < self.bias_rate < math.inf:
            raise UsageError(f"--bias-rate must be a number above 0, not {self.bias_rate}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"--ema must be a decay from 0 to below 1, such as 0.999, not {self.ema}")
        if self.crop < 0:
            raise UsageError(f"--crop must be a number of pixels from 0 up, not {self.crop}")
        if self.cutout < 0:
            raise UsageError(f"--cutout must be a number of pixels from 0 up, not {self.cutout}")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"--weight-decay must be a number from 0 up, not {self.weight_decay}")

    @property
    def mixed(self) -> float:
        """Share of the images that are combined with another."""
        return self.mix + self.cutmix

    @property
    def shifts(self) -> int:
        """The number of shifts along one axis among the views."""
        return 2 * self.crop + 1 if self.teacher_sees == "shifts" else 1

    @property
    def views(self) -> int:
        """The number of views of an image."""
        return 2 * self.shifts**2

    @property
    def plain(self) -> int:
        """The number of the view of an unaltered image."""
        return self.shifts**2 // 2

    def view(self, rows: Any, columns: Any, mirrored: Any) -> Any:
        """Return the numbers of views [n], given shifts in rows and columns (0 to 2 * crop) and `mirrored` (0 or 1)."""
        if self.shifts == 1:
            return mirrored
        return (mirrored * self.shifts + rows) * self.shifts + columns

    def rate_at(self, step: int, total: int) -> float:
        """Return the learning rate of one step of `total`, counted from 0."""
        risen = self.warmup * total
        done = step + 1
        return self.rate * (done / risen if done < risen else min((total - step) / max(total - risen, 1), 1.0))

    def rate_after(self, share: float) -> float:
        """Return the learning rate after a `share` of the training, from 0 to 1; `rate_at` is its version by steps."""
        return self.rate * (share / self.warmup if share < self.warmup else max(1 - share, 0) / (1 - self.warmup))

    def decay_at(self, step: int) -> float:
        """Return the decay of the averaged weights at one step, counted from 0; it is smaller at first.

        Otherwise the initial random weights would stay in the average of a short training.
        """
        return min(self.ema, (step + 1) / (step + 10))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

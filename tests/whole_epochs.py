"""All batches of an epoch, as training makes them step by step."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from collagebench.models.architecture import Architecture
from collagebench.training.batches import Batch, batch_of, drawn
from collagebench.training.recipe import Recipe


def batches(images: Tensor, labels: Tensor, architecture: Architecture, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """Yield the batches of one epoch over uint8 images [n, h, w, 3] with int64 labels [n], both on one device."""
    of_epoch = drawn(len(images), architecture, recipe, epoch, images.device)
    for chosen in of_epoch.chosen:
        yield batch_of(images, labels, architecture, recipe, of_epoch, chosen)

"""The losses: one for each kind of network, with the teacher's part."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from collagebench.models.detection import Detection
from collagebench.training.batches import IGNORED, Batch
from collagebench.training.recipe import Recipe


def loss_of(
    logits: Tensor, batch: Batch, wanted: Tensor | None, recipe: Recipe, detection: Detection | None = None
) -> Tensor:
    """Return the loss of one batch, a scalar.

    `logits` is [batch, classes] for a parity network, else [batch, ..., classes] with one row per image, or the output
    of the head `detection`. `wanted` holds the teacher's logits for each image, [batch, images per input, classes].
    """
    of_batch = (batch.labels, batch.others, batch.own, batch.there)
    labels, others, own, there = (field.to(logits.device) for field in of_batch)
    if detection is not None:
        classes = logits.shape[-1] - 5
        return detection.loss(logits, wanted_classes(labels, others, own, wanted, recipe, classes), there)
    if wanted is None:
        losses = [
            F.cross_entropy(
                logits.flatten(0, -2),
                of.flatten(),
                ignore_index=IGNORED,
                label_smoothing=recipe.label_smoothing,
                reduction="none",
            )
            for of in ((others, labels) if recipe.mixed else (labels,))
        ]
        total = torch.lerp(*losses, own.flatten()).sum() if recipe.mixed else losses[0].sum()
        return total / there.sum()
    if logits.shape[:-1].numel() != labels.numel():  # a parity: one row for all images of an input
        return F.mse_loss(logits, (wanted * there[..., None]).sum(1))
    labels = labels.masked_fill(own < 1, IGNORED).flatten()
    rows, wanted, there = logits.flatten(0, -2), wanted.flatten(0, -2), there.flatten()
    known = (labels != IGNORED).sum().clamp(min=1)
    hard = F.cross_entropy(rows, labels, ignore_index=IGNORED, reduction="sum") / known
    t = recipe.temperature
    apart = F.kl_div(F.log_softmax(rows / t, 1), F.log_softmax(wanted / t, 1), reduction="none", log_target=True)
    soft = (apart.sum(1) * there).sum() / there.sum()  # a mask, as indexing would make the GPU wait
    return (1 - recipe.distillation) * hard + recipe.distillation * t**2 * soft


def wanted_classes(
    labels: Tensor, others: Tensor, own: Tensor, wanted: Tensor | None, recipe: Recipe, classes: int
) -> Tensor:
    """Return the target probability of each class for each image, [batch, images per input, classes].

    It comes from the labels and, with the recipe's weight, from the teacher; without a teacher the labels are smoothed.
    For a mixed image it comes from the teacher alone, or, without one, from the labels of both images. Values for
    blanks are arbitrary.
    """
    one, other = (F.one_hot(some.clamp(min=0), classes).float() for some in (labels, others))
    hard = torch.lerp(other, one, own[..., None])
    if wanted is None:
        return hard * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
    soft = wanted.softmax(-1)
    return torch.where((own < 1)[..., None], soft, torch.lerp(hard, soft, recipe.distillation))

"""What a training makes small: one loss for each kind of network, with the teacher's part in it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from collagebench.models.detection import Detection
from collagebench.training.batches import IGNORED, Batch
from collagebench.training.recipe import Recipe


def loss_of(
    logits: Tensor, batch: Batch, taught: Tensor | None, recipe: Recipe, detection: Detection | None = None
) -> Tensor:
    """Return the loss of one batch, a scalar.

    `logits` is [batch, classes] of a parity network, else [batch, ..., classes] with one row an image, or what the head
    `detection` gives; `taught` the teacher's logits [views, images, classes].
    """
    labels = batch.labels.to(logits.device)
    if detection is not None:
        return detection.loss(logits, wanted_classes(labels, batch, taught, recipe, logits.shape[-1] - 5), labels >= 0)
    if taught is None:
        rows = logits.flatten(0, -2)
        return F.cross_entropy(rows, labels.flatten(), ignore_index=IGNORED, label_smoothing=recipe.label_smoothing)
    wanted = taught[batch.views, batch.images].to(logits.device).float()
    there = labels != IGNORED
    if logits.shape[:-1].numel() != labels.numel():  # one answer for all images of an input: a parity
        return F.mse_loss(logits, (wanted * there[..., None]).sum(1))
    rows, wanted, there = logits.flatten(0, -2), wanted.flatten(0, -2), there.flatten()
    hard = F.cross_entropy(rows, labels.flatten(), ignore_index=IGNORED)
    t = recipe.temperature
    apart = F.kl_div(F.log_softmax(rows / t, 1), F.log_softmax(wanted / t, 1), reduction="none", log_target=True)
    soft = (apart.sum(1) * there).sum() / there.sum()  # nothing is picked out: a GPU would have to wait for the number
    return (1 - recipe.distillation) * hard + recipe.distillation * t**2 * soft


def wanted_classes(labels: Tensor, batch: Batch, taught: Tensor | None, recipe: Recipe, classes: int) -> Tensor:
    """Return how probable each class should be for each image, [batch, images an input, classes]: blanks at random.

    By the labels, and by as much as the recipe says by the teacher, or else smoothed.
    """
    hard = F.one_hot(labels.clamp(min=0), classes).float()
    if taught is None:
        return hard * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
    soft = taught[batch.views, batch.images].to(labels.device).float().softmax(-1)
    return (1 - recipe.distillation) * hard + recipe.distillation * soft

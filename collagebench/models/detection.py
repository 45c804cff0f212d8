"""The head of the paper's own collage model: boxes with classes, as in YOLOv3, on one scale.

At every place of the last features, each of the ANCHORS predicts one box: its centre as an offset within the place, its
size as a multiple of the anchor's, its objectness, and its class (YOLOv3, arXiv 1804.02767; collage inference, arXiv
1904.12222, uses its small variant with only the coarse scale). In training, each image of a mosaic is an object whose
box is its whole cell; blank cells hold no object. One anchor is responsible for the object: the one whose shape fits
best, at the place that contains the centre. `coding.boxes` turns boxes into answers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from collagebench.coding.boxes import cell_boxes

ANCHORS = ((81 * 3 / 416, 82 * 3 / 416), (135 * 3 / 416, 169 * 3 / 416), (344 * 3 / 416, 319 * 3 / 416))
"""Width and height in cells: the anchors of YOLOv3-tiny's coarse scale, for 416 pixels with 3 cells along a side."""
DOUBT = -4.0
"""The initial logit of objectness. Most boxes hold nothing, and training need not learn that first."""
SCALE = 0.125
"""Keeps the first outputs small, so that the first steps at a high rate do not saturate the loss."""
IGNORED_OVERLAP = 0.7
"""The loss ignores the objectness of a box that overlaps an object by more than this, but is not responsible for it."""


class Detection(nn.Module):
    """Maps features to boxes, in pixels, and logits. Its buffers hold what the loss compares them with."""

    anchors: Tensor
    """[anchors, 2]: width and height in pixels."""
    corners: Tensor
    """[boxes, 2]: the left and upper border of each box's place, in pixels."""
    responsible: Tensor
    """[cells]: the index of the box that is responsible for each cell's image."""
    objects: Tensor
    """[cells, 4]: left, top, right and bottom of each cell, in pixels."""

    def __init__(self, features: int, classes: int, grid: int, size: tuple[int, int], reduction: int) -> None:
        """Make a head for mosaics of `size`, (height, width), whose features are smaller by the factor `reduction`."""
        super().__init__()
        self.reduction = reduction
        self.conv = nn.Conv2d(features, len(ANCHORS) * (5 + classes), 1)
        with torch.no_grad():
            self.conv.bias.view(len(ANCHORS), -1)[:, 4] = DOUBT / SCALE
        cell = torch.tensor([size[1] / grid, size[0] / grid])
        anchors = torch.tensor(ANCHORS) * cell
        rows, columns = (torch.arange(side // reduction) for side in size)
        places = torch.cartesian_prod(rows, columns).flip(1)
        objects = torch.from_numpy(cell_boxes(grid, size)).float()
        centre = ((objects[:, :2] + objects[:, 2:]) / 2 / reduction).long()
        shared = torch.minimum(anchors, cell).prod(1)
        best = (shared / (anchors.prod(1) + cell.prod() - shared)).argmax()
        for name, constant in {
            "anchors": anchors,
            "corners": (places * reduction).float().repeat_interleave(len(ANCHORS), 0),
            "responsible": (centre[:, 1] * len(columns) + centre[:, 0]) * len(ANCHORS) + best,
            "objects": objects,
        }.items():
            self.register_buffer(name, constant, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features [batch, features, h, w] to [batch, h * w * anchors, 5 + classes], as `coding.boxes` reads it."""
        x = (self.conv(x) * SCALE).float()
        batch, _, height, width = x.shape
        x = x.reshape(batch, len(ANCHORS), -1, height, width).permute(0, 3, 4, 1, 2)
        x = x.reshape(batch, height * width * len(ANCHORS), -1)
        centres = self.corners + self.reduction * x[..., :2].sigmoid()
        sizes = self.anchors.repeat(height * width, 1) * x[..., 2:4].exp()
        return torch.cat([centres, sizes, x[..., 4:]], dim=-1)

    def loss(self, outputs: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
        """Return the loss of boxes [batch, boxes, 5 + classes]: a scalar, a sum of terms per object.

        `wanted` [batch, cells, classes] is the probability of each class in each cell; `there` [batch, cells] says
        which cells hold an image. For responsible boxes, the terms are the squared errors of position and of the
        logarithm of size, and the cross-entropies of classes; for all boxes that are not ignored, the cross-entropy of
        objectness.
        """
        mine = outputs[:, self.responsible]
        mine = torch.where(there[..., None], mine, torch.ones_like(mine))  # finite terms for blank cells
        middles, sides = (self.objects[:, :2] + self.objects[:, 2:]) / 2, self.objects[:, 2:] - self.objects[:, :2]
        places = ((mine[..., :2] - middles) / self.reduction).square().sum(-1)
        sizes = (mine[..., 2:4] / sides).log().square().sum(-1)
        kinds = F.binary_cross_entropy_with_logits(mine[..., 5:], wanted, reduction="none").sum(-1)
        held = torch.zeros_like(outputs[..., 4])
        held[:, self.responsible] = there.to(held.dtype)
        judged = (held > 0) | ~self._close(outputs.detach(), there)
        sure = F.binary_cross_entropy_with_logits(outputs[..., 4], held, reduction="none")
        objects = ((places + sizes + kinds) * there).sum()  # a mask instead of indexing: see `training.step`
        return (objects + (sure * judged).sum()) / there.sum().clamp(min=1)

    def _close(self, outputs: Tensor, there: Tensor) -> Tensor:
        """Return which boxes overlap an object that is `there` by more than IGNORED_OVERLAP: [batch, boxes]."""
        halves = outputs[..., 2:4] / 2
        upper, lower = outputs[..., None, :2] - halves[..., None, :], outputs[..., None, :2] + halves[..., None, :]
        sides = torch.minimum(lower, self.objects[:, 2:]) - torch.maximum(upper, self.objects[:, :2])
        shared = sides.clamp(min=0).prod(-1)
        areas = (lower - upper).prod(-1) + (self.objects[:, 2:] - self.objects[:, :2]).prod(-1)
        return ((shared / (areas - shared) > IGNORED_OVERLAP) & there[:, None]).any(-1)

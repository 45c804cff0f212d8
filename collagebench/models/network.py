"""One family of small convolutional networks for every role.

A network has a stem, possibly with a stride; then stages, each of which widens the features, halves their resolution by
max pooling, and refines them with further convolutions; then max pooling over the whole image and one linear layer.
There are two kinds of layers: `residual` (He et al., arXiv 1512.03385), and `whitened`, which learn faster (the fast
CIFAR-10 networks of arXiv 2404.00498). The latter have a stem that only whitens, and convolutions that start as
identities and have no learnt scale. The order convolution, pooling, normalisation comes from those networks. Roles
differ in their input and in what the head classifies:

- `single` takes one image. `backup` does the same with fewer multiplications, so that a batch of images costs as much
  as one collage. `coded` is a trained single that takes float32, because coded images leave the range of pixels.
- `collage` takes a mosaic of grid x grid images. Its features are pooled to grid x grid vectors, one per cell, and the
  linear layer classifies each: the idea of collage inference (arXiv 1904.12222) with a grid in place of that paper's
  boxes. A stride in the stem makes it affordable, but loses detail that a single still sees. Blank cells are black.
  With a detection head it is that paper's own collage model: see `detection`.
- `parity` takes k images in one, summed or scaled down side by side, and estimates the sum of the single's outputs for
  them (ParM, arXiv 1905.00863).

Inputs are RGB pixels, [batch, height, width, 3], so that no client needs to know how a model was trained; pixels are
scaled here, inside the graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from collagebench.models.architecture import Architecture
from collagebench.models.detection import Detection

WHITENED_FLOOR = 8e-3
"""Added to the variance along each filter, so that whitening does not amplify noise."""
WHITENED_AT_ONCE = 100
"""Images whose patches are in memory at the same time."""
LOGIT_SCALE = 0.125
"""Keeps the first logits small, so that the first steps at a high rate do not saturate the loss."""


def image_values(pixels: Tensor, added: int = 1) -> Tensor:
    """Turn pixels [batch, height, width, 3] into values [batch, 3, height, width], from -2 to almost 2.

    If each input is the sum of `added` images, that range holds for each of them, not for the sum.
    """
    return pixels.permute(0, 3, 1, 2).float() / 64 - 2 * added


class Convolution(nn.Module):
    """A 3x3 convolution, 2x2 max pooling if `pool`, normalisation and ReLU, added to its input if `residual`."""

    def __init__(self, inputs: int, outputs: int, pool: bool = False, residual: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, inputs, h, w] to [batch, outputs, h, w], or half as high and wide."""
        y = F.relu(self.norm(self.pool(self.conv(x))))
        return x + y if self.residual else y


class CellMaxima(nn.Module):
    """Max pooling over cells whose borders cut features: a cell takes every feature that overlaps it."""

    def __init__(self, size: tuple[int, int], grid: int) -> None:
        """Divide features of `size`, (height, width), into grid x grid cells."""
        super().__init__()
        self.rows, self.columns = (
            [(cell * side // grid, -(-(cell + 1) * side // grid)) for cell in range(grid)] for side in size
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, features, height, width] to [batch, features, grid, grid]."""
        x = torch.stack([x[:, :, first:last].amax(2) for first, last in self.rows], 2)
        return torch.stack([x[:, :, :, first:last].amax(3) for first, last in self.columns], 3)


class Network(nn.Module):
    """A network of any role, built from its architecture."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        residual = a.layers == "residual"
        if residual:
            conv = nn.Conv2d(3, a.stem, 2 * a.stride + 1, a.stride, a.stride, bias=False)
            self.stem = nn.Sequential(conv, nn.BatchNorm2d(a.stem), nn.ReLU())
        else:
            self.stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, a.stem, 2), nn.ReLU())
        trunk: list[nn.Module] = []
        for inputs, outputs, depth in zip((a.stem, *a.widths), a.widths, a.depths, strict=False):
            trunk.append(Convolution(inputs, outputs, pool=True))
            trunk += [Convolution(outputs, outputs, residual=residual) for _ in range(depth)]
        self.trunk = nn.Sequential(*trunk)
        if not residual:
            for layer in trunk:
                assert isinstance(layer, Convolution)
                nn.init.dirac_(layer.conv.weight.data[: layer.conv.in_channels])
                layer.norm.weight.requires_grad = False
        if a.head == "detection":
            self.detect = Detection(a.widths[-1], a.classes, a.grid or 1, a.input[:2], a.reduction)
            return
        height, width = (side // a.reduction for side in a.input[:2])
        grid = a.grid or 1
        fits = height % grid == 0 and width % grid == 0
        self.cell = nn.MaxPool2d((height // grid, width // grid)) if fits else CellMaxima((height, width), grid)
        self.classify = nn.Linear(a.widths[-1], a.classes)

    def whiten(self, images: Tensor) -> None:
        """Set and freeze the whitening stem, which decorrelates patches of 2x2 pixels.

        `images` are some of the training images, [n, height, width, 3].
        """
        products, count = torch.zeros(12, 12), 0
        for some in images.split(WHITENED_AT_ONCE):
            rows = F.unfold(image_values(some), 2).transpose(1, 2).reshape(-1, 12)
            products, count = products + rows.T @ rows, count + len(rows)
        variances, directions = torch.linalg.eigh(products / count)
        filters = (directions.T / torch.sqrt(variances[:, None] + WHITENED_FLOOR)).reshape(12, 3, 2, 2)
        stem = self.stem[1]
        assert isinstance(stem, nn.Conv2d)
        assert stem.bias is not None
        with torch.no_grad():
            stem.weight.copy_(torch.cat([filters, -filters]))
            stem.bias.zero_()
        stem.weight.requires_grad = False

    def forward(self, image: Tensor) -> Tensor:
        """Classify pixels [batch, height, width, 3], uint8 or float32 as the architecture says.

        Returns float32 logits: [batch, classes]; for a collage [batch, grid * grid, classes] (row-major), or [batch,
        boxes, 5 + classes] with a detection head.
        """
        x = self.trunk(self.stem(image_values(image, self.architecture.added)))
        if self.architecture.head == "detection":
            boxes: Tensor = self.detect(x)
            return boxes
        x = self.cell(x)
        cells = self.classify(x.flatten(2).transpose(1, 2)) * LOGIT_SCALE
        return cells if self.architecture.grid else cells.squeeze(1)

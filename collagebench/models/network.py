"""Two convolutional networks that share one trunk: `single` sees one image, `collage` a mosaic of grid x grid images.

The trunk is a small residual network (He et al., arXiv 1512.03385): a stem that may stride, then stages of basic
blocks, each with half the resolution and twice the channels of the one before. The single pools its features to one
vector. The collage pools them to grid x grid vectors, one a cell, and a shared linear layer classifies each: the idea
of collage inference (arXiv 1904.12222) with a grid in place of that paper's boxes. A stem that strides makes a collage
affordable, and costs it the detail that a single still sees.

Both take uint8 [batch, height, width, 3], RGB, so that a request is raw pixels and no client needs to know how a model
was trained; scaling happens here, inside the graph. A blank cell of a mosaic is black.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from collagebench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that fixes a network's layers."""

    role: str
    """`single` or `collage`."""
    classes: int
    image: tuple[int, int]
    """Height and width of one image of the dataset, in pixels; a collage's input is grid times that."""
    grid: int | None = None
    """Cells along one side of the collage; None for a single."""
    width: int = 16
    """Channels of the first stage; every later stage has twice its predecessor's."""
    stages: int = 3
    blocks: int = 1
    """Residual blocks in each stage."""
    stride: int = 1
    """Stride of the stem, in pixels."""

    def __post_init__(self) -> None:
        if self.role not in ("single", "collage"):
            raise UsageError(f"unknown role {self.role!r}; the roles are single and collage")
        if self.role == "collage" and not (self.grid is not None and 2 <= self.grid <= 5):
            raise UsageError(f"a collage has 2 to 5 cells along a side, not {self.grid}; use --grid")
        if self.role == "single" and self.grid is not None:
            raise UsageError("a single sees one image and has no grid; drop --grid")
        if min(self.classes - 1, self.width, self.stages, self.blocks, self.stride) < 1:
            raise UsageError(
                "a network needs at least two classes, and a width, stages, blocks and stride of at least 1"
            )
        reduction = self.stride * 2 ** (self.stages - 1)
        if any(side % reduction for side in self.image):
            raise UsageError(
                f"{self.image[0]}x{self.image[1]} images do not divide by {reduction} (stem stride {self.stride} and "
                f"{self.stages} stages), so cells would not fall on whole features; choose another --stride or --stages"
            )

    @property
    def cells(self) -> int:
        """Images in one input."""
        return self.grid**2 if self.grid else 1

    @property
    def input(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        grid = self.grid or 1
        return self.image[0] * grid, self.image[1] * grid, 3

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return {**asdict(self), "image": list(self.image)}


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, inputs, h, w] to [batch, outputs, h / stride, w / stride]."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Network(nn.Module):
    """A single or a collage network, as its architecture says."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.stem = nn.Sequential(
            nn.Conv2d(3, a.width, 2 * a.stride + 1, a.stride, a.stride, bias=False), nn.BatchNorm2d(a.width), nn.ReLU()
        )
        widths = [a.width * 2**stage for stage in range(a.stages)]
        self.trunk = nn.Sequential(
            *(
                Block(
                    inputs=widths[max(stage - 1, 0)] if block == 0 else widths[stage],
                    outputs=widths[stage],
                    stride=2 if stage > 0 and block == 0 else 1,
                )
                for stage in range(a.stages)
                for block in range(a.blocks)
            )
        )
        reduction = a.stride * 2 ** (a.stages - 1)
        self.cell = nn.AvgPool2d((a.image[0] // reduction, a.image[1] // reduction))
        self.classify = nn.Linear(widths[-1], a.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Classify uint8 [batch, height, width, 3].

        Returns float32 logits: [batch, classes] of a single, [batch, grid * grid, classes] of a collage (row-major).
        """
        x = image.permute(0, 3, 1, 2).float() / 64 - 2  # black is -2, white almost 2
        x = self.cell(self.trunk(self.stem(x)))
        cells = self.classify(x.flatten(2).transpose(1, 2))
        return cells if self.architecture.grid else cells.squeeze(1)

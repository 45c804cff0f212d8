"""Architectures of networks: role, input and layers, with the defaults for small and for large images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from collagebench.coding.mosaic import LARGEST_GRID
from collagebench.coding.parity import GRIDS, LARGEST_K
from collagebench.errors import UsageError
from collagebench.terms import CODES, HEADS, ROLES

LAYERS = ("residual", "whitened")
WIDEST, DEEPEST = 16_384, 1000
"""The most channels, and the most layers of a stage; more is taken for a typing error."""
WHITENED_STEM = 24
"""12 filters span a patch of 2x2 pixels in 3 colours; their 12 negatives keep what ReLU would cut off."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that determines a network's layers."""

    role: str
    """One of ROLES."""
    classes: int
    image: tuple[int, int]
    """Height and width of one image of the dataset, in pixels. A collage's input is `grid` times as large, unless it is
    scaled down to `canvas`."""
    grid: int | None = None
    """Cells along one side of the collage; None for other roles."""
    k: int | None = None
    """Images that one parity input combines; None for other roles."""
    code: str | None = None
    """How a parity input combines them, one of CODES; None for other roles."""
    stem: int = 16
    """Channels of the stem."""
    stride: int = 1
    """Stride of the stem, in pixels."""
    widths: tuple[int, ...] = (32, 64)
    """Channels of each stage; each has half the resolution of the one before."""
    depths: tuple[int, ...] = (1, 1)
    """Residual convolutions in each stage."""
    layers: str = "residual"
    """One of LAYERS."""
    head: str | None = None
    """How a collage answers, one of HEADS, by default `grid`; None for other roles."""
    canvas: tuple[int, int] | None = None
    """Height and width of a collage's input, in pixels, if it is not `grid` times an image; None otherwise."""

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise UsageError(f"unknown role {self.role!r}; the roles are {', '.join(ROLES)}")
        if self.role == "collage" and not (self.grid is not None and 2 <= self.grid <= LARGEST_GRID):
            raise UsageError(f"a collage has 2 to {LARGEST_GRID} cells along a side, not {self.grid}; use --grid")
        if self.role == "collage" and self.head is None:
            object.__setattr__(self, "head", "grid")
        if self.role == "collage" and self.head not in HEADS:
            raise UsageError(f"unknown head {self.head!r}; the heads are {', '.join(HEADS)}; use --head")
        if self.role != "collage" and self.head is not None:
            raise UsageError(f"only a collage chooses a head, a {self.role} has none; drop --head")
        if self.role != "collage" and self.grid is not None:
            raise UsageError(f"a {self.role} has no grid; drop --grid")
        if self.layers not in LAYERS:
            raise UsageError(f"unknown layers {self.layers!r}; the layers are {', '.join(LAYERS)}; use --layers")
        if self.layers == "whitened" and (self.stem, self.stride) != (WHITENED_STEM, 1):
            raise UsageError(f"a whitened stem has {WHITENED_STEM} channels and stride 1; drop --stem and --stride")
        if self.role == "parity":
            self._check_code()
        elif self.k is not None or self.code is not None:
            raise UsageError(f"a {self.role} does not add up images; drop --k and --code")
        if len(self.widths) != len(self.depths) or not self.widths:
            raise UsageError(
                f"{len(self.widths)} widths and {len(self.depths)} depths do not match; give one of each for every "
                "stage"
            )
        if self.classes < 2:
            raise UsageError(f"a network needs at least two classes, but the images have {self.classes}")
        for option, values, least, most in (
            ("stem", (self.stem,), 1, WIDEST),
            ("stride", (self.stride,), 1, WIDEST),
            ("widths", self.widths, 1, WIDEST),
            ("depths", self.depths, 0, DEEPEST),
        ):
            if not least <= min(values) <= max(values) <= most:
                raise UsageError(f"--{option} must be from {least} to {most}, not {','.join(map(str, values))}")
        if self.canvas:
            self._check_canvas()
        elif any(side % self.reduction for side in self.image):
            fits = max(min(self.image) // self.reduction, 1) * self.reduction
            why = ", so that cells would not coincide with whole features" if self.role == "collage" else ""
            raise UsageError(
                f"{self.image[0]}x{self.image[1]} images are not divisible by {self.reduction} (stem stride "
                f"{self.stride} and {len(self.widths)} stages){why}; resize those of an imagefolder with --size "
                f"{fits}, or choose another --stride or fewer --widths"
            )

    def _check_canvas(self) -> None:
        assert self.canvas
        if self.role != "collage":
            raise UsageError(f"a {self.role} sees images as they are; drop --input")
        if any(side % self.reduction or side < self.reduction * (self.grid or 1) for side in self.canvas):
            raise UsageError(
                f"a collage of {self.canvas[0]}x{self.canvas[1]} pixels is not divisible by {self.reduction} (stem "
                f"stride {self.stride} and {len(self.widths)} stages), or has less than that for each of {self.grid} "
                "cells along a side; choose another --input or --stride, or fewer --widths"
            )

    def _check_code(self) -> None:
        if self.code not in CODES:
            raise UsageError(f"unknown code {self.code!r}; the codes are {', '.join(CODES)}; use --code")
        if self.k is None or not 2 <= self.k <= LARGEST_K:
            raise UsageError(f"a parity input stands for 2 to {LARGEST_K} images, not {self.k}; use --k")
        if self.code == "concatenation" and self.k not in GRIDS:
            raise UsageError(f"concatenation puts 2 or 4 images side by side, not {self.k}; use --code addition")

    @property
    def reduction(self) -> int:
        """Pixels of the input, along one side, per pixel of the last features."""
        return self.stride * int(2 ** len(self.widths))

    @property
    def images(self) -> int:
        """Images in one input."""
        return self.grid**2 if self.grid else self.k or 1

    @property
    def added(self) -> int:
        """Images that are summed in one input, pixel by pixel."""
        return self.k if self.k and self.code == "addition" else 1

    @property
    def input(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        if self.canvas:
            return (*self.canvas, 3)
        grid = self.grid or 1
        return self.image[0] * grid, self.image[1] * grid, 3

    @property
    def dtype(self) -> str:
        """`float32` if inputs leave the range of pixels, else `uint8`."""
        return "float32" if self.role == "coded" or self.added > 1 else "uint8"

    @property
    def name(self) -> str:
        """Its name among the models of one dataset: `single`, `collage-3x3`, `parity-k2-addition`."""
        if self.grid:
            return f"{self.role}-{self.grid}x{self.grid}" + ("-detection" if self.head == "detection" else "")
        return f"{self.role}-k{self.k}-{self.code}" if self.k else self.role

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return described(self)


def described(architecture: Any) -> dict[str, Any]:
    """Return the fields of an architecture, an `Architecture` or a `Preprocessing`, as JSON values."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(architecture).items()}


def fields_of(description: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an architecture from what `described` returned."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in description.items()}


_SINGLE = {"stem": 16, "stride": 1, "widths": (64, 144, 256), "depths": (4, 4, 2), "layers": "residual"}
_WHITENED = {"stem": WHITENED_STEM, "stride": 1, "widths": (64, 224, 256), "depths": (1, 2, 1), "layers": "whitened"}
_COLLAGES = {
    2: {"stem": 16, "stride": 1, "widths": (32, 96, 192), "depths": (1, 3, 1), "layers": "residual"},
    3: {"stem": 16, "stride": 2, "widths": (48, 128), "depths": (3, 4), "layers": "residual"},
    4: {"stem": 16, "stride": 2, "widths": (48, 96), "depths": (2, 3), "layers": "residual"},
    5: {"stem": 16, "stride": 2, "widths": (32, 80), "depths": (2, 3), "layers": "residual"},
}
_LARGE = {
    "single": {"stem": 24, "stride": 2, "widths": (48, 96, 192, 384), "depths": (1, 1, 1, 1), "layers": "residual"},
    "collage": {"stem": 16, "stride": 2, "widths": (16, 48, 112, 256), "depths": (1, 1, 1, 1), "layers": "residual"},
    "backup": {"stem": 16, "stride": 4, "widths": (32, 72, 144), "depths": (1, 1, 1), "layers": "residual"},
}
LARGE = 64
"""Images up to this many pixels along their shorter side are small."""


def usual_canvas(image: tuple[int, int]) -> tuple[int, int] | None:
    """Return the default size to which a collage is scaled down: (height, width), or None if the images are small.

    Images of 224 pixels make a collage of 416 pixels, as in collage inference (arXiv 1904.12222).
    """
    if min(image) <= LARGE:
        return None
    height, width = (max(round(side * 416 / 224 / 32), 1) * 32 for side in image)
    return height, width


def usual_layers(
    role: str, grid: int | None, image: tuple[int, int] = (32, 32), layers: str | None = None
) -> dict[str, Any]:
    """Return the default layers of a network, of the kind `layers`, one of LAYERS, if that is given.

    On 32x32 pixels a single takes 157 million multiply-accumulates, whitened or not. Collages, with 32 pixels per cell,
    take 171 to 186 million, and at most a few hundredths more time than a single on one thread of onnxruntime, which is
    fastest with multiples of 16 channels. A batch of nine for the backup takes as many as a 3x3 collage. Large images
    take four stages: 803 million on 224x224 pixels, and about as many for a collage of 416x416.
    """
    if layers == "whitened":
        return _WHITENED
    if min(image) > LARGE:
        return _LARGE.get(role, _LARGE["single"])
    if role == "backup":
        return _COLLAGES[3]
    return _COLLAGES.get(min(grid, max(_COLLAGES)), _SINGLE) if role == "collage" and grid else _SINGLE

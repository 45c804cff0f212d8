"""Training batches: random images, shifted and mirrored, combined into new random inputs at every step.

All random numbers of an epoch are drawn at its start, from a generator seeded by (seed, epoch), so that a training
resumed at an epoch continues exactly as if it had never stopped. The alterations of images are drawn independently of
their order, so that a teacher's logits can be computed beforehand, once for the networks of all roles. Pixels are
altered on the device that holds the images; only the drawn numbers are copied to a GPU.

An image is mirrored in every second epoch: so two epochs show both versions of every image, whereas a coin toss would
repeat one version for half of them. `paste` equals `coding.mosaic.mosaic` at full size, for many collages at a time;
collages scaled down to a canvas are made by `mosaic` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collagebench.coding.mosaic import mosaic
from collagebench.coding.parity import concatenate_many
from collagebench.errors import DataError
from collagebench.training.recipe import Recipe

if TYPE_CHECKING:
    from collagebench.models.architecture import Architecture
    from collagebench.models.foreign import Preprocessing

IGNORED = -100
"""The label of a blank cell, which `torch.nn.functional.cross_entropy` leaves out of the loss."""
GREY = 128
"""The value of hidden pixels, which networks scale to 0."""


def paste(images: Tensor, grid: int) -> Tensor:
    """Paste images [n * grid * grid, h, w, 3] into n mosaics [n, grid * h, grid * w, 3], cells row-major."""
    cells, h, w, channels = images.shape
    tiles = images.reshape(cells // grid**2, grid, grid, h, w, channels)
    return tiles.permute(0, 1, 3, 2, 4, 5).reshape(-1, grid * h, grid * w, channels)


def shift_and_mirror(
    images: Tensor, chosen: Tensor, rows: Tensor, columns: Tensor, mirrored: Tensor, crop: int
) -> Tensor:
    """Return the `chosen` [n] of images [m, h, w, 3], shifted, and then mirrored where `mirrored` [n] is not 0.

    `rows` and `columns` [n] are from 0 to 2 * `crop`. The value `crop` leaves an image where it is; smaller values move
    it down or right. The image is extended by reflection at its borders.
    """
    h, w = images.shape[1:3]
    down = torch.arange(h, device=images.device) + (rows - crop)[:, None]
    across = torch.arange(w, device=images.device).expand(len(chosen), -1)
    across = torch.where(mirrored[:, None] > 0, w - 1 - across, across) + (columns - crop)[:, None]
    return images[chosen[:, None, None], _reflected(down, h)[:, :, None], _reflected(across, w)[:, None, :]]


def _reflected(places: Tensor, side: int) -> Tensor:
    """Reflect places at 0 and at side - 1."""
    places = places.abs()
    return torch.where(places < side, places, 2 * (side - 1) - places)


def cut_out(images: Tensor, tops: Tensor, lefts: Tensor, side: int) -> Tensor:
    """Paint a grey square of `side` pixels over each of the images [n, h, w, 3] (cutout, arXiv 1708.04552).

    `tops` and `lefts` [n] are its upper left corner; it may extend beyond the border.
    """
    sides = torch.full_like(tops, side)
    return images.masked_fill(_rectangles(images, tops, lefts, sides, sides), GREY)


def _rectangles(images: Tensor, tops: Tensor, lefts: Tensor, heights: Tensor, widths: Tensor) -> Tensor:
    """Return which pixels of images [n, h, w, 3] lie in their image's rectangle: bool [n, h, w, 1]."""
    h, w = images.shape[1:3]
    down = torch.arange(h, device=images.device) - tops[:, None]
    across = torch.arange(w, device=images.device) - lefts[:, None]
    inside_down, inside_across = (down >= 0) & (down < heights[:, None]), (across >= 0) & (across < widths[:, None])
    return inside_down[:, :, None, None] & inside_across[:, None, :, None]


def mix(images: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """Blend images [n, h, w, 3] with as many others; `weights` [n] of 256 parts are the images' own."""
    own = weights[:, None, None, None]
    return ((images * own + others * (256 - own) + 128) >> 8).to(images.dtype)


def altered(images: Tensor, chosen: Tensor, alterations: Tensor, recipe: Recipe) -> Tensor:
    """Return the `chosen` [n] of images [m, h, w, 3], altered by what `alter` drew for each of the m."""

    def one(these: Tensor) -> Tensor:
        rows, columns, mirrored, tops, lefts = alterations[:5, these]
        x = shift_and_mirror(images, these, rows, columns, mirrored, recipe.crop)
        return cut_out(x, tops, lefts, recipe.cutout) if recipe.cutout else x

    if not recipe.mixed:
        return one(chosen)
    own, other, *rectangle = alterations[5:, chosen]
    these, others = one(chosen), one(other)
    if not recipe.cutmix:
        return mix(these, others, own)
    cut = rectangle[-1] > 0
    return torch.where(_rectangles(these, *rectangle), others, mix(these, others, own.masked_fill(cut, 256)))


def steps(images: int, cells: int, batch: int) -> int:
    """Return the number of batches in an epoch: as many full ones as there are, or else one smaller batch.

    Raises:
        DataError: there are too few images for one input.
    """
    if images < cells:
        raise DataError(f"{images} training images do not fill one collage of {cells} cells; use more images")
    return max(images // (cells * batch), 1)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's inputs and what they were made of, on the device of the images."""

    inputs: Tensor
    """[batch, height, width, 3], of the architecture's dtype."""
    labels: Tensor
    """int64 [batch, images per input]; IGNORED where an image is missing."""
    own: Tensor
    """float32 [batch, images per input]: the image's own share of what is shown; 1 unless two images are mixed."""
    others: Tensor
    """int64 [batch, images per input]: the label of the image that has the rest; IGNORED where an image is missing."""
    there: Tensor
    """bool [batch, images per input]: whether there is an image."""
    pixels: Tensor
    """uint8 [batch, images per input, h, w, 3]: each image as it enters the inputs."""
    images: Tensor
    """int64 [batch, images per input]: the indices of the images."""
    views: Tensor
    """int64 [batch, images per input]: the view of each image, as numbered by `Recipe.view`, or the recipe's round."""


def assemble(images: Tensor, architecture: Architecture | Preprocessing) -> Tensor:
    """Make inputs [n, height, width, 3] of images [n * images per input, h, w, 3]; missing images are black."""
    if architecture.grid:
        if architecture.canvas:
            groups = images.cpu().numpy().reshape(-1, architecture.images, *images.shape[1:])
            made = [mosaic(list(group), architecture.grid, architecture.canvas) for group in groups]
            return torch.from_numpy(np.stack(made)).to(images.device)
        return paste(images, architecture.grid)
    if not architecture.k:
        return images
    together = images.reshape(-1, architecture.k, *images.shape[1:])
    if architecture.code == "addition":
        return together.sum(1, dtype=torch.float32)
    return torch.from_numpy(concatenate_many(together.cpu().numpy())).to(images.device)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The random numbers of one epoch, on the device that holds the images."""

    chosen: Tensor
    """int64 [steps, 2, images per step]: for each step the indices of images, and whether they are present; see
    `order`."""
    alterations: Tensor
    """int64 [11, images]: see `alter`."""
    which: Tensor
    """int64 scalar: the number of the round, or of the epoch if the recipe has no rounds."""


def drawn(
    images: int, architecture: Architecture | Preprocessing, recipe: Recipe, epoch: int, device: torch.device
) -> Epoch:
    """Draw the random numbers of an epoch over `images` images."""
    together = architecture.images
    count = steps(images, together, recipe.batch)
    inputs = min(recipe.batch, images // together)
    chosen = order(images, count * inputs, architecture, recipe, epoch).reshape(2, count, -1).transpose(1, 0, 2)
    which = epoch % recipe.rounds if recipe.rounds else epoch
    return Epoch(
        torch.from_numpy(chosen.copy()).to(device),
        torch.from_numpy(alter(images, architecture.image, recipe, which)).to(device),
        torch.tensor(which, device=device),
    )


def batch_of(
    images: Tensor, labels: Tensor, architecture: Architecture | Preprocessing, recipe: Recipe, epoch: Epoch, of: Tensor
) -> Batch:
    """Make one batch of uint8 images [n, h, w, 3] with int64 labels [n]; `of` is one step of `Epoch.chosen`."""
    together = architecture.images
    chosen, there = of.unbind()
    shape = (-1, together)
    x = altered(images, chosen, epoch.alterations, recipe)
    if together > 1:
        x = x * there[:, None, None, None].to(x.dtype)
    rows, columns, mirrored, _, _, own, other = epoch.alterations[:7, chosen]
    views = epoch.which.expand(len(chosen)) if recipe.rounds else recipe.view(rows, columns, mirrored)
    return Batch(
        assemble(x, architecture),
        labels[chosen].masked_fill(there == 0, IGNORED).reshape(shape),
        (own / 256).reshape(shape),
        labels[other].masked_fill(there == 0, IGNORED).reshape(shape),
        (there == 1).reshape(shape),
        x.reshape(*shape, *x.shape[1:]),
        chosen.reshape(shape),
        views.reshape(shape),
    )


def order(
    images: int, inputs: int, architecture: Architecture | Preprocessing, recipe: Recipe, epoch: int
) -> NDArray[np.int64]:
    """Draw which images go into the inputs of an epoch: [2, inputs * images per input].

    The rows are the index of the image, and 1 if it is present or 0 for a blank. In a share `recipe.blanks` of the
    inputs, only the first few images are present, a uniformly drawn number, as in a group that was sent before it was
    full.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    together = architecture.images
    chosen = rng.permutation(images)[: inputs * together]
    short = rng.random(inputs) < (recipe.blanks if together > 1 else 0.0)
    filled = np.where(short, rng.integers(1, together + 1, size=inputs), together)
    there = (np.arange(together) < filled[:, None]).reshape(-1)
    return np.stack([chosen, there]).astype(np.int64)


def alter(images: int, size: tuple[int, int], recipe: Recipe, which: int) -> NDArray[np.int64]:
    """Draw how each of `images` images of `size`, (height, width), is altered in an epoch or round: [11, images].

    The rows are: its shift in rows and columns, for `shift_and_mirror`; 1 if it is mirrored; top and left of the
    cutout; its own share in a mix, in 256ths; the index of the other image; and top, left, height and width of the
    rectangle that shows the other image, in the proportions of the image. Height and width are 0 without a rectangle.
    An image is mirrored in every second epoch; the seed decides whether it begins in the first.
    """
    rng = np.random.default_rng([recipe.seed, which, 1])
    facing = np.random.default_rng(recipe.seed).random(images) < 0.5
    mirrored = (facing ^ (which % 2 == 1)) & recipe.flip
    rows, columns = rng.integers(2 * recipe.crop + 1, size=(2, images))
    tops, lefts = (rng.integers(side, size=images) - recipe.cutout // 2 for side in size)
    kind, blend, other = rng.random(images), rng.integers(256, size=images), rng.permutation(images)
    cut = (recipe.mix <= kind) & (kind < recipe.mixed)
    sides = np.array(size)[:, None]
    sizes = np.rint(sides * np.sqrt(rng.random(images))) * cut
    places = np.floor(rng.random((2, images)) * (sides - sizes + 1))
    own = np.where(kind < recipe.mix, blend, 256 - np.rint(256 * sizes.prod(0) / sides.prod()))
    return np.stack([rows, columns, mirrored, tops, lefts, own, other, *places, *sizes]).astype(np.int64)

"""Batches for training: random images, shifted and mirrored, put together into new random inputs at every step.

What an epoch does with each image is drawn at once, from a generator seeded by (seed, epoch), so that a training that
is resumed at an epoch goes on exactly as if it had never stopped. How images are altered is drawn apart from the order
that they come in, so that a teacher can be asked about them beforehand, once for the networks of all roles. The pixels
are moved on the device that holds the images: on a GPU, nothing but the numbers that were drawn travels. Which images
are mirrored alternates from epoch to epoch: two epochs show every image from both sides, where a coin for each would
leave half of them as they were. The paste equals `coding.mosaic.mosaic` at full size, many collages at a time; smaller
ones are made by that itself.
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
"""What stands for nothing seen: the value that networks scale to 0."""


def paste(images: Tensor, grid: int) -> Tensor:
    """Paste images [n * grid * grid, h, w, 3] into n mosaics [n, grid * h, grid * w, 3], cells row-major."""
    cells, h, w, channels = images.shape
    tiles = images.reshape(cells // grid**2, grid, grid, h, w, channels)
    return tiles.permute(0, 1, 3, 2, 4, 5).reshape(-1, grid * h, grid * w, channels)


def shift_and_mirror(
    images: Tensor, chosen: Tensor, rows: Tensor, columns: Tensor, mirrored: Tensor, crop: int
) -> Tensor:
    """Return the `chosen` [n] of images [m, h, w, 3], shifted, and then mirrored where `mirrored` [n] is not 0.

    `rows` and `columns` [n] are from 0 to 2 * `crop`; `crop` leaves an image where it is, less moves it down or right.
    What comes in at a border is the image's own mirror image.
    """
    h, w = images.shape[1:3]
    down = torch.arange(h, device=images.device) + (rows - crop)[:, None]
    across = torch.arange(w, device=images.device).expand(len(chosen), -1)
    across = torch.where(mirrored[:, None] > 0, w - 1 - across, across) + (columns - crop)[:, None]
    return images[chosen[:, None, None], _reflected(down, h)[:, :, None], _reflected(across, w)[:, None, :]]


def _reflected(places: Tensor, side: int) -> Tensor:
    """Fold places back at 0 and at side - 1."""
    places = places.abs()
    return torch.where(places < side, places, 2 * (side - 1) - places)


def cut_out(images: Tensor, tops: Tensor, lefts: Tensor, side: int) -> Tensor:
    """Hide a square of `side` pixels in each of the images [n, h, w, 3] behind grey (arXiv 1708.04552).

    `tops` and `lefts` [n] say where it begins; it may reach over the border.
    """
    sides = torch.full_like(tops, side)
    return images.masked_fill(_rectangles(images, tops, lefts, sides, sides), GREY)


def _rectangles(images: Tensor, tops: Tensor, lefts: Tensor, heights: Tensor, widths: Tensor) -> Tensor:
    """Return which pixels of images [n, h, w, 3] lie in a rectangle for each: bool [n, h, w, 1]."""
    h, w = images.shape[1:3]
    down = torch.arange(h, device=images.device) - tops[:, None]
    across = torch.arange(w, device=images.device) - lefts[:, None]
    inside_down, inside_across = (down >= 0) & (down < heights[:, None]), (across >= 0) & (across < widths[:, None])
    return inside_down[:, :, None, None] & inside_across[:, None, :, None]


def mix(images: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """Mix images [n, h, w, 3] with as many others: `weights` [n] of 256 parts are their own."""
    own = weights[:, None, None, None]
    return ((images * own + others * (256 - own) + 128) >> 8).to(images.dtype)


def altered(images: Tensor, chosen: Tensor, alterations: Tensor, recipe: Recipe) -> Tensor:
    """Return the `chosen` [n] of images [m, h, w, 3], altered as was drawn for each of the m: see `alter`."""

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
    """Return how many batches of `batch` inputs an epoch over `images` makes: full ones, or a single smaller one.

    Raises:
        DataError: there are too few images for one input.
    """
    if images < cells:
        raise DataError(f"{images} training images do not fill one collage of {cells} cells; use more images")
    return max(images // (cells * batch), 1)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's inputs and what they were made of, on the device that held the images."""

    inputs: Tensor
    """[batch, height, width, 3], of the architecture's dtype."""
    labels: Tensor
    """int64 [batch, images an input]; IGNORED where an image is missing."""
    own: Tensor
    """float32 [batch, images an input]: how much of what is shown is the image's own; 1 unless two are mixed."""
    others: Tensor
    """int64 [batch, images an input]: the label of the image that has the rest; IGNORED where an image is missing."""
    there: Tensor
    """bool [batch, images an input]: whether there is an image."""
    pixels: Tensor
    """uint8 [batch, images an input, h, w, 3]: each image as the inputs have it."""
    images: Tensor
    """int64 [batch, images an input]: which images."""
    views: Tensor
    """int64 [batch, images an input]: which of the recipe's views of them, as `Recipe.view` numbers them; or which of
    its rounds."""


def assemble(images: Tensor, architecture: Architecture | Preprocessing) -> Tensor:
    """Make inputs [n, height, width, 3] of images [n * images an input, h, w, 3], missing ones being black."""
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
    """What was drawn for one epoch, on the device that holds the images."""

    chosen: Tensor
    """int64 [steps, 2, images a step]: of each step, which images, and whether they are there; see `order`."""
    alterations: Tensor
    """int64 [11, images]: see `alter`."""
    which: Tensor
    """int64 scalar: the number of the round, or of the epoch."""


def drawn(
    images: int, architecture: Architecture | Preprocessing, recipe: Recipe, epoch: int, device: torch.device
) -> Epoch:
    """Draw what an epoch does with so many images.

    An image is mirrored in every second epoch, which ones first is the seed's.
    """
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
    """Make one batch of uint8 images [n, h, w, 3] with int64 labels [n]: `of` is a step's part of `Epoch.chosen`."""
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
    """Draw which images an epoch of so many inputs puts into them: [2, inputs * images an input].

    The rows are: which of the images; 1 if it is there, 0 for a blank. Of a share of the inputs, `recipe.blanks`, only
    a uniformly drawn number of first images is there, as in a group that went out before it was full.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    together = architecture.images
    chosen = rng.permutation(images)[: inputs * together]
    short = rng.random(inputs) < (recipe.blanks if together > 1 else 0.0)
    filled = np.where(short, rng.integers(1, together + 1, size=inputs), together)
    there = (np.arange(together) < filled[:, None]).reshape(-1)
    return np.stack([chosen, there]).astype(np.int64)


def alter(images: int, size: tuple[int, int], recipe: Recipe, which: int) -> NDArray[np.int64]:
    """Draw how each of so many images of `size`, (height, width), is altered in an epoch, or a round: [11, images].

    The rows are: its shift as `shift_and_mirror` takes it, rows and columns; 1 if it is mirrored; top and left of what
    is cut out; how many of 256 parts are its own in a mix; which other image has the rest; and, where that has a
    rectangle, its top, left, height and width, in the proportions of the image, else height and width are 0.
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

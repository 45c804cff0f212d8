"""Batches for training: random images, shifted and mirrored, put together into new random inputs at every step.

Everything is drawn from a generator seeded by (seed, epoch), so that a training that is resumed at an epoch goes on
exactly as if it had never stopped. Which images are mirrored alternates from epoch to epoch: two epochs show every
image from both sides, where a coin for each would leave half of them as they were. The paste equals
`coding.mosaic.mosaic` at full size, many collages at a time; smaller ones are made by that itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.mosaic import mosaic
from collagebench.errors import DataError
from collagebench.training.recipe import Recipe

if TYPE_CHECKING:
    from collagebench.models.architecture import Architecture

IGNORED = -100
"""The label of a blank cell, which `torch.nn.functional.cross_entropy` leaves out of the loss."""
GREY = np.uint8(128)
"""What stands for nothing seen: the value that networks scale to 0."""


def paste(images: NDArray[np.uint8], grid: int) -> NDArray[np.uint8]:
    """Paste images [n * grid * grid, h, w, 3] into n mosaics [n, grid * h, grid * w, 3], cells row-major."""
    cells, h, w, channels = images.shape
    tiles = images.reshape(cells // grid**2, grid, grid, h, w, channels)
    mosaics: NDArray[np.uint8] = tiles.transpose(0, 1, 3, 2, 4, 5).reshape(-1, grid * h, grid * w, channels)
    return mosaics


def shift_and_mirror(
    images: NDArray[np.uint8], crop: int, mirrored: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Shift each of the images [n, h, w, 3] by up to `crop` pixels and mirror those that `mirrored` [n] names."""
    n, h, w, _ = images.shape
    if crop:
        padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)), mode="reflect")
        rows = rng.integers(2 * crop + 1, size=(n, 1, 1)) + np.arange(h)[:, None]
        columns = rng.integers(2 * crop + 1, size=(n, 1, 1)) + np.arange(w)
        images = padded[np.arange(n)[:, None, None], rows, columns]
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def cut_out(images: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hide a square of `side` pixels in each of the images [n, h, w, 3] behind grey.

    Its centre is anywhere in the image, so that less of it is hidden near the border (arXiv 1708.04552).
    """
    n, h, w, _ = images.shape
    tops = rng.integers(h, size=(n, 1)) - side // 2
    lefts = rng.integers(w, size=(n, 1)) - side // 2
    rows = (np.arange(h) >= tops) & (np.arange(h) < tops + side)
    columns = (np.arange(w) >= lefts) & (np.arange(w) < lefts + side)
    return np.where((rows[:, :, None] & columns[:, None])[..., None], GREY, images)


def blank_cells(
    images: NDArray[np.uint8], labels: NDArray[np.int64], cells: int, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Blacken the last cells of a `share` of the collages, as a group that went out before it was full has them.

    Each such collage keeps a uniformly drawn number of 1 to `cells` first images; the labels of the others are IGNORED.
    """
    collages = len(images) // cells
    filled = np.where(rng.random(collages) < share, rng.integers(1, cells + 1, size=collages), cells)
    blank = (np.arange(cells) >= filled[:, None]).reshape(-1)
    return np.where(blank[:, None, None, None], np.uint8(0), images), np.where(blank, IGNORED, labels)


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
    """One step's inputs and what they were made of."""

    inputs: NDArray[Any]
    """[batch, height, width, 3], of the architecture's dtype."""
    labels: NDArray[np.int64]
    """[batch, images an input]; IGNORED where an image is missing."""
    images: NDArray[np.int64]
    """Which images: [batch, images an input]."""
    mirrored: NDArray[np.int64]
    """1 where an image was mirrored, else 0: [batch, images an input]."""


def assemble(images: NDArray[np.uint8], architecture: Architecture) -> NDArray[Any]:
    """Make inputs [n, height, width, 3] of images [n * images an input, h, w, 3], missing ones being black."""
    if architecture.grid:
        if architecture.canvas:
            groups = images.reshape(-1, architecture.images, *images.shape[1:])
            return np.stack([mosaic(list(group), architecture.grid, architecture.canvas) for group in groups])
        return paste(images, architecture.grid)
    if not architecture.k:
        return images
    groups = images.reshape(-1, architecture.k, *images.shape[1:])
    if architecture.code == "addition":
        sums: NDArray[np.float32] = groups.sum(axis=1, dtype=np.float32)
        return sums
    from collagebench.coding.parity import concatenate_many

    return concatenate_many(groups)


def batches(
    images: NDArray[np.uint8], labels: NDArray[np.int64], architecture: Architecture, recipe: Recipe, epoch: int
) -> Iterator[Batch]:
    """Yield the batches of one epoch; an image is mirrored in every second epoch, which ones first is the seed's."""
    rng = np.random.default_rng([recipe.seed, epoch])
    facing = np.random.default_rng(recipe.seed).random(len(images)) < 0.5
    together = architecture.images
    count = steps(len(images), together, recipe.batch)
    inputs = min(recipe.batch, len(images) // together)
    for chosen in rng.permutation(len(images))[: count * inputs * together].reshape(count, inputs * together):
        mirrored = (facing[chosen] ^ (epoch % 2 == 1)) & recipe.flip
        x, y = shift_and_mirror(images[chosen], recipe.crop, mirrored, rng), labels[chosen]
        if recipe.cutout:
            x = cut_out(x, recipe.cutout, rng)
        if together > 1:
            x, y = blank_cells(x, y, together, recipe.blanks, rng)
        shape = (inputs, together)
        yield Batch(
            np.ascontiguousarray(assemble(x, architecture)),
            y.reshape(shape),
            chosen.reshape(shape),
            mirrored.astype(np.int64).reshape(shape),
        )

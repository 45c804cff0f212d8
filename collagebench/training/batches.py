"""Batches for training: random images, shifted and mirrored, pasted into new random collages at every step.

Everything is drawn from a generator seeded by (seed, epoch), so that a training that is resumed at an epoch goes on
exactly as if it had never stopped. The paste equals `coding.mosaic.mosaic` at full size, many collages at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError
from collagebench.training.recipe import Recipe

IGNORED = -100
"""The label of a blank cell, which `torch.nn.functional.cross_entropy` leaves out of the loss."""


def paste(images: NDArray[np.uint8], grid: int) -> NDArray[np.uint8]:
    """Paste images [n * grid * grid, h, w, 3] into n mosaics [n, grid * h, grid * w, 3], cells row-major."""
    cells, h, w, channels = images.shape
    tiles = images.reshape(cells // grid**2, grid, grid, h, w, channels)
    mosaics: NDArray[np.uint8] = tiles.transpose(0, 1, 3, 2, 4, 5).reshape(-1, grid * h, grid * w, channels)
    return mosaics


def shift_and_mirror(images: NDArray[np.uint8], crop: int, flip: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shift each of the images [n, h, w, 3] by up to `crop` pixels and mirror half of them, if asked."""
    n, h, w, _ = images.shape
    if crop:
        padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)), mode="reflect")
        rows = rng.integers(2 * crop + 1, size=(n, 1, 1)) + np.arange(h)[:, None]
        columns = rng.integers(2 * crop + 1, size=(n, 1, 1)) + np.arange(w)
        images = padded[np.arange(n)[:, None, None], rows, columns]
    if flip:
        mirrored = rng.random((n, 1, 1, 1)) < 0.5
        images = np.where(mirrored, images[:, :, ::-1], images)
    return images


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


def batches(
    images: NDArray[np.uint8], labels: NDArray[np.int64], grid: int | None, recipe: Recipe, epoch: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Yield the inputs [batch, height, width, 3] and labels [batch, cells] of one epoch."""
    rng = np.random.default_rng([recipe.seed, epoch])
    cells = grid**2 if grid else 1
    count = steps(len(images), cells, recipe.batch)
    inputs = min(recipe.batch, len(images) // cells)
    for chosen in rng.permutation(len(images))[: count * inputs * cells].reshape(count, inputs * cells):
        x, y = shift_and_mirror(images[chosen], recipe.crop, recipe.flip, rng), labels[chosen]
        if grid:
            x, y = blank_cells(x, y, cells, recipe.blanks, rng)
            x = paste(x, grid)
        yield np.ascontiguousarray(x), y.reshape(inputs, cells)

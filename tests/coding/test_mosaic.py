"""The mosaic equals pasting and then resampling, within rounding, at any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from collagebench.coding.mosaic import mosaic
from collagebench.errors import DataError

relaxed = settings(deadline=None, max_examples=60)
sides = st.integers(1, 40)
grids = st.integers(1, 6)


def pictures(n: int, height: int, width: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return images of noise, whose resampling differs most between implementations."""
    generator = np.random.default_rng(seed)
    return list(generator.integers(0, 256, (n, height, width, 3), dtype=np.uint8))


def paste(images: list[NDArray[np.uint8] | None], grid: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return the collage at full size, made by pasting."""
    whole = np.zeros((grid * height, grid * width, 3), np.uint8)
    for k, image in enumerate(images):
        if image is not None:
            y, x = k // grid * height, k % grid * width
            whole[y : y + height, x : x + width] = image
    return whole


def exact_filter(inputs: int, outputs: int) -> NDArray[np.float64]:
    """Return the whole matrix of the triangle filter, one weight at a time."""
    ratio = inputs / outputs
    matrix = np.zeros((outputs, inputs))
    for i in range(outputs):
        for j in range(inputs):
            matrix[i, j] = max(0.0, 1 - abs((j + 0.5) - (i + 0.5) * ratio) / max(ratio, 1))
        matrix[i] /= matrix[i].sum()
    return matrix


@relaxed
@given(grids, sides, sides, st.integers(1, 60), st.integers(1, 60), st.randoms(use_true_random=False))
def test_pillow(grid: int, height: int, width: int, rows: int, columns: int, random: object) -> None:
    """Any grid of images of any size, some blank, equals Pillow's antialiased resize of the paste within 1 level."""
    images: list[NDArray[np.uint8] | None] = list(pictures(grid * grid, height, width))
    images = [image if random.random() < 0.8 else None for image in images]  # type: ignore[attr-defined]
    whole = Image.fromarray(paste(images, grid, height, width))
    theirs = np.asarray(whole.resize((columns, rows), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(mosaic(images, grid, (rows, columns)) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("grid", "height", "width", "size"),
    [
        (3, 224, 224, (416, 416)),
        (3, 32, 32, (64, 64)),
        (2, 150, 211, (97, 301)),
        (4, 48, 64, (480, 640)),
        (1, 700, 9, (3, 30)),
    ],
)
def test_exact(grid: int, height: int, width: int, size: tuple[int, int]) -> None:
    """Each value is the nearest integer to the exact one, computed in float64 with the whole filters."""
    images = pictures(grid * grid, height, width)
    down, across = exact_filter(grid * height, size[0]), exact_filter(grid * width, size[1])
    exact = np.einsum("ij,jkc,lk->ilc", down, paste([*images], grid, height, width), across, optimize=True)
    assert np.abs(mosaic(images, grid, size) - exact).max() <= 0.5 + 1e-3


@pytest.mark.train
def test_torchvision() -> None:
    """Nine 224x224 images at 416x416 equal torchvision's antialiased resize of the paste within 1 level."""
    torch = pytest.importorskip("torch", reason="needs the train extra")
    transforms = pytest.importorskip("torchvision.transforms.v2.functional", reason="needs the train extra")
    images = pictures(9, 224, 224)
    whole = torch.from_numpy(paste([*images], 3, 224, 224)).permute(2, 0, 1).float()
    theirs = transforms.resize(whole, [416, 416], antialias=True).permute(1, 2, 0).round().numpy().astype(int)
    assert np.abs(mosaic(images, 3, (416, 416)) - theirs).max() <= 1


@relaxed
@given(grids, sides, sides, st.integers(1, 60), st.integers(1, 60), st.integers(0, 255))
def test_constant(grid: int, height: int, width: int, rows: int, columns: int, level: int) -> None:
    """A full grid of one grey is that grey everywhere, also at the border."""
    images = [np.full((height, width, 3), level, np.uint8)] * (grid * grid)
    assert (mosaic(images, grid, (rows, columns)) == level).all()


@relaxed
@given(grids, sides, sides, st.data())
def test_permuted(grid: int, height: int, width: int, data: st.DataObject) -> None:
    """At full size the collage is a paste: cell k, in row-major order, is image k bit for bit."""
    images = pictures(grid * grid, height, width)
    order = data.draw(st.permutations(range(grid * grid)))
    whole = mosaic([images[i] for i in order], grid, (grid * height, grid * width))
    cells = whole.reshape(grid, height, grid, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)
    assert all((cell == images[i]).all() for cell, i in zip(cells, order, strict=True))


@relaxed
@given(grids, st.integers(0, 36), st.booleans())
def test_missing(grid: int, kept: int, scaled: bool) -> None:
    """Images missing at the end are blank cells, like None."""
    size = (grid * 10, grid * 12) if scaled else (grid * 16, grid * 16)
    images: list[NDArray[np.uint8] | None] = [*pictures(grid * grid, 16, 16)[:kept]]
    padded = images + [None] * (grid * grid - len(images))
    ours = mosaic(images, grid, size)
    assert (ours == mosaic(padded, grid, size)).all()
    if not scaled:
        assert (ours == paste(padded, grid, 16, 16)).all()


def test_blank_cell() -> None:
    """Scaled down, a blank cell is zero except at its border, where the filter mixes in its neighbours."""
    white = np.full((224, 224, 3), 255, np.uint8)
    collage = mosaic([white] * 4 + [None] + [white] * 4, 3, (416, 416))
    lo, hi = 416 / 3, 416 * 2 / 3
    # A filter reaches one output pixel to either side of its centre.
    inside = slice(int(lo) + 2, int(hi) - 1)
    assert (collage[inside, inside] == 0).all()
    assert (collage[: int(lo) - 1] == 255).all()
    border = collage[208, int(lo) - 1 : int(lo) + 2, 0]
    assert ((border > 0) & (border < 255)).any()


def test_empty() -> None:
    """A collage of nothing is black at any size."""
    assert not mosaic([], 3, (7, 5)).any()
    assert mosaic([None], 1, (7, 5)).shape == (7, 5, 3)


def test_views() -> None:
    """Images may be strided views into larger arrays."""
    images = [image[::2, ::-1] for image in pictures(9, 64, 32)]
    for size in ((64, 64), (96, 96)):
        assert (mosaic(images, 3, size) == mosaic([image.copy() for image in images], 3, size)).all()


def test_images_are_left_alone() -> None:
    """The images may be read-only and are not changed."""
    images = pictures(4, 20, 20)
    before = [image.copy() for image in images]
    for image in images:
        image.flags.writeable = False
    mosaic(images, 2, (30, 30))
    assert all((image == old).all() for image, old in zip(images, before, strict=True))


@pytest.mark.parametrize(
    ("images", "grid", "size", "words"),
    [
        (pictures(5, 4, 4), 2, (8, 8), "2x2 collage holds 4 images, not 5"),
        (pictures(1, 4, 4) + pictures(1, 4, 5), 2, (8, 8), "the same size; image 1"),
        ([np.zeros((4, 4, 3), np.float32)], 2, (8, 8), "image 0 of a collage is float32"),
        ([None, np.zeros((4, 4), np.uint8)], 2, (8, 8), "image 1 of a collage"),
        ([np.zeros((4, 4, 4), np.uint8)], 2, (8, 8), "image 0 of a collage"),
        ([np.zeros((0, 4, 3), np.uint8)], 2, (8, 8), "image 0 of a collage"),
        (pictures(1, 4, 4), 0, (8, 8), "at least 1"),
        (pictures(1, 4, 4), 1, (0, 8), "at least 1"),
    ],
)
def test_misfits(images: list[NDArray[np.uint8] | None], grid: int, size: tuple[int, int], words: str) -> None:
    """Images that do not fit each other or the grid raise a DataError that says which and why."""
    with pytest.raises(DataError, match=words):
        mosaic(images, grid, size)

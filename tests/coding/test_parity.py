"""A parity combines a group's images, and a lost output is the parity's output less those of the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from collagebench.coding.mosaic import mosaic
from collagebench.coding.parity import add, concatenate, concatenate_many, recover
from collagebench.errors import DataError

relaxed = settings(deadline=None, max_examples=60)
sides = st.integers(1, 40)


def pictures(n: int, height: int, width: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return images of noise."""
    return list(np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


@relaxed
@given(st.integers(2, 8), st.data())
def test_a_linear_model_is_restored(k: int, data: st.DataObject) -> None:
    """With a linear model, a lost output is recovered to within 1e-5, from full and from partial groups."""
    present = data.draw(st.integers(1, k))
    lost = data.draw(st.integers(0, present - 1))
    images = pictures(present, 8, 6, seed=data.draw(st.integers(0, 1000)))
    weights = np.random.default_rng(1).normal(size=(10, 8 * 6 * 3)) / 255 / 12

    def model(image: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        return (weights @ image.reshape(-1)).astype(np.float32)

    outputs = np.stack([model(image) for image in images])
    recovered = recover(model(add(images)), np.delete(outputs, lost, axis=0))
    assert recovered.dtype == np.float32
    assert np.abs(recovered - outputs[lost]).max() < 1e-5


def test_addition_is_exact() -> None:
    """The sum of eight white images is 2040 everywhere, and that of random ones equals the sum of integers."""
    assert (add([np.full((4, 4, 3), 255, np.uint8)] * 8) == 2040).all()
    images = pictures(7, 5, 9)
    parity = add(images)
    assert parity.dtype == np.float32
    assert (parity == np.sum(images, axis=0, dtype=int)).all()


@relaxed
@given(sides, sides, st.integers(1, 4))
def test_quadrants_are_a_mosaic(height: int, width: int, present: int) -> None:
    """Four concatenated images equal their 2x2 collage at the size of an image, pixel for pixel."""
    images = pictures(present, height, width)
    assert (concatenate(images, 4) == mosaic([*images], 2, (height, width))).all()


@relaxed
@given(sides, sides)
def test_halves_are_pillows(height: int, width: int) -> None:
    """Two concatenated images equal Pillow's antialiased resize of the two side by side, within 1 level."""
    images = pictures(2, height, width)
    theirs = Image.fromarray(np.hstack(images)).resize((width, height), Image.Resampling.BILINEAR)
    assert np.abs(concatenate(images, 2) - np.asarray(theirs).astype(int)).max() <= 1


def test_where_the_images_stand() -> None:
    """Halves are left and right, quadrants in row-major order, up to the column at a border; a missing one is black."""
    greys = [np.full((32, 32, 3), level, np.uint8) for level in (40, 80, 120, 160)]
    halves = concatenate(greys[:2], 2)
    assert (halves[:, :15] == 40).all()
    assert (halves[:, 17:] == 80).all()
    quadrants = concatenate(greys[:3], 4)
    assert [int(quadrants[y, x, 0]) for y in (0, 31) for x in (0, 31)] == [40, 80, 120, 0]


@relaxed
@given(st.sampled_from([2, 4]), sides, sides, st.integers(0, 5), st.integers(0, 1000))
def test_many_are_each_like_one(k: int, height: int, width: int, n: int, seed: int) -> None:
    """Groups made at once equal those made one by one, pixel for pixel; a black image equals a missing one."""
    groups = np.array(pictures(n * k, height, width, seed), np.uint8).reshape(n, k, height, width, 3)
    groups[: n // 2, -1] = 0
    parities = concatenate_many(groups)
    assert parities.shape == (n, height, width, 3)
    for i, (group, parity) in enumerate(zip(groups, parities, strict=True)):
        images = list(group)[: k - 1 if i < n // 2 else k]
        assert (concatenate(images, k) == parity).all()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_only_halves_and_quadrants(k: int) -> None:
    """Concatenating other numbers of images than 2 and 4 raises a DataError that proposes addition."""
    with pytest.raises(DataError, match="use addition"):
        concatenate(pictures(k, 4, 4), k)
    with pytest.raises(DataError, match="use addition"):
        concatenate_many(np.zeros((2, k, 4, 4, 3), np.uint8))


def test_misfits() -> None:
    """Images and outputs that do not fit each other raise a DataError that says which and why."""
    with pytest.raises(DataError, match="at least one image"):
        add([])
    with pytest.raises(DataError, match="at least one image"):
        concatenate([], 2)
    with pytest.raises(DataError, match="image 1 of a parity"):
        add([*pictures(1, 4, 4), *pictures(1, 4, 5)])
    with pytest.raises(DataError, match="image 0 of a parity is float32"):
        add([np.zeros((4, 4, 3), np.float32)])  # type: ignore[list-item]
    with pytest.raises(DataError, match="holds 2 images, not 3"):
        concatenate(pictures(3, 4, 4), 2)
    with pytest.raises(DataError, match="groups of images"):
        concatenate_many(np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="the parity model's is"):
        recover(np.zeros(10, np.float32), np.zeros((3, 9), np.float32))

"""The generated images: each is a function of split and number, and none is in both splits."""

from __future__ import annotations

import numpy as np
import pytest

from collagebench.errors import DataError
from collagebench.workload.shapes import SIZE, Shapes

MEANS = [123.392, 143.646, 148.538, 115.167]


def test_an_image_is_a_function_of_its_split_and_number() -> None:
    """An image is the same alone, in a batch, in another order, and twice in one batch."""
    shapes = Shapes("test")
    batch = shapes.load(np.arange(200))
    order = np.random.default_rng(1).permutation(200)
    assert np.array_equal(shapes.load(order), batch[order])
    assert np.array_equal(Shapes("test").load(np.array([17, 17])), batch[[17, 17]])


def test_images_are_rgb_bytes_of_one_size() -> None:
    """Images are uint8 [k, 32, 32, 3], also for k = 0."""
    shapes = Shapes()
    assert shapes.load(np.arange(3)).shape == (3, *SIZE)
    assert shapes.load(np.arange(3)).dtype == np.uint8
    assert shapes.load(np.arange(0)).shape == (0, *SIZE)


def test_splits_share_no_image() -> None:
    """No image occurs in both splits, or twice in one."""
    images = np.concatenate([Shapes(split).load(np.arange(2000)) for split in ("train", "test")])
    assert len({image.tobytes() for image in images}) == 4000


def test_classes_are_equally_frequent() -> None:
    """Each of the ten classes has 9 to 11 % of the test images, in mixed order."""
    labels = Shapes("test").labels
    shares = np.bincount(labels, minlength=10) / len(labels)
    assert shares.min() > 0.09
    assert shares.max() < 0.11
    assert len(set(labels[:20].tolist())) > 5


def test_the_generator_draws_what_the_shipped_models_were_trained_on() -> None:
    """The first test images have the mean brightness that they had when the bundled models were trained."""
    means = Shapes("test").load(np.arange(4)).mean(axis=(1, 2, 3))
    assert means == pytest.approx(MEANS, abs=0.1)


def test_no_image_is_blank() -> None:
    """Every image has bright pixels, so that none can be taken for a blank cell."""
    images = Shapes("test").load(np.arange(1000))
    assert (images.reshape(1000, -1).max(axis=1) > 50).all()


@pytest.mark.parametrize("index", [-1, 10_000])
def test_a_number_outside_the_split_is_refused(index: int) -> None:
    """A number outside the split is an error that gives the valid range."""
    with pytest.raises(DataError, match="0 to 9999"):
        Shapes("test").load(np.array([index]))

"""Berrut's code: what it restores exactly, what it only estimates, and that its weights stay finite and small."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collagebench.coding.berrut import decode, decoder, encode, encoder, interpolation
from collagebench.coding.linear import image_nodes, share_nodes
from collagebench.errors import DataError

relaxed = settings(deadline=None, max_examples=80)
counts = st.integers(1, 12)
ends = st.sampled_from([1, 2])


def subsets(shares: int, seed: int, draws: int = 6) -> list[tuple[int, ...]]:
    """Return the set of all shares, each share alone, and some random sets."""
    generator = np.random.default_rng(seed)
    drawn = [np.flatnonzero(generator.random(shares) < 0.7) for _ in range(draws)]
    return [tuple(range(shares)), *((i,) for i in range(shares)), *(tuple(map(int, d)) for d in drawn if d.size)]


def written_out(nodes: list[float], z: float) -> list[float]:
    """Return the weights of Berrut's formula at a z that is not a node, one term at a time."""
    terms = [(-1) ** i / (z - x) for i, x in enumerate(nodes)]
    return [term / sum(terms) for term in terms]


def test_decoder_gain() -> None:
    """At k = 8, n = 9 and 300 random losses, the weights' absolute sum is at most 3.73; with fixed signs 22.6."""
    at, places = image_nodes(8), share_nodes(9, 2)
    generator = np.random.default_rng(0)
    gains, old_gains = [], []
    for _ in range(300):
        present = np.sort(generator.permutation(9)[:8])
        gains.append(np.abs(decoder(8, 9, tuple(map(int, present)), 2)).sum(axis=1).max())
        terms = (-1.0) ** present / (at[:, None] - places[present])
        old_gains.append(np.abs(terms / terms.sum(axis=1, keepdims=True)).sum(axis=1).max())
    assert max(gains) == pytest.approx(3.727, abs=1e-3)
    assert max(old_gains) == pytest.approx(22.607, abs=1e-3)


@relaxed
@given(counts, counts, ends, st.integers(0, 1000))
def test_the_formula(images: int, shares: int, ends: int, seed: int) -> None:
    """Away from the nodes the weights are those of the formula, with signs alternating over the shares present."""
    places, at = share_nodes(shares, ends), image_nodes(images)
    for present in subsets(shares, seed):
        nodes = places[list(present)]
        for row, z in zip(decoder(images, shares, present, ends), at, strict=True):
            if np.abs(nodes - z).min() > 1e-9:
                np.testing.assert_allclose(row, written_out(list(nodes), z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("images", "losses"), [(2, 3), (3, 2), (5, 2), (6, 3), (7, 2), (9, 2)])
def test_where_nodes_meet_values_are_copied(images: int, losses: int) -> None:
    """If an image and a share have the same node, the share is the image bit for bit, and its output the answer."""
    shares = images + losses
    pictures = np.random.default_rng(0).integers(0, 256, (images, 4, 4, 3), dtype=np.uint8)
    coded = encode(list(pictures), shares, 2)
    met = [
        (image, share)
        for image, a in enumerate(image_nodes(images))
        for share, b in enumerate(share_nodes(shares, 2))
        if abs(a - b) < 1e-9
    ]
    assert met
    outputs = np.random.default_rng(1).normal(size=(shares, 10)).astype(np.float32)
    for image, share in met:
        assert (coded[share] == pictures[image]).all()
        present = [share, *(s for s in range(shares) if s != share)][:images]
        assert (decode({s: outputs[s] for s in present}, images, shares, 2)[image] == outputs[share]).all()


@pytest.mark.parametrize("end", [1, 2])
def test_every_small_code_is_finite(end: int) -> None:
    """For codes of up to 12 images and 12 losses, the weights are finite and add up to 1, whatever is lost."""
    for images in range(1, 13):
        for losses in range(13):
            shares = images + losses
            matrices = [encoder(images, shares, end)]
            matrices += [decoder(images, shares, present, end) for present in subsets(shares, shares, draws=3)]
            for matrix in matrices:
                assert np.isfinite(matrix).all()
                np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=2e-5)


@pytest.mark.parametrize(("images", "shares"), [(4, 6), (8, 9), (5, 7)])
def test_gain_over_all_losses(images: int, shares: int) -> None:
    """Whichever outputs are lost, up to the code's number, the weights' absolute sum is from 1 to below 8."""
    for end in (1, 2):
        gains = [np.abs(decoder(images, shares, p, end)).sum(axis=1) for p in combinations(range(shares), images)]
        assert np.min(gains) >= 1 - 1e-5
        assert np.max(gains) < 8


@relaxed
@given(counts, counts, ends, st.integers(0, 255), st.integers(0, 1000))
def test_equal_images_are_restored(images: int, shares: int, ends: int, level: int, seed: int) -> None:
    """Equal images have shares equal to them, and equal outputs are every image's answer, whatever is lost."""
    coded = encode([np.full((3, 5, 3), level, np.uint8)] * images, shares, ends)
    assert coded.shape == (shares, 3, 5, 3)
    assert coded.dtype == np.float32
    np.testing.assert_allclose(coded, level, atol=1e-2)
    output = np.linspace(-3, 3, 10, dtype=np.float32)
    for present in subsets(shares, seed):
        answers = decode(dict.fromkeys(present, output), images, shares, ends)
        np.testing.assert_allclose(answers, np.tile(output, (images, 1)), atol=1e-3)


def test_one_image() -> None:
    """Every share of a single image is that image."""
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    for end in (1, 2):
        assert np.abs(encode([image], 5, end) - image).max() < 1e-3
        assert (encode([image], 1, end)[0] == image).all()


@relaxed
@given(st.integers(2, 8), st.integers(1, 4), ends, st.integers(0, 1000))
def test_scaling_pixels_makes_no_difference(images: int, losses: int, ends: int, seed: int) -> None:
    """Scaling and shifting images before they are coded gives the scaled and shifted shares."""
    pictures = np.random.default_rng(seed).integers(0, 256, (images, 3, 4, 3)).astype(np.float32)
    scaled = encode(list((pictures - 120) / 60), images + losses, ends)
    np.testing.assert_allclose(scaled, (encode(list(pictures), images + losses, ends) - 120) / 60, atol=1e-3)


@relaxed
@given(st.integers(2, 8), st.integers(0, 4), ends, st.randoms(use_true_random=False))
def test_the_order_of_replies_is_nothing(images: int, losses: int, ends: int, random: object) -> None:
    """The answers do not depend on the order in which the outputs returned."""
    shares = images + losses
    outputs = np.random.default_rng(0).normal(size=(shares, 10)).astype(np.float32)
    present = sorted(random.sample(range(shares), images))  # type: ignore[attr-defined]
    shuffled = random.sample(present, images)  # type: ignore[attr-defined]
    a = decode({s: outputs[s] for s in present}, images, shares, ends)
    assert (a == decode({s: outputs[s] for s in shuffled}, images, shares, ends)).all()


@relaxed
@given(counts, st.integers(2, 15), st.data())
def test_turned_round(images: int, shares: int, data: st.DataObject) -> None:
    """With shares at both ends, reversing the order of images and shares reverses the weights."""
    np.testing.assert_allclose(encoder(images, shares, 2), encoder(images, shares, 2)[::-1, ::-1], atol=1e-5)
    present = tuple(sorted(data.draw(st.sets(st.integers(0, shares - 1), min_size=1))))
    mirrored = tuple(shares - 1 - share for share in reversed(present))
    turned = decoder(images, shares, mirrored, 2)[::-1, ::-1]
    np.testing.assert_allclose(decoder(images, shares, present, 2), turned, rtol=1e-4, atol=1e-5)


def restored(images: int, shares: int, end: int, present: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the share of each image's output in each answer [image, image] of a linear model; ideally the identity."""
    return decoder(images, shares, present, end) @ encoder(images, shares, end)[list(present)]


@pytest.mark.parametrize("end", [1, 2])
@pytest.mark.parametrize("shares", range(2, 8))
def test_linear_models_of_two_images(shares: int, end: int) -> None:
    """Of two images, any two outputs restore a linear model's outputs, up to rounding."""
    for present in combinations(range(shares), 2):
        np.testing.assert_allclose(restored(2, shares, end, present), np.eye(2), atol=1e-4)


@pytest.mark.parametrize(("images", "off"), [(3, 0.020), (4, 0.042), (6, 0.173), (8, 0.235), (12, 0.253)])
def test_linear_models_with_nothing_lost(images: int, off: float) -> None:
    """For three images and more, a linear model's outputs are estimates, even if no share is lost."""
    whole = restored(images, images, 2, tuple(range(images)))
    assert np.abs(whole - np.eye(images)).max() == pytest.approx(off, abs=2e-3)


def test_smooth_functions_converge() -> None:
    """Twice as many nodes halve the error: the interpolant converges to a smooth function as 1 / n."""
    z = np.linspace(-0.99, 0.98, 50)
    errors = []
    for n in (9, 17, 33, 65):
        nodes = share_nodes(n, 2)
        errors.append(np.abs(interpolation(nodes, z) @ np.exp(nodes) - np.exp(z)).max())
    assert errors[0] < 0.17
    np.testing.assert_allclose(np.divide(errors[1:], errors[:-1]), 0.5, atol=0.02)


def test_misfits() -> None:
    """Arguments that cannot be encoded or decoded raise a DataError that says why."""
    image = np.zeros((4, 4, 3), np.uint8)
    output = np.zeros(10, np.float32)
    with pytest.raises(DataError, match="at least 1 image"):
        encode([], 2)
    with pytest.raises(DataError, match="at least 1 image and 1 coded"):
        encode([image], 0)
    with pytest.raises(DataError, match="the same size; image 1"):
        encode([image, image[:2]], 3)
    with pytest.raises(DataError, match="1 or 2 ends"):
        encode([image], 2, 3)
    with pytest.raises(DataError, match="nothing to decode"):
        decode({}, 2, 3)
    with pytest.raises(DataError, match="no coded image 3"):
        decode({0: output, 3: output}, 2, 3)
    with pytest.raises(DataError, match="no coded image -1"):
        decode({-1: output, 2: output}, 2, 3)

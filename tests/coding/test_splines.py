"""The smoothing spline satisfies its definition, and codes images as Berrut's function does."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collagebench.coding.linear import image_nodes, share_nodes
from collagebench.coding.splines import decode, decoder, encode, encoder, smoother
from collagebench.errors import DataError

relaxed = settings(deadline=None, max_examples=80)
seeds = st.integers(0, 10_000)
lams = st.one_of(st.just(0.0), st.floats(-8, 4).map(lambda e: 10.0**e))


def some_nodes(n: int, seed: int) -> NDArray[np.float64]:
    """Return n nodes from -1 to 1 in random order, no two of them too close."""
    generator = np.random.default_rng(seed)
    steps = generator.uniform(0.2, 1, n)
    nodes = np.cumsum(steps) / steps.sum() * 2 - 1
    return generator.permutation(nodes)


def exact(nodes: list[Fraction], values: list[Fraction], lam: Fraction) -> list[Fraction]:
    """Return the spline's values at its ordered nodes, in fractions, so without rounding for any lam."""
    n, m = len(nodes), len(nodes) - 2
    h = [b - a for a, b in itertools.pairwise(nodes)]
    q = [[Fraction(0)] * m for _ in range(n)]
    r = [[Fraction(0)] * m for _ in range(m)]
    for j in range(m):
        q[j][j], q[j + 1][j], q[j + 2][j] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
        r[j][j] = (h[j] + h[j + 1]) / 3
        if j + 1 < m:
            r[j][j + 1] = r[j + 1][j] = h[j + 1] / 6
    rows = [
        [r[i][j] + lam * sum(q[k][i] * q[k][j] for k in range(n)) for j in range(m)]
        + [sum((q[k][i] * values[k] for k in range(n)), Fraction(0))]
        for i in range(m)
    ]
    for i in range(m):
        rows[i] = [a / rows[i][i] for a in rows[i]]
        for j in range(m):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [values[k] - lam * sum(q[k][j] * rows[j][m] for j in range(m)) for k in range(n)]


@relaxed
@given(st.integers(5, 20), seeds, st.floats(-8, 0).map(lambda e: 10.0**e))
def test_scipy(n: int, seed: int, lam: float) -> None:
    """Between its end nodes the spline equals SciPy's of the same lam, to within 1e-9."""
    interpolate = pytest.importorskip("scipy.interpolate", reason="needs SciPy")
    nodes = np.sort(some_nodes(n, seed))
    values = np.random.default_rng(seed).normal(size=n)
    at = np.concatenate([nodes, np.linspace(nodes[0], nodes[-1], 40)])
    theirs = interpolate.make_smoothing_spline(nodes, values, lam=lam)(at)
    np.testing.assert_allclose(smoother(nodes, at, lam) @ values, theirs, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(st.integers(3, 8), seeds, lams)
def test_exact_arithmetic(n: int, seed: int, lam: float) -> None:
    """At its nodes the spline equals that of exact arithmetic, to within 1e-10, also if lam is large."""
    nodes = np.sort(some_nodes(n, seed))
    values = np.random.default_rng(seed).normal(size=n)
    wanted = exact([Fraction(x) for x in nodes], [Fraction(y) for y in values], Fraction(lam))
    np.testing.assert_allclose(smoother(nodes, nodes, lam) @ values, [float(v) for v in wanted], rtol=0, atol=1e-10)


@relaxed
@given(st.integers(1, 20), seeds)
def test_no_smoothing_interpolates(n: int, seed: int) -> None:
    """With lam = 0 the spline runs through every value."""
    nodes = some_nodes(n, seed)
    np.testing.assert_allclose(smoother(nodes, nodes, 0), np.eye(n), rtol=0, atol=1e-12)


@relaxed
@given(st.integers(2, 20), seeds)
def test_much_smoothing_is_the_line_of_least_squares(n: int, seed: int) -> None:
    """With a large lam the spline is the least-squares straight line everywhere."""
    nodes, at = some_nodes(n, seed), np.linspace(-2, 2, 30)
    values = np.random.default_rng(seed).normal(size=n)
    line = np.polynomial.Polynomial.fit(nodes, values, 1)(at)
    np.testing.assert_allclose(smoother(nodes, at, 1e10) @ values, line, rtol=0, atol=1e-5)


@relaxed
@given(st.integers(2, 20), seeds, lams)
def test_straight_lines_stay(n: int, seed: int, lam: float) -> None:
    """Values on a straight line give that line, between the nodes and beyond them, for every lam."""
    nodes, at = some_nodes(n, seed), np.linspace(-3, 3, 50)
    np.testing.assert_allclose(smoother(nodes, at, lam) @ (2 - 3 * nodes), 2 - 3 * at, rtol=0, atol=1e-8)


@relaxed
@given(st.integers(3, 15), seeds, lams)
def test_smooth_and_straight_at_the_ends(n: int, seed: int, lam: float) -> None:
    """The spline and its slope are continuous at the nodes, and beyond the ends it is straight."""
    nodes = some_nodes(n, seed)
    values = np.random.default_rng(seed).normal(size=n)
    step = 1e-5
    around = smoother(nodes, (nodes[:, None] + step * np.arange(-2, 3)).ravel(), lam) @ values
    slopes = np.diff(around.reshape(n, 5), axis=1) / step
    # A slope changes by g'' times the step; g'' is at most a few hundred where values of about 1 are 0.02 apart.
    np.testing.assert_allclose(slopes, slopes[:, :1].repeat(4, axis=1), rtol=0, atol=0.5)
    beyond = smoother(nodes, np.array([-4.0, -3.0, -2.0, 2.0, 3.0, 4.0]), lam) @ values
    np.testing.assert_allclose(np.diff(beyond[:3], 2), 0, atol=1e-8 * max(1, np.abs(beyond).max()))
    np.testing.assert_allclose(np.diff(beyond[3:], 2), 0, atol=1e-8 * max(1, np.abs(beyond).max()))


def test_few_nodes() -> None:
    """One node gives a constant, two the straight line through them."""
    assert (smoother(np.array([0.3]), np.array([-1.0, 0.3, 5.0]), 1e-3) == 1).all()
    line = smoother(np.array([1.0, -1.0]), np.array([-2.0, 0.0, 1.0]), 7.0)
    np.testing.assert_allclose(line, [[-0.5, 1.5], [0.5, 0.5], [1, 0]], atol=1e-12)


@relaxed
@given(st.integers(1, 12), st.integers(1, 15), st.sampled_from([1, 2]), lams, st.data())
def test_equal_images_are_restored(images: int, shares: int, ends: int, lam: float, data: st.DataObject) -> None:
    """Equal images have shares equal to them, and any equal outputs, even a single one, are every image's answer."""
    coded = encode([np.full((3, 5, 3), 77, np.uint8)] * images, shares, lam, ends)
    assert coded.shape == (shares, 3, 5, 3)
    assert coded.dtype == np.float32
    np.testing.assert_allclose(coded, 77, atol=1e-2)
    present = data.draw(st.sets(st.integers(0, shares - 1), min_size=1))
    output = np.linspace(-3, 3, 10, dtype=np.float32)
    answers = decode(dict.fromkeys(present, output), images, shares, lam, ends)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, np.tile(output, (images, 1)), atol=1e-3)


@relaxed
@given(st.integers(2, 12), st.integers(2, 15), st.sampled_from([1, 2]), lams, lams, st.data())
def test_images_on_a_line(images: int, shares: int, ends: int, lam: float, other: float, data: st.DataObject) -> None:
    """If images change linearly along the nodes, a linear model's outputs are restored from any two outputs or more."""
    first, second = np.random.default_rng(0).normal(size=(2, 2, 2, 3))
    pictures = [first + z * second for z in image_nodes(images)]
    coded = encode(pictures, shares, lam, ends)
    weights = np.random.default_rng(1).normal(size=(10, 12))
    present = data.draw(st.sets(st.integers(0, shares - 1), min_size=2))
    outputs = {share: (weights @ coded[share].reshape(-1)).astype(np.float32) for share in present}
    wanted = [weights @ picture.reshape(-1) for picture in pictures]
    # The closer two outputs are, the less exact is the slope between them.
    places = share_nodes(shares, ends)[sorted(present)]
    np.testing.assert_allclose(decode(outputs, images, shares, other, ends), wanted, atol=2e-4 / np.ptp(places))


@pytest.mark.parametrize("end", [1, 2])
def test_every_small_code_is_finite(end: int) -> None:
    """For codes of up to 12 images and 6 losses, with and without smoothing, weights are finite and add up to 1."""
    for images in range(1, 13):
        for losses in range(7):
            shares = images + losses
            for lam in (0.0, 1e-5, 1.0):
                present = tuple(range(0, shares, 2))
                for matrix in (encoder(images, shares, lam, end), decoder(images, shares, present, lam, end)):
                    assert np.isfinite(matrix).all()
                    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-4)


def test_misfits() -> None:
    """Arguments that cannot be smoothed or coded raise a DataError that says why."""
    image = np.zeros((4, 4, 3), np.uint8)
    for lam in (-1.0, float("nan"), float("inf")):
        with pytest.raises(DataError, match="smoothing must be 0 or a positive number"):
            encode([image, image], 3, lam)
    with pytest.raises(DataError, match="distinct nodes"):
        smoother(np.array([0.0, 1.0, 0.0]), np.zeros(1), 1.0)
    with pytest.raises(DataError, match="distinct nodes"):
        smoother(np.array([]), np.zeros(1), 1.0)
    with pytest.raises(DataError, match="1 or 2 ends"):
        encode([image, image], 3, 0, 0)
    with pytest.raises(DataError, match="nothing to decode"):
        decode({}, 2, 3, 0)

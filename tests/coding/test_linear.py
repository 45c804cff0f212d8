"""Weighted sums of images of any size, and the nodes of images and shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collagebench.coding.linear import combine, image_nodes, share_nodes


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 14), st.integers(1, 90), st.integers(1, 90), st.sampled_from("Bfd"))
def test_weighted_sums(k: int, n: int, height: int, width: int, kind: str) -> None:
    """Each coded image is the weighted sum of all images, of bytes or floats, also of views, at any size."""
    generator = np.random.default_rng(0)
    images = [image.astype(kind) for image in generator.integers(0, 256, (k, height, width, 3))]
    images[0] = images[0][::-1, ::-1]
    weights = generator.normal(size=(n, k)).astype(np.float32)
    sums = combine(weights, images)
    assert sums.dtype == np.float32
    np.testing.assert_allclose(sums, np.einsum("nk,khwc->nhwc", weights, np.stack(images)), rtol=0, atol=2e-3)


@pytest.mark.parametrize("n", range(1, 13))
def test_places(n: int) -> None:
    """Nodes descend; those of images avoid both ends, those of shares include both ends or only the right one."""
    images, both, one = image_nodes(n), share_nodes(n, 2), share_nodes(n, 1)
    for places in (images, both, one):
        assert len(places) == n
        assert (np.diff(places) < 0).all()
    np.testing.assert_allclose(images, -images[::-1], atol=1e-15)
    assert abs(images[0]) < 1
    assert both[0] == one[0] == 1
    if n > 1:
        assert both[-1] == -1
        assert -1 < one[-1] < 1
    # With one more share, both ends have one, and the others stay where they are.
    np.testing.assert_allclose(share_nodes(n + 1, 2)[:-1], one, atol=1e-15)

"""Whitened layers: what the stem does to images, and which parameters are not trained."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from collagebench.errors import UsageError  # noqa: E402
from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.models.network import Network  # noqa: E402

pytestmark = pytest.mark.train


def network() -> Network:
    """Return a small single with whitened layers."""
    torch.manual_seed(0)
    return Network(Architecture("single", 4, (16, 16), stem=24, widths=(24, 32), depths=(1, 1), layers="whitened"))


def smooth_images(n: int) -> np.ndarray:
    """Return images [n, 16, 16, 3] whose neighbouring pixels are similar, as in photographs."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    return np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)


def test_a_whitened_stem_makes_numbers_that_vary_independently() -> None:
    """Before the ReLU the stem's first 12 channels are uncorrelated with variance 1; the others are their negatives."""
    images = torch.from_numpy(smooth_images(400))
    made = network()
    made.whiten(images)
    x = images.permute(0, 3, 1, 2).float() / 64 - 2
    with torch.no_grad():
        seen = made.stem[1](x).permute(1, 0, 2, 3).reshape(24, -1)
    moments = (seen[:12] @ seen[:12].T / seen.shape[1]).numpy()
    assert np.abs(moments - np.diag(np.diag(moments))).max() < 1e-3
    assert np.diag(moments) == pytest.approx(np.ones(12), abs=0.15)
    assert torch.equal(seen[12:], -seen[:12])


def test_neither_the_stem_nor_the_scales_are_trained() -> None:
    """The stem's filters and the scales of normalisation, which are all 1, take no gradient; all else does."""
    made = network()
    made.whiten(torch.from_numpy(smooth_images(50)))
    fixed = {name for name, parameter in made.named_parameters() if not parameter.requires_grad}
    assert fixed == {"stem.1.weight", *(f"trunk.{i}.norm.weight" for i in range(4))}
    assert all(float(p.min()) == float(p.max()) == 1 for name, p in made.named_parameters() if "norm.weight" in name)


def test_its_convolutions_begin_as_identities() -> None:
    """A new convolution passes its input channels on unchanged as its first outputs."""
    made = network()
    x = torch.rand(2, 24, 8, 8)
    with torch.no_grad():
        y = made.trunk[1].conv(x)
    assert torch.allclose(y[:, :24], x, atol=1e-6)


def test_a_whitened_stem_has_its_own_width() -> None:
    """Another stem or stride for whitened layers raises a UsageError that names the options to drop."""
    with pytest.raises(UsageError, match="a whitened stem has 24 channels and stride 1; drop --stem and --stride"):
        Architecture("single", 4, (16, 16), stem=16, layers="whitened")
    with pytest.raises(UsageError, match="unknown layers 'deep'"):
        Architecture("single", 4, (16, 16), layers="deep")

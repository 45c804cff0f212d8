"""Quantised models: their weights are int8, and their logits are close to the network's."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
onnx = pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("onnxscript", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench.models import onnx_export  # noqa: E402
from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.models.int8 import to_int8  # noqa: E402
from collagebench.models.network import Network  # noqa: E402
from collagebench.onnx_session import open_session  # noqa: E402


@pytest.mark.parametrize(("role", "traits"), [("collage", {"grid": 2}), ("parity", {"k": 2, "code": "addition"})])
def test_a_quantised_model_is_small_and_close_to_its_network(
    role: str, traits: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """A quantised model has int8 weights, half the size, and logits that correlate with the network's above 0.99."""
    torch.manual_seed(0)
    made = Network(Architecture(role, 4, (16, 16), stem=16, widths=(32, 64), depths=(1, 1), **traits))
    pixels = np.random.default_rng(0).integers(256, size=(48, *made.architecture.input))
    pixels = (pixels * made.architecture.added).astype(made.architecture.dtype)
    made.train()(torch.from_numpy(pixels))
    made.eval()
    whole = onnx_export.to_onnx(made)
    before = whole.SerializeToString()
    small = to_int8(whole, list(pixels[:32, np.newaxis]))
    assert whole.SerializeToString() == before
    weights = [weight for weight in small.graph.initializer if len(weight.dims) == 4]
    assert weights
    assert {weight.data_type for weight in weights} == {onnx.TensorProto.INT8}
    content = onnx_export.describe(small, {"role": role})
    assert len(content) < 0.5 * len(before)
    assert b"/tmp" not in content
    with torch.no_grad():
        wanted = made(torch.from_numpy(pixels[32:])).numpy()
    session = open_session(content)
    got = np.concatenate([session.run(["logits"], {"image": part})[0] for part in (pixels[32:33], pixels[33:])])
    assert got.shape == wanted.shape
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.99
    assert capsys.readouterr() == ("", "")

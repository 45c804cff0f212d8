"""The exported file: it says what the network says, at any batch size, and tells nothing about who exported it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
onnx = pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("onnxscript", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench.errors import ModelError  # noqa: E402
from collagebench.models import onnx_export  # noqa: E402
from collagebench.models.network import Architecture, Network  # noqa: E402


def network(seed: int, grid: int | None) -> Network:
    """Return an untrained network for 16x16 images of four classes whose normalisation is not the identity."""
    torch.manual_seed(seed)
    made = Network(Architecture("collage" if grid else "single", 4, (16, 16), grid, width=4, stages=2))
    images = np.random.default_rng(seed).integers(256, size=(8, *made.architecture.input), dtype=np.uint8)
    made.train()(torch.from_numpy(images))
    return made.eval()


@pytest.fixture(scope="module", params=[None, 3], ids=["single", "collage"])
def exported(request: pytest.FixtureRequest) -> tuple[Network, bytes]:
    """Return a network and its file."""
    made = network(0, request.param)
    return made, onnx_export.describe(onnx_export.to_onnx(made), {"role": "test", "grid": request.param})


def test_any_batch_size_gives_the_networks_logits(exported: tuple[Network, bytes]) -> None:
    """One, two and seven inputs give what torch gives, to within 0.00001."""
    made, content = exported
    for batch in (1, 2, 7):
        images = np.random.default_rng(batch).integers(256, size=(batch, *made.architecture.input), dtype=np.uint8)
        assert onnx_export.check(made, content, images) < 1e-5


def test_names_and_types_are_the_contract(exported: tuple[Network, bytes]) -> None:
    """The input is `image`, uint8, the output `logits`, float32, and the batch is free in both."""
    made, content = exported
    session = onnx_export.session(content)
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", list(made.architecture.input))
    cells = [9, 4] if made.architecture.grid else [4]
    assert (logits.name, logits.type, logits.shape[1:]) == ("logits", "tensor(float)", cells)
    assert isinstance(image.shape[0], str)
    assert image.shape[0] == logits.shape[0]


def test_facts_are_inside_the_file(exported: tuple[Network, bytes]) -> None:
    """The file carries its facts as collagebench.* in JSON."""
    made, content = exported
    properties = onnx_export.session(content).get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in properties.items()} == {
        "collagebench.role": "test",
        "collagebench.grid": made.architecture.grid,
    }


def test_the_file_names_no_place_on_the_exporting_machine(exported: tuple[Network, bytes]) -> None:
    """No source path and no stack trace is left in the file."""
    _, content = exported
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b".py" not in content


def test_an_export_is_reproducible() -> None:
    """The same network gives the same bytes."""
    first, second = (onnx_export.describe(onnx_export.to_onnx(network(1, None)), {"a": 1}) for _ in range(2))
    assert first == second


def test_a_file_that_is_not_the_network_is_refused(exported: tuple[Network, bytes]) -> None:
    """The check fails for the same layers with other weights."""
    made, content = exported
    images = np.random.default_rng(0).integers(256, size=(4, *made.architecture.input), dtype=np.uint8)
    with pytest.raises(ModelError, match="differs from the network"):
        onnx_export.check(network(2, made.architecture.grid), content, images)

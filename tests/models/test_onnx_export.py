"""The exported file: it has the network's logits at any batch size, and nothing about the exporting machine."""

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
from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.models.network import Network  # noqa: E402
from collagebench.onnx_session import open_session  # noqa: E402

KINDS: dict[str, dict[str, object]] = {
    "single": {},
    "collage": {"grid": 3},
    "detection": {"grid": 3, "head": "detection"},
    "scaled": {"grid": 3, "canvas": (44, 44)},
    "parity": {"k": 2, "code": "addition"},
    "coded": {},
}


def network(seed: int, role: str) -> Network:
    """Return an untrained network for 16x16 images of four classes whose normalisation is not the identity."""
    torch.manual_seed(seed)
    layers = {"stem": 4, "widths": (8, 12), "depths": (1, 1)}
    kind = "collage" if role in ("detection", "scaled") else role
    made = Network(Architecture(kind, 4, (16, 16), **layers, **KINDS[role]))
    made.train()(torch.from_numpy(images(made, 8, seed)))
    return made.eval()


def images(made: Network, n: int, seed: int) -> np.ndarray:
    """Return n random inputs of a network."""
    pixels = np.random.default_rng(seed).integers(256, size=(n, *made.architecture.input))
    return pixels.astype(made.architecture.dtype)


def kind_of(made: Network) -> str:
    """Return the key in KINDS of a network."""
    a = made.architecture
    return "scaled" if a.canvas else "detection" if a.head == "detection" else a.role


@pytest.fixture(scope="module", params=list(KINDS))
def exported(request: pytest.FixtureRequest) -> tuple[Network, bytes]:
    """Return a network and its file."""
    made = network(0, request.param)
    return made, onnx_export.describe(onnx_export.to_onnx(made), {"role": "test", "grid": made.architecture.grid})


def test_any_batch_size_gives_the_networks_logits(exported: tuple[Network, bytes]) -> None:
    """Batches of one, two and seven inputs give torch's logits to within 0.00001."""
    made, content = exported
    for batch in (1, 2, 7):
        assert onnx_export.check(made, content, images(made, batch, batch)) < 1e-5


@pytest.mark.parametrize(("below", "kind"), [(0, "INT8"), (10**9, "FLOAT16")])
def test_stored_smaller_a_file_gives_the_networks_logits(
    below: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights stored as bytes or half precision shrink the file by a quarter; logits change only within rounding."""
    monkeypatch.setattr(onnx_export, "HALVES_BELOW", below)
    made = network(0, "collage")
    whole = onnx_export.to_onnx(made)
    small, said = onnx_export.compact(whole)
    assert said == {"INT8": "bytes", "FLOAT16": "half precision"}[kind]
    far, changed, of = onnx_export.moved(whole.SerializeToString(), small.SerializeToString(), images(made, 50, 1))
    assert 0 < far < (onnx_export.ROUNDING if kind == "INT8" else 0.002)
    assert changed < of == 50 * 9
    stored = {weight.data_type for weight in small.graph.initializer if np.prod(weight.dims) >= 256}
    assert stored == {onnx.TensorProto.DataType.Value(kind)}
    assert len(small.SerializeToString()) < 0.75 * len(whole.SerializeToString())
    assert not any(weight.data_type in stored for weight in whole.graph.initializer)


def test_only_a_large_network_is_stored_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are stored as bytes if those rounded have `HALVES_BELOW` numbers in all, otherwise in half precision."""
    whole = onnx_export.to_onnx(network(0, "single"))
    numbers = [np.prod(weight.dims) for weight in whole.graph.initializer if len(weight.dims) > 1]
    rounded = int(sum(number for number in numbers if number >= onnx_export.COMPACTED_FROM))
    for below, wanted in ((rounded, "bytes"), (rounded + 1, "half precision")):
        monkeypatch.setattr(onnx_export, "HALVES_BELOW", below)
        assert onnx_export.compact(whole)[1] == wanted


def test_names_and_types_are_the_contract(exported: tuple[Network, bytes]) -> None:
    """The input is `image`, of the role's type, the output is `logits`, in float32, and both have any batch size."""
    made, content = exported
    session = open_session(content)
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    kind = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[made.architecture.dtype]
    assert (image.name, image.type, image.shape[1:]) == ("image", kind, list(made.architecture.input))
    cells = [9, 4] if made.architecture.grid else [4]
    if made.architecture.head == "detection":
        cells = [12 * 12 * 3, 5 + 4]
    assert (logits.name, logits.type, logits.shape[1:]) == ("logits", "tensor(float)", cells)
    assert isinstance(image.shape[0], str)
    assert image.shape[0] == logits.shape[0]


def test_facts_are_inside_the_file(exported: tuple[Network, bytes]) -> None:
    """The file's metadata have the model's facts as collagebench.*, in JSON."""
    made, content = exported
    properties = open_session(content).get_modelmeta().custom_metadata_map
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
    first, second = (onnx_export.describe(onnx_export.to_onnx(network(1, "single")), {"a": 1}) for _ in range(2))
    assert first == second


def test_a_stored_weight_is_the_nearest_step_of_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each weight is stored to within half a step, which is a 127th of the largest weight of its output channel."""
    whole = onnx_export.to_onnx(network(0, "single"))
    monkeypatch.setattr(onnx_export, "HALVES_BELOW", 0)
    compacted, _ = onnx_export.compact(whole)
    small = {weight.name: onnx.numpy_helper.to_array(weight) for weight in compacted.graph.initializer}
    rounded = [weight for weight in whole.graph.initializer if f"{weight.name}.int8" in small]
    assert rounded
    for weight in rounded:
        exact = onnx.numpy_helper.to_array(weight)
        step = np.abs(exact).max(axis=tuple(range(1, exact.ndim)), keepdims=True) / 127
        stored = small[f"{weight.name}.int8"] * small[f"{weight.name}.scale"]
        assert (np.abs(stored - exact) <= 0.5001 * step).all()


def test_rounding_that_changes_a_model_is_refused(exported: tuple[Network, bytes]) -> None:
    """A rounded file whose logits are far from those of the exact one raises a ModelError."""
    made, content = exported
    kind = kind_of(made)
    other = onnx_export.describe(onnx_export.to_onnx(network(2, kind)), {})
    with pytest.raises(ModelError, match="rounding the weights"):
        onnx_export.moved(content, other, images(made, 20, 0), skipped=5 if kind == "detection" else 0)


def test_a_file_that_is_not_the_network_is_refused(exported: tuple[Network, bytes]) -> None:
    """A file of the same layers with other weights fails the check against the network."""
    made, content = exported
    kind = kind_of(made)
    with pytest.raises(ModelError, match="differs from the network"):
        onnx_export.check(network(2, kind), content, images(made, 4, 0))

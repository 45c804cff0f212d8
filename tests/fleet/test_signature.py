"""The metadata of a server's models: what is accepted, also under other names, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from open_inference.grpc import protocol

from collagebench.errors import ModelError
from collagebench.fleet.signature import signature
from collagebench.worker.spec import ModelFile

NEEDED = ModelFile("photos", "photos.onnx", "", (32, 32, 3), "uint8", (10,))


def metadata() -> Any:
    """Return a good server's metadata, for tests to change."""
    tensor = protocol.ModelMetadataResponse.TensorMetadata
    return protocol.ModelMetadataResponse(
        inputs=[tensor(name="x", datatype="UINT8", shape=[-1, 32, 32, 3])],
        outputs=[tensor(name="y", datatype="FP32", shape=[-1, 10])],
    )


def asked(spoil: Callable[[Any], Any] = lambda said: None, needed: ModelFile = NEEDED, scale: Any = None) -> Any:
    """Return the signature from metadata that `spoil` has changed."""
    said = metadata()
    spoil(said)
    return signature(said, "resnet", "grpc://h:1", needed, scale)


def shape(tensor: Any, *sizes: int) -> None:
    """Give a tensor another shape."""
    tensor.shape[:] = sizes


def test_names_are_the_servers() -> None:
    """Model, input and output have the server's names, and uint8 pixels are sent unchanged."""
    found = asked()
    assert (found.model, found.input, found.datatype, found.output, found.shape) == ("resnet", "x", "UINT8", "y", (10,))
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    assert found.pixels(pixels) is pixels


def test_free_dimensions_fit() -> None:
    """A dimension of -1 fits any size, and batches of one fit if images are sent one at a time."""
    assert asked(lambda said: shape(said.inputs[0], -1, -1, -1, -1))
    assert asked(lambda said: (shape(said.inputs[0], 1, 32, 32, 3), shape(said.outputs[0], 1, 10)))
    assert asked(lambda said: shape(said.outputs[0], -1, -1))


def test_other_outputs_may_be_there() -> None:
    """A model may have other outputs if one is called `logits`, which is used."""

    def more(said: Any) -> None:
        said.outputs[0].name = "logits"
        said.outputs.add(name="features", datatype="FP16", shape=[-1, 512])

    assert asked(more).output == "logits"


def test_fp32_for_pixels_needs_a_scale() -> None:
    """A model of FP32 pixels needs --pixel-scale, which is applied to uint8 pixels but not to coded images."""

    def fp32(said: Any) -> None:
        said.inputs[0].datatype = "FP32"

    with pytest.raises(ModelError, match=r"FP32.*--pixel-scale"):
        asked(fp32)
    scaled = asked(fp32, scale=1 / 255).pixels(np.full((1, 32, 32, 3), 255, np.uint8))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, 1.0, rtol=1e-6)
    coded = asked(fp32, replace(NEEDED, dtype="float32"), 1 / 255)
    assert (coded.datatype, coded.scale) == ("FP32", None)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda said: said.inputs.pop(), "does not say what it takes and gives"),
        (lambda said: said.outputs.pop(), "does not say what it takes and gives"),
        (lambda said: said.inputs.add(name="mask"), r"takes 2 inputs \('x', 'mask'\)"),
        (lambda said: said.outputs.add(name="z"), r"gives 2 outputs \('y', 'z'\)"),
        (lambda said: setattr(said.inputs[0], "datatype", "INT64"), "'x' as 'INT64'; photos takes UINT8"),
        (lambda said: setattr(said.outputs[0], "datatype", "FP16"), "'y' as 'FP16'; it must give FP32"),
        (lambda said: shape(said.inputs[0], -1, 3, 32, 32), r"\[-1, 3, 32, 32\].*channels come last"),
        (lambda said: shape(said.inputs[0], -1, 224, 224, 3), r"\[-1, 224, 224, 3\]; photos takes \[-1, 32, 32, 3\]"),
        (lambda said: shape(said.inputs[0], -1, 3072), r"\[-1, 3072\]; photos takes"),
        (lambda said: shape(said.inputs[0], *range(5000)), r"\[0, 1, 2, 3, 4, 5, 6, 7, …\]; photos takes"),
        (lambda said: shape(said.inputs[0], 8, 32, 32, 3), "takes batches of 8 only"),
        (lambda said: shape(said.outputs[0], -1, 1000), r"\[-1, 1000\]; photos gives \[-1, 10\]"),
        (lambda said: shape(said.outputs[0], 8, 10), "gives batches of 8 only"),
    ],
)
def test_another_model_is_refused(spoil: Callable[[Any], Any], why: str) -> None:
    """Metadata that do not fit raise a ModelError that names the model, the server and the difference."""
    with pytest.raises(ModelError, match=f"^model 'resnet' of grpc://h:1 .*{why}") as caught:
        asked(spoil)
    assert len(str(caught.value)) < 300


def test_batches_must_fit() -> None:
    """A server of batches of one is refused for a role that sends up to nine, and one of UINT8 for FP32 images."""
    with pytest.raises(ModelError, match="takes batches of 1 only, but batches of 1 to 9 will be sent"):
        asked(lambda said: shape(said.inputs[0], 1, 32, 32, 3), replace(NEEDED, batch=9))
    with pytest.raises(ModelError, match="takes 'x' as 'UINT8'; photos takes FP32"):
        asked(needed=replace(NEEDED, dtype="float32"))

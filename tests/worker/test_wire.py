"""Requests that are encoded by hand equal those of Protobuf."""

from __future__ import annotations

import numpy as np
import pytest
from open_inference.grpc import protocol

from collagebench.worker import wire


@pytest.mark.parametrize("side", [1, 6, 7, 74, 224])
def test_a_hand_made_request_reads_as_the_message_that_protobuf_would_make(side: int) -> None:
    """A request encoded by hand equals Protobuf's for images of any size (lengths take one to three bytes)."""
    pixels = np.random.default_rng(side).integers(0, 256, (1, side, side, 3), np.uint8)
    wanted = protocol.ModelInferRequest(model_name="m", id="17")
    wanted.inputs.add(name="image", datatype="UINT8", shape=[1, side, side, 3])
    wanted.raw_input_contents.append(pixels.tobytes())
    wanted.parameters["collagebench_mode"].string_param = "floor"
    wanted.parameters["collagebench_amount"].double_param = 0.25
    made = wire.infer_request(wire.unchanging("m", pixels.shape, pixels.dtype), 17, pixels, "floor", 0.25)
    assert protocol.ModelInferRequest.FromString(made) == wanted


def test_an_image_that_is_a_view_is_sent_in_its_own_order() -> None:
    """A mirrored view of an image is sent mirrored, although its bytes lie in memory in another order."""
    pixels = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)[:, :, ::-1]
    made = wire.infer_request(wire.unchanging("m", pixels.shape, pixels.dtype), 0, pixels, None, 0.0)
    assert protocol.ModelInferRequest.FromString(made).raw_input_contents[0] == pixels.tobytes()


def test_nothing_to_inject_sends_no_parameters() -> None:
    """A request without a delay to inject has no parameters."""
    pixels = np.zeros((1, 4, 4, 3), np.uint8)
    made = wire.infer_request(wire.unchanging("m", pixels.shape, pixels.dtype), 0, pixels, None, 0.0)
    assert not protocol.ModelInferRequest.FromString(made).parameters


def test_coded_pixels_travel_as_float32() -> None:
    """Coded pixels, which may be negative or above 255, are sent as float32 without change."""
    pixels = np.linspace(-300, 300, 48, dtype=np.float32).reshape(1, 4, 4, 3)
    made = wire.infer_request(wire.unchanging("m", pixels.shape, pixels.dtype), 0, pixels, None, 0.0)
    request = protocol.ModelInferRequest.FromString(made)
    assert request.inputs[0].datatype == "FP32"
    assert (np.frombuffer(request.raw_input_contents[0], np.float32) == pixels.ravel()).all()

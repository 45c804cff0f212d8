"""A worker answers any client of the Open Inference Protocol, here one that uses only the published stubs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from open_inference.grpc import protocol
from open_inference.grpc.service import GRPCInferenceServiceStub
from real_processes import SPEC, driven

pytestmark = pytest.mark.processes

PIXELS = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
ANSWER = PIXELS.sum(axis=(1, 2), dtype=np.float32)


@pytest.fixture(scope="module", params=["real", "emulated"])
def compute(request: pytest.FixtureRequest) -> str:
    """Return how the worker computes."""
    return str(request.param)


@pytest.fixture(scope="module")
def stub(compute: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a client of a running worker that knows only the protocol."""
    with driven(compute, tmp_path_factory.mktemp("logs")) as server:
        server.hear()
        server.start(SPEC)
        with grpc.insecure_channel(f"unix:{server.hear()['socket']}") as channel:
            yield GRPCInferenceServiceStub(channel)


def request(raw: bool = True) -> Any:
    """Return a valid request, for tests to spoil."""
    message = protocol.ModelInferRequest(model_name="sums", id="mine")
    message.inputs.add(name="image", datatype="UINT8", shape=PIXELS.shape)
    if raw:
        message.raw_input_contents.append(PIXELS.tobytes())
    else:
        message.inputs[0].contents.uint_contents.extend(PIXELS.ravel().tolist())
    return message


def test_a_worker_is_live_and_ready(stub: Any) -> None:
    """A worker is live and ready once it listens, and so are its models; an unknown model is not."""
    assert stub.ServerLive(protocol.ServerLiveRequest()).live
    assert stub.ServerReady(protocol.ServerReadyRequest()).ready
    assert stub.ModelReady(protocol.ModelReadyRequest(name="sums")).ready
    assert stub.ModelReady(protocol.ModelReadyRequest(name="again", version="1")).ready
    assert not stub.ModelReady(protocol.ModelReadyRequest(name="other")).ready


def test_a_worker_names_itself(stub: Any) -> None:
    """Server metadata carry name and version."""
    metadata = stub.ServerMetadata(protocol.ServerMetadataRequest())
    assert metadata.name == "collagebench"
    assert metadata.version


def test_metadata_say_what_to_send(stub: Any, compute: str) -> None:
    """Metadata give the names, types and shapes of a model, a free dimension as -1."""
    metadata = stub.ModelMetadata(protocol.ModelMetadataRequest(name="sums"))
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [("image", "UINT8", [-1, 4, 4, 3])]
    if compute == "real":
        assert [(t.name, t.datatype, list(t.shape)) for t in metadata.outputs] == [("logits", "FP32", [-1, 3])]
    else:
        assert metadata.platform == "emulated"
        assert not metadata.outputs


def test_raw_bytes_are_answered_with_raw_bytes(stub: Any, compute: str) -> None:
    """Raw bytes are answered with raw bytes and the request's id; an emulated worker gives no output."""
    response = stub.ModelInfer(request())
    assert (response.id, response.model_name) == ("mine", "sums")
    if compute == "real":
        assert (response.outputs[0].name, response.outputs[0].datatype) == ("logits", "FP32")
        answer = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(response.outputs[0].shape)
        np.testing.assert_array_equal(answer, ANSWER)
    else:
        assert not response.outputs


def test_typed_contents_are_answered_with_typed_contents(stub: Any, compute: str) -> None:
    """Typed contents are answered with typed contents, for clients that do not use raw bytes."""
    response = stub.ModelInfer(request(raw=False))
    if compute == "real":
        assert not response.raw_output_contents
        assert list(response.outputs[0].contents.fp32_contents) == ANSWER.ravel().tolist()


def test_every_model_answers_by_its_name(stub: Any, compute: str) -> None:
    """A worker with several models answers for each by its name."""
    message = request()
    message.model_name = "again"
    assert stub.ModelInfer(message).model_name == "again"


def unknown_model(message: Any) -> None:
    """Name a model that does not exist."""
    message.model_name = "other"


def unknown_version(message: Any) -> None:
    """Name a version that does not exist."""
    message.model_version = "2"


def no_input(message: Any) -> None:
    """Give the input another name."""
    message.inputs[0].name = "pixels"


def two_inputs(message: Any) -> None:
    """Add a second input."""
    message.inputs.append(message.inputs[0])


def wrong_type(message: Any) -> None:
    """Declare floats."""
    message.inputs[0].datatype = "FP32"


def wrong_shape(message: Any) -> None:
    """Put the channels first."""
    message.inputs[0].shape[:] = [2, 3, 4, 4]


def no_shape(message: Any) -> None:
    """Remove the shape."""
    del message.inputs[0].shape[:]


def empty_batch(message: Any) -> None:
    """Send no image."""
    message.inputs[0].shape[0] = 0
    message.raw_input_contents[0] = b""


def negative_batch(message: Any) -> None:
    """Send a free dimension, which only metadata may have."""
    message.inputs[0].shape[0] = -1


def too_few_bytes(message: Any) -> None:
    """Leave one byte out."""
    message.raw_input_contents[0] = PIXELS.tobytes()[:-1]


def no_bytes(message: Any) -> None:
    """Send no content."""
    del message.raw_input_contents[:]


def both_contents(message: Any) -> None:
    """Send raw and typed content at once."""
    message.inputs[0].contents.uint_contents.extend(PIXELS.ravel().tolist())


def wrong_contents(message: Any) -> None:
    """Send floats instead of bytes."""
    del message.raw_input_contents[:]
    message.inputs[0].contents.fp32_contents.extend([0.0] * PIXELS.size)


def value_too_large(message: Any) -> None:
    """Send 256, which is no byte."""
    del message.raw_input_contents[:]
    message.inputs[0].contents.uint_contents.extend([256] * PIXELS.size)


def wrong_output(message: Any) -> None:
    """Ask for an output that the model does not have."""
    message.outputs.add(name="probabilities")


def unknown_mode(message: Any) -> None:
    """Ask for an unknown straggler mode."""
    message.parameters["collagebench_mode"].string_param = "stretch"
    message.parameters["collagebench_amount"].double_param = 1.0


def no_amount(message: Any) -> None:
    """Give a straggler mode without an amount."""
    message.parameters["collagebench_mode"].string_param = "floor"


def negative_amount(message: Any) -> None:
    """Ask for a negative delay."""
    message.parameters["collagebench_mode"].string_param = "add"
    message.parameters["collagebench_amount"].double_param = -0.1


def amount_that_is_no_number(message: Any) -> None:
    """Ask for a delay that is not a number."""
    message.parameters["collagebench_mode"].string_param = "add"
    message.parameters["collagebench_amount"].double_param = float("nan")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [(unknown_model, grpc.StatusCode.NOT_FOUND), (unknown_version, grpc.StatusCode.NOT_FOUND)]
    + [
        (spoil, grpc.StatusCode.INVALID_ARGUMENT)
        for spoil in (
            no_input,
            two_inputs,
            wrong_type,
            wrong_shape,
            no_shape,
            empty_batch,
            negative_batch,
            too_few_bytes,
            no_bytes,
            both_contents,
            wrong_contents,
            value_too_large,
            wrong_output,
            unknown_mode,
            no_amount,
            negative_amount,
            amount_that_is_no_number,
        )
    ],
)
def test_a_bad_request_is_refused_with_its_status_and_a_sentence(
    stub: Any, spoil: Callable[[Any], None], code: grpc.StatusCode
) -> None:
    """An invalid request is refused with its status and a sentence, and the worker goes on serving."""
    message = request()
    spoil(message)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(message)
    assert caught.value.code() is code
    assert len(caught.value.details().split()) >= 5
    stub.ModelInfer(request())


def test_metadata_of_an_unknown_model_are_not_found(stub: Any) -> None:
    """Metadata of an unknown model are refused with the names of the known ones."""
    with pytest.raises(grpc.RpcError, match="the models are: sums, again") as caught:
        stub.ModelMetadata(protocol.ModelMetadataRequest(name="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("mode", "amount"), [("floor", 0.03), ("add", 0.02)])
def test_any_client_may_ask_for_slowness(stub: Any, mode: str, amount: float) -> None:
    """Any client can ask for a delay, and the reply's parameters give the achieved times."""
    message = request()
    message.parameters["collagebench_mode"].string_param = mode
    message.parameters["collagebench_amount"].double_param = amount
    parameters = stub.ModelInfer(message).parameters
    times = {name: parameters[f"collagebench_{name}_s"].double_param for name in ("queue", "compute", "injected")}
    service = parameters["collagebench_service_s"].double_param
    assert service >= amount
    assert service == pytest.approx(times["compute"] + times["injected"], abs=1e-9)
    assert times["queue"] >= 0

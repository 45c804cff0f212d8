"""What client and worker exchange in addition to the plain Open Inference Protocol.

In the protocol (version 2, over gRPC), requests and responses can carry named parameters, and a server or client
ignores those that it does not know. Ours are:

    request     collagebench_mode        floor, add or scale (absent: nothing is injected)
                collagebench_amount      the straggler model's draw: seconds, or a factor for scale
    response    collagebench_queue_s     waiting in the worker before the service began
                collagebench_compute_s   inference
                collagebench_injected_s  injected slowness
                collagebench_service_s   compute + injected

All times are differences measured by the worker's own clock, so the clocks of two hosts are never compared.

The client builds its requests by hand. A serialized protobuf message is a sequence of fields in any order. So the
fields that never change are serialized once, and an image is copied only once, straight into the message, instead of
three times. For a 224x224 image this halves the client's CPU time per request.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from open_inference.grpc import protocol

from collagebench.stragglers.service import Mode as Mode

SERVICE = "inference.GRPCInferenceService"

DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
"""The protocol's names for the types of pixels; coded images are float32."""

INPUT = "image"
OUTPUT = "logits"

MODE = "collagebench_mode"
AMOUNT = "collagebench_amount"
QUEUE = "collagebench_queue_s"
COMPUTE = "collagebench_compute_s"
INJECTED = "collagebench_injected_s"
SERVICE_TIME = "collagebench_service_s"

MAX_MESSAGE_BYTES = 64 << 20
"""Enough for a batch of large images; gRPC's default limit of 4 MiB is about one 1024x1024 collage."""

MESSAGE_SIZES = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]

_RAW = protocol.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_RAW_TAG = bytes([_RAW << 3 | 2])
"""Field number and wire type 2 (length-delimited bytes)."""


@cache
def unchanging(
    model: str, shape: tuple[int, ...], dtype: np.dtype[Any], image: str = INPUT, output: str | None = None
) -> bytes:
    """Return the serialized fields that all requests to `model` with images of this shape and type have in common.

    `image` is the name of the input. `output` names the only output to return; None for all outputs.
    """
    request = protocol.ModelInferRequest(model_name=model)
    request.inputs.add(name=image, datatype=DATATYPES[dtype.name], shape=shape)
    if output is not None:
        request.outputs.add(name=output)
    serialized: bytes = request.SerializeToString()
    return serialized


def infer_request(common: bytes, task: int, pixels: NDArray[Any], mode: Mode | None, amount: float) -> bytes:
    """Return a serialized ModelInferRequest.

    `common` is from `unchanging`; `pixels` are [batch, height, width, channels] of the shape and type given there.
    """
    request = protocol.ModelInferRequest(id=str(task))
    if mode is not None:
        request.parameters[MODE].string_param = mode
        request.parameters[AMOUNT].double_param = amount
    pixels = np.ascontiguousarray(pixels)
    return b"".join((common, request.SerializeToString(), _RAW_TAG, _varint(pixels.nbytes), pixels.data.cast("B")))


def _varint(number: int) -> bytes:
    """Return `number` as a protobuf varint: seven bits per byte, lowest first, the top bit set on all but the last."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)

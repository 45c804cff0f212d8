"""Read a server's reply without trusting it: the server may be anybody's, and a bad reply must only fail its own task.

A message that cannot be parsed, a tensor whose bytes do not match its shape, the shape of another model, or a NaN fails
one task, with a reason. It never becomes an answer and never ends the run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

DIMENSIONS = 8
"""More dimensions than any output has. Multiplying a shape of a million numbers would take long."""
FLOAT_BYTES = 4


class MalformedReply(Exception):
    """A reply that is not valid; the message says why, as the end of a sentence whose subject is the server."""


def parsed(kind: Any, content: bytes) -> Any:
    """Parse a message of the protobuf class `kind`.

    Raises:
        MalformedReply: `content` is not such a message.
    """
    try:
        return kind.FromString(content)
    except DecodeError:
        raise MalformedReply(f"answered with {len(content)} bytes that are not a {kind.DESCRIPTOR.name}") from None


def tensor(response: Any, place: int) -> NDArray[np.float32]:
    """Return the output with index `place` of a ModelInferResponse, float32 of the shape that the response states.

    Raises:
        MalformedReply: the output is not FP32, or the number of values does not match the shape.
    """
    output = response.outputs[place]
    if output.datatype != "FP32":
        raise MalformedReply(f"answered with {output.datatype[:20]!r}, not FP32")
    raw = response.raw_output_contents
    if raw:
        if len(raw) != len(response.outputs) or len(raw[place]) % FLOAT_BYTES:
            raise MalformedReply("answered with bytes that do not match its outputs")
        values = np.frombuffer(raw[place], "<f4")
    else:
        values = np.array(output.contents.fp32_contents, np.float32)
    shape = output.shape
    if len(shape) > DIMENSIONS or min(shape, default=0) < 0 or math.prod(shape) != values.size:
        raise MalformedReply(f"answered with {values.size} values for an output of {len(shape)} dimensions")
    return values.reshape(tuple(shape))


def logits(response: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the output `name` of a ModelInferResponse, which must have exactly this shape.

    Raises:
        MalformedReply: there is no such output, it has another shape, or it contains NaN.
    """
    place = next((place for place, output in enumerate(response.outputs) if output.name == name), None)
    if place is None:
        raise MalformedReply(f"answered without the output {name!r}")
    values = tensor(response, place)
    if values.shape != shape:
        raise MalformedReply(f"answered with {name!r} of shape {list(values.shape)}, not {list(shape)}")
    if np.isnan(values).any():
        raise MalformedReply(f"answered with {name!r} that contains NaN")
    return values

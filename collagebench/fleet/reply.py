"""What a server answered, read with suspicion: it may be anybody's, and nothing that it sends may do more than fail.

A message that is none of the protocol's, a tensor whose bytes do not fill its shape, a shape of another model or a
value that is no number makes one task fail, with a sentence; it never becomes an answer, and never ends the run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

DIMENSIONS = 8
"""More than any output has. A shape of a million numbers would take long to multiply."""
FLOAT_BYTES = 4


class MalformedReply(Exception):
    """A reply that is not what it should be; the message says how, as the end of a sentence about the server."""


def parsed(kind: Any, content: bytes) -> Any:
    """Return a message of a protobuf class.

    Raises:
        MalformedReply: it is none.
    """
    try:
        return kind.FromString(content)
    except DecodeError:
        raise MalformedReply(f"answered with {len(content)} bytes that are not a {kind.DESCRIPTOR.name}") from None


def tensor(response: Any, place: int) -> NDArray[np.float32]:
    """Return the output of a ModelInferResponse at this place, float32 of the shape that it is said to have.

    Raises:
        MalformedReply: it is not FP32, or not as many values as its shape has room for.
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
    """Return the output called `name` of a ModelInferResponse, which must have just this shape.

    Raises:
        MalformedReply: there is none, it has another shape, or holds what is no number.
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

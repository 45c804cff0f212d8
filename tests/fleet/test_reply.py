"""Replies of foreign servers: a malformed one raises MalformedReply, whatever its bytes, and nothing worse."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from foreign_server import reply
from hypothesis import given, settings
from hypothesis import strategies as st
from open_inference.grpc import protocol

from collagebench.fleet.reply import MalformedReply, logits, parsed, tensor

VALUES = np.arange(20, dtype=np.float32).reshape(2, 10)


def spoilt(spoil: Callable[[Any], Any]) -> Any:
    """Return a good response after `spoil` has changed it."""
    response = reply(VALUES)
    spoil(response)
    return response


def test_a_good_reply() -> None:
    """Outputs are read from raw bytes and from typed contents, alone and among other outputs."""
    np.testing.assert_array_equal(logits(reply(VALUES), "logits", (2, 10)), VALUES)
    typed = spoilt(lambda response: response.raw_output_contents.pop())
    typed.outputs[0].contents.fp32_contents.extend(VALUES.ravel().tolist())
    np.testing.assert_array_equal(logits(typed, "logits", (2, 10)), VALUES)
    second = reply(np.zeros((1, 3), np.float32), "features")
    second.MergeFrom(reply(VALUES))
    np.testing.assert_array_equal(logits(second, "logits", (2, 10)), VALUES)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda response: response.outputs.pop(), "without the output 'logits'"),
        (lambda response: setattr(response.outputs[0], "name", "x"), "without the output 'logits'"),
        (lambda response: setattr(response.outputs[0], "datatype", "FP64" * 999), "'FP64FP64FP64FP64FP64', not FP32"),
        (lambda response: response.raw_output_contents.append(b""), "do not match its outputs"),
        (lambda response: response.raw_output_contents.pop(), "with 0 values"),
        (lambda response: response.raw_output_contents.__setitem__(0, b"123"), "do not match its outputs"),
        (lambda response: response.raw_output_contents.__setitem__(0, bytes(4)), "1 values for"),
        (lambda response: response.outputs[0].shape.__setitem__(0, -2), "20 values for"),
        (lambda response: response.outputs[0].shape.__setitem__(0, 2**62), "20 values for"),
        (lambda response: response.outputs[0].shape.extend([1] * 2_000_000), "2000002 dimensions"),
        (lambda response: response.outputs[0].shape.extend([1]), r"shape \[2, 10, 1\], not \[2, 10\]"),
        (
            lambda response: response.raw_output_contents.__setitem__(0, np.full(20, np.nan, np.float32).tobytes()),
            "contains NaN",
        ),
    ],
)
def test_a_spoilt_reply(spoil: Callable[[Any], Any], why: str) -> None:
    """A malformed reply is refused with what is wrong with it, in fewer than 200 characters."""
    with pytest.raises(MalformedReply, match=why) as caught:
        logits(spoilt(spoil), "logits", (2, 10))
    assert len(str(caught.value)) < 200


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 255))
def test_any_bytes(noise: bytes, at: int, value: int) -> None:
    """Any bytes, and a good message with any byte changed, are a message of the protocol or raise MalformedReply."""
    good = bytearray(reply(VALUES).SerializeToString())
    good[at % len(good)] = value
    for content in (noise, bytes(good)):
        with contextlib.suppress(MalformedReply):
            response = parsed(protocol.ModelInferResponse, content)
            if response.outputs:
                assert tensor(response, 0).dtype == np.float32

"""The models that a worker serves: ONNX models on one thread, checked before the first request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import MissingExtra, ModelError, first_line
from collagebench.onnx_session import ONNX_TYPES, open_session
from collagebench.worker.spec import ModelFile
from collagebench.worker.wire import INPUT, OUTPUT

Infer = Callable[[NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Hosted:
    """One loaded or emulated model of a worker."""

    name: str
    input: tuple[int, int, int]
    """Height, width and channels of one image."""
    dtype: str
    """Type of the pixels: uint8 or float32."""
    batch: int | None
    """The only batch size that it takes; None if it takes any."""
    output: tuple[int, ...] | None
    """Shape of `logits` without the batch; None if emulated."""
    sha256: str | None
    """SHA-256 of the loaded content; None if emulated."""
    infer: Infer | None
    """`dtype` [batch, height, width, channels] to float32 [batch, …]; None if emulated."""


def emulated(file: ModelFile) -> Hosted:
    """Return a model that takes the same input but computes nothing; its file is not opened."""
    return Hosted(file.name, file.input, file.dtype, None, None, None, None)


def load(file: ModelFile) -> Hosted:
    """Read, check and warm up an ONNX model.

    Raises:
        ModelError: the file is missing, not a complete ONNX model, or its input or output is wrong.
    """
    return hosted(file, file.read())


def hosted(file: ModelFile, content: bytes) -> Hosted:
    """Check and warm up an ONNX model from the content of its file.

    Raises:
        ModelError: it is not a complete ONNX model, or its input or output is wrong.
    """
    try:
        runner = open_session(content)
    except MissingExtra:
        raise
    except Exception as error:
        raise ModelError(
            f"model file {file.path} is not a complete ONNX model ({_sentence(error)}); export it again"
        ) from None
    batch = _check(file, runner)

    def infer(pixels: NDArray[Any]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = runner.run([OUTPUT], {INPUT: pixels})[0]
        return logits

    blank = np.zeros((batch or 1, *file.input), file.dtype)
    try:
        shape = infer(blank).shape
    except Exception as error:
        raise ModelError(f"model file {file.path} fails on a blank image: {_sentence(error)}") from None
    if len(shape) < 2 or shape[0] != len(blank):
        raise ModelError(
            f"model file {file.path} answers {len(blank)} image(s) with `{OUTPUT}` of shape {list(shape)}; "
            "one row per image was expected"
        )
    digest = hashlib.sha256(content).hexdigest()
    return Hosted(file.name, file.input, file.dtype, batch, tuple(shape[1:]), digest, infer)


def _check(file: ModelFile, runner: Any) -> int | None:
    """Check input and output; return the model's fixed batch size, or None if it takes any."""
    inputs, outputs = runner.get_inputs(), runner.get_outputs()
    if [tensor.name for tensor in inputs] != [INPUT] or OUTPUT not in [tensor.name for tensor in outputs]:
        raise ModelError(
            f"model file {file.path} takes {_names(inputs)} and gives {_names(outputs)}; it must take `{INPUT}` and "
            f"give `{OUTPUT}`"
        )
    image = inputs[0]
    logits = next(tensor for tensor in outputs if tensor.name == OUTPUT)
    wanted = ONNX_TYPES[file.dtype]
    if image.type != wanted or logits.type != "tensor(float)":
        raise ModelError(
            f"model file {file.path} takes {image.type} and gives {logits.type}; it must take {wanted} and give "
            "tensor(float)"
        )
    # A dimension that is not a number is free.
    fits = len(image.shape) == 4 and all(
        not isinstance(has, int) or has == size for has, size in zip(image.shape[1:], file.input, strict=True)
    )
    if not fits:
        height, width, channels = file.input
        raise ModelError(
            f"model file {file.path} takes images of shape {image.shape}, not [batch, {height}, {width}, {channels}]; "
            "export it again"
        )
    batch = image.shape[0]
    return batch if isinstance(batch, int) else None


def _names(tensors: list[Any]) -> str:
    return ", ".join(f"`{tensor.name}`" for tensor in tensors) or "nothing"


def _sentence(error: Exception) -> str:
    """Return the first line of an ONNX Runtime message, without its code."""
    return first_line(error).rpartition(" : ")[2].strip().rstrip(".")

"""A server model's inputs and outputs, and whether they fit the needed model.

The protocol's ModelMetadata lists the inputs and outputs of a model with their types and shapes; -1 means any size. The
model must be like one from `collagebench export`: one input, images [batch, height, width, channels] with values from 0
to 255 (UINT8, or FP32 for coded images), and logits as output, FP32 [batch, …]. Names may differ, there may be further
outputs, and a model for plain images may take FP32 if the user gives a factor for the pixels. Any other model is
refused before the run, because its answers would be wrong or missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import ModelError
from collagebench.worker.spec import ModelFile
from collagebench.worker.wire import DATATYPES, OUTPUT

SHOWN = 8
"""Most names or dimensions of a server's metadata to quote in a message."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a call to one model of a server needs."""

    model: str
    """The model's name on the server."""
    input: str
    datatype: str
    """UINT8 or FP32."""
    scale: float | None
    """Factor on the pixels; None if they are sent unchanged."""
    output: str
    shape: tuple[int, ...]
    """Shape of the output, without the batch."""

    def pixels(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return images in the type and scale that the model takes."""
        return pixels if self.scale is None else pixels.astype(np.float32) * np.float32(self.scale)


def signature(metadata: Any, model: str, where: str, needed: ModelFile, scale: float | None) -> Signature:
    """Return the signature of `model`, once it is found to fit.

    Args:
        metadata: the server's ModelMetadataResponse.
        model: the model's name on the server.
        where: the server, for messages.
        needed: the needed model.
        scale: factor on the pixels for a model that takes FP32; None if the user did not give one.

    Raises:
        ModelError: the model does not fit the needed one.
    """
    this = f"model {model!r} of {where}"
    if not metadata.inputs or not metadata.outputs:
        raise ModelError(
            f"{this} does not say what it takes and gives: declare its inputs and outputs in the server's "
            "configuration, such as MLServer's model-settings.json"
        )
    if len(metadata.inputs) > 1:
        raise ModelError(
            f"{this} takes {len(metadata.inputs)} inputs ({_names(metadata.inputs)}); it must take one, the images"
        )
    image, output = metadata.inputs[0], _output(metadata.outputs, this)
    datatype, scale = _datatype(image, needed, scale, this)
    _check_input(image, needed, this)
    shape, gives = [*output.shape], [-1, *needed.output]
    if not _fits(shape, gives):
        raise ModelError(f"{this} gives {output.name!r} of shape {_shape(shape)}; {needed.name} gives {_shape(gives)}")
    _check_batch(shape[0], "gives", needed, this)
    return Signature(model, image.name, datatype, scale, output.name, needed.output)


def _output(outputs: Sequence[Any], this: str) -> Any:
    named = [tensor for tensor in outputs if tensor.name == OUTPUT] if len(outputs) > 1 else list(outputs)
    if not named:
        raise ModelError(
            f"{this} gives {len(outputs)} outputs ({_names(outputs)}); it must give one, or call one of them {OUTPUT!r}"
        )
    if named[0].datatype != "FP32":
        raise ModelError(f"{this} gives {named[0].name!r} as {named[0].datatype!r}; it must give FP32")
    return named[0]


def _datatype(image: Any, needed: ModelFile, scale: float | None, this: str) -> tuple[str, float | None]:
    wanted = DATATYPES[needed.dtype]
    if image.datatype == wanted:
        return wanted, None
    if (wanted, image.datatype) != ("UINT8", "FP32"):
        raise ModelError(f"{this} takes {image.name!r} as {image.datatype!r}; {needed.name} takes {wanted}")
    if scale is None:
        raise ModelError(
            f"{this} takes {image.name!r} as FP32, but pixels are UINT8 from 0 to 255: say what to multiply them by "
            "with --pixel-scale, 1 to leave them as they are, 0.00392156862745098 for 0 to 1"
        )
    return "FP32", scale


def _check_input(image: Any, needed: ModelFile, this: str) -> None:
    shape, wanted = [*image.shape], [-1, *needed.input]
    if not _fits(shape, wanted):
        height, width, channels = needed.input
        first = _fits(shape, [-1, channels, height, width])
        hint = ": channels come last here, so start the served graph with a transpose" if first else ""
        raise ModelError(
            f"{this} takes {image.name!r} of shape {_shape(shape)}; {needed.name} takes {_shape(wanted)}{hint}"
        )
    _check_batch(shape[0], "takes", needed, this)


def _check_batch(size: int, verb: str, needed: ModelFile, this: str) -> None:
    if size != -1 and (size, needed.batch) != (1, 1):
        raise ModelError(f"{this} {verb} batches of {size} only, but batches of 1 to {needed.batch} will be sent")


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether two shapes can describe the same tensor; -1 is any size."""
    return len(shape) == len(wanted) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(shape, wanted, strict=True)
    )


def _shape(shape: Sequence[int]) -> str:
    more = ", …" if len(shape) > SHOWN else ""
    return f"[{', '.join(map(str, shape[:SHOWN]))}{more}]"


def _names(tensors: Sequence[Any]) -> str:
    more = ", …" if len(tensors) > SHOWN else ""
    return ", ".join(repr(tensor.name[:60]) for tensor in tensors[:SHOWN]) + more

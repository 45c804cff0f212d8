"""From a trained network to one ONNX file that plain onnxruntime serves, with what it is written inside."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from numpy.typing import NDArray

from collagebench.coding.cells import classes
from collagebench.errors import ModelError, first_line
from collagebench.models.foreign import Foreign
from collagebench.models.network import Network
from collagebench.onnx_session import open_session

OPSET = 18
IR_VERSION = 8  # both are what onnxruntime 1.17 and newer read
TOLERANCE = 1e-3
"""How far a logit of a file may be from the network's; a large one of a network not made here in proportion."""
UNTRAINED = 0.1
"""The same before a training: random weights may make numbers so large within that their rounding shows."""
ROUNDING = 0.05
"""How far rounding weights may move the logits, in their standard deviations; more would be a broken file."""
BATCH = 50
"""Inputs that go through a network at once."""
COMPACTED_FROM = 256
"""Numbers in a weight that is rounded; smaller ones would save nothing."""
HALVES_BELOW = 1_000_000
"""Numbers in the weights of a network that is stored in half precision: a small one loses more to bytes, and has little
to save."""


def to_onnx(network: Network | Foreign) -> onnx.ModelProto:
    """Export a network: input `image` [batch, height, width, 3], output `logits`, any batch size.

    Source lines and other traces of the machine that exported it are removed.

    Raises:
        ModelError: torch cannot export it.
    """
    network.eval()
    example = torch.zeros((2, *network.architecture.input), dtype=getattr(torch, network.architecture.dtype))
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # on which its failures fill screens
        warnings.simplefilter("ignore")  # of the exporter's own innards; what it made is checked by `check`
        try:
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # whatever torch does not like
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            raise ModelError(
                f"torch cannot export the network ({first_line(cause)}); what it does must not depend on the content "
                "of images, nor on their number"
            ) from None
    model: onnx.ModelProto = program.model_proto
    model.ir_version = IR_VERSION
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("value_info")
    onnx.checker.check_model(model, full_check=True)
    return model


def compact(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Return the model with its weights stored smaller, and the word for what they are rounded to.

    A large network's are bytes with one scale for each output channel, a quarter of the file; a small one's are in half
    precision. They become float32 again once, when onnxruntime loads the file, and everything is computed in float32:
    inference is as fast as before, and the accuracy of a file is that of the weights as they were rounded.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model)
    weights = [
        weight
        for weight in small.graph.initializer
        if weight.data_type == onnx.TensorProto.FLOAT
        and len(weight.dims) > 1
        and np.prod(weight.dims) >= COMPACTED_FROM
    ]
    halves = sum(np.prod(weight.dims) for weight in weights) < HALVES_BELOW
    restored: list[onnx.NodeProto] = []
    for weight in weights:
        restored += _in_half(weight) if halves else _in_bytes(weight, small.graph)
    nodes = [*restored, *small.graph.node]
    small.graph.ClearField("node")
    small.graph.node.extend(nodes)
    onnx.checker.check_model(small, full_check=True)
    return small, "half precision" if halves else "bytes"


def _in_half(weight: onnx.TensorProto) -> list[onnx.NodeProto]:
    """Round a weight to half precision where it is stored; return the nodes that make float32 of it."""
    name, numbers = weight.name, onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(numbers.astype(np.float16), f"{name}.half"))
    return [onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)]


def _in_bytes(weight: onnx.TensorProto, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Round a weight to bytes where it is stored, with scales beside; return the nodes that make float32 of both."""
    name, numbers = weight.name, onnx.numpy_helper.to_array(weight)
    largest = np.abs(numbers).max(axis=tuple(range(1, numbers.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    whole = np.round(numbers / scale).astype(np.int8)
    weight.CopyFrom(onnx.numpy_helper.from_array(whole, f"{name}.int8"))
    graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{name}.scale"))
    return [
        onnx.helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]),
    ]


def after_convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes behind the last convolution."""
    last = max(place for place, node in enumerate(model.graph.node) if node.op_type == "Conv")
    return [node.name for node in model.graph.node[last + 1 :]]


def describe(model: onnx.ModelProto, facts: dict[str, Any]) -> bytes:
    """Write facts into the model as `collagebench.<key>` (JSON values) and return the file's content."""
    onnx.helper.set_model_props(model, {f"collagebench.{key}": json.dumps(value) for key, value in facts.items()})
    return bytes(model.SerializeToString(deterministic=True))


def check(network: Network | Foreign, content: bytes, inputs: NDArray[Any], tolerance: float = TOLERANCE) -> float:
    """Compare the exported model with the network on inputs [batch, height, width, 3]; return the largest difference.

    Raises:
        ModelError: a logit differs by more than `tolerance` (so no class can that is not a tie), is no number, or is
            another one whenever the network is asked.
    """
    network.eval()
    with torch.no_grad():
        wanted = np.concatenate([network(torch.from_numpy(part)).numpy() for part in parts(inputs)])
        again = network(torch.from_numpy(inputs[:BATCH])).numpy()
    if not np.isfinite(wanted).all():
        raise ModelError("the network's logits are not all finite: check its weights, and --mean and --std")
    if np.abs(again - wanted[:BATCH]).max() > TOLERANCE * np.abs(wanted).max():
        raise ModelError(
            "asked twice about the same images, the network gave different logits; in eval mode it must not draw "
            "random numbers, as dropout does"
        )
    got = _ran(content, inputs)
    if got.shape != wanted.shape:
        raise ModelError(
            f"the exported model's logits are {got.shape}, the network's {wanted.shape}: the export is broken"
        )
    # Boxes are in pixels, and logits of others as large as they like: large ones may be off by more, in proportion.
    proportional = network.architecture.head == "detection" or isinstance(network, Foreign)
    unit = np.maximum(np.abs(wanted), 1) if proportional else 1.0
    difference = float((np.abs(got - wanted) / unit).max())
    if not difference <= tolerance:
        raise ModelError(
            f"the exported model differs from the network by {difference:.2g} in its logits: do not use it"
        )
    return difference


def tried(network: Network | Foreign) -> None:
    """Export a network and compare the file with it on one image and on several: before it is trained, to see that it
    can be exported then.

    Raises:
        ModelError: torch cannot export it, onnxruntime cannot run it, or `check` refuses the file.
    """
    content = describe(to_onnx(network), {})
    rng = np.random.default_rng(0)
    for images in (1, 8):
        noise = rng.integers(256, size=(images, *network.architecture.input)).astype(network.architecture.dtype)
        if len(got := _ran(content, noise)) != images:
            raise ModelError(
                f"for {images} images the exported model gives {len(got)} rows of logits: it would be broken"
            )
    check(network, content, noise, UNTRAINED)


def _ran(content: bytes, inputs: NDArray[Any]) -> NDArray[np.float32]:
    try:
        return answers(content, inputs)
    except Exception as error:  # whatever onnxruntime does not like
        raise ModelError(
            f"onnxruntime cannot run the exported model ({first_line(error)}); it must take any number of images"
        ) from None


def as_they_are(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return outputs that are the scores of classes already."""
    return outputs


def moved(
    whole: bytes,
    small: bytes,
    inputs: NDArray[Any],
    scores: Callable[[Any], NDArray[np.float32]] = as_they_are,
    skipped: int = 0,
) -> tuple[float, int, int]:
    """Return how far rounding the stored weights moves a model's logits, how many classes that changes, of how many.

    The first is the root of the mean squared difference, in standard deviations of the logits, without the first
    `skipped` numbers of each row (boxes and objectness). `scores` makes scores of classes of outputs.

    Raises:
        ModelError: it is more than ROUNDING.
    """
    exact, rounded = answers(whole, inputs), answers(small, inputs)
    logits = exact[..., skipped:]
    far = float(np.sqrt(np.mean((rounded[..., skipped:] - logits) ** 2)) / logits.std())
    if not far <= ROUNDING:
        raise ModelError(
            f"rounding the weights moves the logits by {far:.2g} of their standard deviation: do not use it"
        )
    changed = classes(scores(rounded)) != classes(scores(exact))
    return far, int(changed.sum()), changed.size


def answers(content: bytes, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits of a model file for inputs [batch, height, width, 3]."""
    runner = open_session(content)
    return np.concatenate([runner.run(["logits"], {"image": part})[0] for part in parts(inputs)])


def parts(inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Return inputs [n, height, width, 3] in batches that fit in memory beside all that a network makes of them."""
    return [inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH)]

"""Export of a trained network to one ONNX file, which plain onnxruntime serves and which contains its description."""

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
from collagebench.models.given import given_in
from collagebench.models.joined import joined, opset_of, raised
from collagebench.models.network import Network
from collagebench.onnx_session import open_session

OPSET = 18
IR_VERSION = 8  # onnxruntime reads both from version 1.17 on
TOLERANCE = 1e-3
"""The most that a logit of the file may differ from the network's; for boxes and foreign networks, relative to large
values."""
UNTRAINED = 0.1
"""The tolerance before training: random weights can make intermediate values so large that rounding shows."""
ROUNDING = 0.05
"""The most that rounding weights may move the logits, in standard deviations of the logits; more means a broken
file."""
BATCH = 50
"""Inputs in one call of a network."""
ALONE = 8
"""Inputs that are also asked about one by one."""
COMPACTED_FROM = 256
"""The fewest numbers in a weight that is rounded; rounding smaller weights would save nothing."""
HALVES_BELOW = 1_000_000
"""A network with fewer weights than this is stored in half precision, not in bytes: it would lose more accuracy and
save little."""


def to_onnx(network: Network | Foreign) -> onnx.ModelProto:
    """Export a network: input `image` [batch, height, width, 3], output `logits`, any batch size.

    Source lines and other traces of the exporting machine are removed.

    Raises:
        ModelError: torch cannot export it, or what is put behind its preprocessing does not fit there.
    """
    network.eval()
    found = given_in(network)
    if found is None:
        return _without_traces(_by_torch(network, OPSET), IR_VERSION)
    given, preprocessing = found
    raised(given, OPSET)
    before = _by_torch(Foreign(torch.nn.Identity(), preprocessing), opset_of(given.model))
    before.ir_version = IR_VERSION
    with torch.no_grad():
        classes = network(torch.zeros((1, *network.architecture.input))).shape[1]
    try:
        model = joined(before, given, classes, network.picked.tolist() if network.picks else None)
        return _without_traces(model, model.ir_version)
    except Exception as error:  # of onnx, whose errors have no common base class
        raise ModelError(f"no preprocessing can be put before {given.path} ({first_line(error)})") from None


def _by_torch(network: Network | Foreign, opset: int) -> onnx.ModelProto:
    """Export a network with torch."""
    example = torch.zeros((2, *network.architecture.input), dtype=getattr(torch, network.architecture.dtype))
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # failures fill screens there
        warnings.simplefilter("ignore")  # about the exporter's internals; `check` tests the result
        try:
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=opset,
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
    return model


def _without_traces(model: onnx.ModelProto, ir_version: int) -> onnx.ModelProto:
    """Remove traces of the exporting machine from a model, check it, and return it."""
    model.ir_version = ir_version
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("value_info")
    onnx.checker.check_model(model, full_check=True)
    return model


def compact(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Return the model with rounded weights, which take less space, and the name of the format.

    A large network's weights become bytes with one scale for each output channel, which makes the file a quarter as
    large; a small network's become half precision. onnxruntime converts them back to float32 once, when it loads the
    file, and computes in float32. So inference is as fast as before, and the file's accuracy is that of the rounded
    weights.
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
    """Round a weight to half precision in place; return the nodes that convert it to float32."""
    name, numbers = weight.name, onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(numbers.astype(np.float16), f"{name}.half"))
    return [onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)]


def _in_bytes(weight: onnx.TensorProto, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Round a weight to bytes in place and add its scales; return the nodes that convert both to float32."""
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
    """Return the names of the nodes after the last convolution."""
    last = max(place for place, node in enumerate(model.graph.node) if node.op_type == "Conv")
    return [node.name for node in model.graph.node[last + 1 :]]


def describe(model: onnx.ModelProto, facts: dict[str, Any]) -> bytes:
    """Write facts into the model as `collagebench.<key>` (JSON values) and return the file's content."""
    onnx.helper.set_model_props(model, {f"collagebench.{key}": json.dumps(value) for key, value in facts.items()})
    return bytes(model.SerializeToString(deterministic=True))


def check(network: Network | Foreign, content: bytes, inputs: NDArray[Any], tolerance: float = TOLERANCE) -> float:
    """Compare the exported model with the network on inputs [batch, height, width, 3]; return the largest difference.

    Raises:
        ModelError: a logit differs by more than `tolerance` (so that only ties can change the class), is not finite,
            differs from call to call of the network, or depends on the other inputs of a batch.
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
    alone, together = _ran(content, inputs[:ALONE], 1), got[:ALONE]  # in a run, batches have any size
    if alone.shape != together.shape or np.abs(alone - together).max() > TOLERANCE * max(float(np.abs(got).max()), 1):
        raise ModelError(
            "the network's answer for an image depends on the other images of its batch, as it does with "
            "BatchNorm2d(track_running_stats=False); in eval mode it must not"
        )
    # Boxes are in pixels, and foreign networks' logits may be large: for large values the tolerance is relative.
    proportional = network.architecture.head == "detection" or isinstance(network, Foreign)
    unit = np.maximum(np.abs(wanted), 1) if proportional else 1.0
    difference = float((np.abs(got - wanted) / unit).max())
    if not difference <= tolerance:
        raise ModelError(
            f"the exported model differs from the network by {difference:.2g} in its logits: do not use it"
        )
    return difference


def tried(network: Network | Foreign) -> None:
    """Check before training that a network can be exported: compare its file with it on one image and on several.

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


def _ran(content: bytes, inputs: NDArray[Any], batch: int = BATCH) -> NDArray[np.float32]:
    try:
        return answers(content, inputs, batch)
    except Exception as error:  # onnxruntime raises various exceptions
        raise ModelError(
            f"onnxruntime cannot run the exported model ({first_line(error)}); it must take any number of images"
        ) from None


def as_they_are(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return outputs that are scores of classes already."""
    return outputs


def moved(
    whole: bytes,
    small: bytes,
    inputs: NDArray[Any],
    scores: Callable[[Any], NDArray[np.float32]] = as_they_are,
    skipped: int = 0,
) -> tuple[float, int, int]:
    """Return how far rounding the weights moves a model's logits, how many classes it changes, and of how many.

    The first is the root mean squared difference, in standard deviations of the logits, without the first `skipped`
    numbers of each row (boxes and objectness). `scores` turns outputs into scores of classes.

    Raises:
        ModelError: the logits move by more than ROUNDING.
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


def answers(content: bytes, inputs: NDArray[Any], batch: int = BATCH) -> NDArray[np.float32]:
    """Return the logits of a model file for inputs [n, height, width, 3], asked about in batches."""
    runner = open_session(content)
    return np.concatenate([runner.run(["logits"], {"image": part})[0] for part in parts(inputs, batch)])


def parts(inputs: NDArray[Any], batch: int = BATCH) -> list[NDArray[Any]]:
    """Split inputs [n, height, width, 3] into batches, by default of as many as fit in memory."""
    return [inputs[start : start + batch] for start in range(0, len(inputs), batch)]

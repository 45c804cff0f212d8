"""The preprocessing and a network that is given as an ONNX file, put together in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from collagebench.errors import ModelError, first_line
from collagebench.models.given import GREY, TINY, Given


def joined(before: onnx.ModelProto, given: Given, classes: int, picked: Sequence[int] | None = None) -> onnx.ModelProto:
    """Return one model: the preprocessing `before`, from `image` to normalised images, then the given network.

    Its output is `logits`, float32 [batch, classes]; if `picked` is given, only those, in this order. Both must be of
    one opset (`raised`).
    """
    front, back = onnx.compose.add_prefix(before, "pixels/"), onnx.compose.add_prefix(given.model, "given/")
    (image,), normalised = front.graph.input, front.graph.output[0].name
    for node in front.graph.node:
        node.input[:] = ["image" if name == image.name else name for name in node.input]
    image.name = "image"
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if given.grey:
        steps += [("Mul", ["between/grey"], {}), ("ReduceSum", ["between/channels"], {"keepdims": 1})]
    if given.pixels:
        steps += [("Mul", ["between/white"], {}), ("Round", [], {})]
    if given.channels_last:
        steps.append(("Transpose", [], {"perm": [0, 2, 3, 1]}))
    if given.takes is not np.float32:
        steps.append(("Cast", [], {"to": helper.np_dtype_to_tensor_dtype(np.dtype(given.takes))}))
    between = _chain(steps, normalised, f"given/{given.input}", "between/")
    steps = [("Cast", [], {"to": TensorProto.FLOAT}), ("Flatten", [], {"axis": 1})]
    if picked is not None:
        steps.append(("Gather", ["after/picked"], {"axis": 1}))
    if given.probabilities:
        steps += [("Max", ["after/tiny"], {}), ("Log", [], {})]
    after = _chain(steps, f"given/{given.output}", "logits", "after/")
    numbers = {
        "between/grey": np.array(GREY, np.float32).reshape(3, 1, 1),
        "between/channels": np.array([1]),
        "between/white": np.array(255, np.float32),
        "after/picked": np.array(picked or [0]),
        "after/tiny": np.array(TINY, np.float32),
    }
    used = {name for node in (*between, *after) for name in node.input}
    constants = [numpy_helper.from_array(value, name) for name, value in numbers.items() if name in used]
    graph = helper.make_graph(
        [*front.graph.node, *between, *back.graph.node, *after],
        "classifier",
        [image],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [*front.graph.initializer, *back.graph.initializer, *constants],
    )
    graph.sparse_initializer.extend(back.graph.sparse_initializer)
    domains = {one.domain: one for one in (*front.opset_import, *back.opset_import)}
    return helper.make_model(
        graph,
        opset_imports=list(domains.values()),
        functions=[*front.functions, *back.functions],
        ir_version=max(before.ir_version, given.model.ir_version),
    )


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a model uses."""
    return max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)


def raised(given: Given, opset: int) -> None:
    """Bring the given network to `opset`, unless its own is as new.

    Raises:
        ModelError: an operator of it cannot be brought there.
    """
    if opset_of(given.model) >= opset:
        return
    try:
        given.model = onnx.version_converter.convert_version(given.model, opset)
    except Exception as error:  # of C++, without a common base class
        raise ModelError(
            f"{given.path} is of opset {opset_of(given.model)} and cannot be brought to {opset} ({first_line(error)}); "
            f"export it again with opset {opset}"
        ) from None


def _chain(steps: list[tuple[str, list[str], dict[str, Any]]], start: str, end: str, prefix: str) -> list[Any]:
    """Return nodes from value `start` to `end`, one for each step: an operator, further inputs and attributes."""
    nodes, name = [], start
    for place, (operator, more, attributes) in enumerate(steps or [("Identity", [], {})]):
        following = end if place >= len(steps) - 1 else f"{prefix}{place}"
        nodes.append(helper.make_node(operator, [name, *more], [following], f"{prefix}{operator}{place}", **attributes))
        name = following
    return nodes

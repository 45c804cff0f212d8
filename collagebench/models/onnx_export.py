"""From a trained network to one ONNX file that plain onnxruntime serves, with what it is written inside."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from collagebench.errors import ModelError
from collagebench.models.network import Network

OPSET = 18
IR_VERSION = 8  # both are what onnxruntime 1.17 and newer read
TOLERANCE = 1e-3


def to_onnx(network: Network) -> onnx.ModelProto:
    """Export a network: input `image` uint8 [batch, height, width, 3], output `logits`, any batch size.

    Source lines and other traces of the machine that exported it are removed.
    """
    network.eval()
    example = torch.zeros((2, *network.architecture.input), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own innards; what it made is checked by `check`
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
    model: onnx.ModelProto = program.model_proto
    model.ir_version = IR_VERSION
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("value_info")
    onnx.checker.check_model(model, full_check=True)
    return model


def describe(model: onnx.ModelProto, facts: dict[str, Any]) -> bytes:
    """Write facts into the model as `collagebench.<key>` (JSON values) and return the file's content."""
    onnx.helper.set_model_props(model, {f"collagebench.{key}": json.dumps(value) for key, value in facts.items()})
    return bytes(model.SerializeToString(deterministic=True))


def session(content: bytes) -> onnxruntime.InferenceSession:
    """Load a model as the workers do: one thread, which does not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def check(network: Network, content: bytes, images: NDArray[np.uint8]) -> float:
    """Compare the exported model with the network on inputs [batch, height, width, 3]; return the largest difference.

    Raises:
        ModelError: the logits differ by more than 0.001, or a class differs that is no tie.
    """
    with torch.no_grad():
        wanted = network.eval()(torch.from_numpy(images)).numpy()
    got = session(content).run(["logits"], {"image": images})[0]
    if got.shape != wanted.shape:
        raise ModelError(
            f"the exported model's logits are {got.shape}, the network's {wanted.shape}: the export is broken"
        )
    difference = float(np.abs(got - wanted).max())
    best = np.take_along_axis(wanted, got.argmax(-1)[..., None], -1)[..., 0]
    if difference > TOLERANCE or (wanted.max(-1) - best > 2 * TOLERANCE).any():
        raise ModelError(
            f"the exported model differs from the network by {difference:.2g} in its logits: do not use it"
        )
    return difference

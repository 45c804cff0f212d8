"""Classifiers that are given as ONNX files: read, asked as they are, and counted.

Such a file takes images, [batch, 3, height, width] or [batch, height, width, 3], or one channel in place of three.
They are normalised numbers, or pixels if its input is uint8. It gives one number for each class. If its batch size is
fixed to 1, it is made free. Numbers that a softmax made become their logarithms, which are logits of the same
probabilities: what learns from logits, or adds them up, needs those.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from collagebench.errors import ModelError, first_line
from collagebench.models.foreign import Foreign, Preprocessing
from collagebench.onnx_session import open_session

TINY = 1e-30
"""The least probability whose logarithm is taken."""
KEEPS = ("Identity", "Cast", "Flatten", "Reshape", "Squeeze")
"""Operators that may follow a softmax and do not change its numbers."""
QUANTISED = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger")
"""Operators of models that are quantised already."""
WEIGHTS = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3, "ConvTranspose": 1}
"""The place of the weights among the inputs of convolutions."""
PRODUCTS = {"Gemm": 0, "FusedGemm": 0, "MatMul": 0, "FusedMatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0}
"""The place of the first matrix among the inputs of matrix products."""
NUMBERS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8, TensorProto.UINT8)
"""Types of weights; others hold shapes and indices."""
TAKES: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64,
    TensorProto.UINT8: np.uint8,
}  # fmt: skip
"""What its input may hold."""
GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luma of ITU-R BT.601, as of Pillow's and torchvision's greyscale images."""
ONE_AT_A_TIME = "takes one image at a time: export it again, with a batch size that is free (dynamic)"
ALIKE = 1e-3
"""The most that making the batch size free may change the answer for one image, relative to the largest number."""


class Given(nn.Module):
    """The network of an ONNX file, run by onnxruntime; for torch, it has no parameters."""

    def __init__(self, path: Path, channels: int | None = None) -> None:
        """Read the file, and the files beside it that hold its weights.

        `channels` is how many it takes, if the file leaves that free; None for three.

        Raises:
            ModelError: it cannot be read or run, or does not look like a classifier of images.
        """
        super().__init__()
        self.path = path
        self.model = _read(path)
        graph = self.model.graph
        held = {one.name for one in graph.initializer}
        inputs = [one for one in graph.input if one.name not in held]
        if len(inputs) != 1 or not graph.output:
            raise ModelError(
                f"{path} has {len(inputs)} inputs ({', '.join(one.name for one in inputs)}); a classifier has one, the "
                "images"
            )
        self.input, self.output = inputs[0].name, graph.output[0].name
        dims, self.channels_last, self.takes = _taken(inputs[0].type.tensor_type, path, channels)
        self.grey = dims[3 if self.channels_last else 1] == 1
        """Whether it takes one channel."""
        height, width = dims[1:3] if self.channels_last else dims[2:]
        self.size = (height, width) if height and width else None
        """Height and width that it takes, in pixels; None if they are free."""
        del graph.output[1:]
        self.probabilities = _ends_in_softmax(graph, self.output)
        self.quantised = any(node.op_type in QUANTISED for node in graph.node)
        content = _serialised(self.model, path)
        self.digest = hashlib.sha256(content).hexdigest()
        self.session = self._opened(content)
        self.model.ir_version = max(self.model.ir_version, 4)  # before, weights had to be inputs as well
        alone = self.session if dims[0] == 1 and _free_reshapes(graph, all_of_them=self.size is not None) else None
        for one in (inputs[0], graph.output[0]):
            if one.type.tensor_type.shape.dim:
                one.type.tensor_type.shape.dim[0].dim_param = "batch"
        graph.ClearField("value_info")  # sizes inferred from the fixed batch size
        self.session = self._opened(_serialised(self.model, path))
        if alone is not None and self.size is not None:
            image = self._as_it_takes(torch.rand((1, 3, *self.size), generator=torch.Generator().manual_seed(0)))
            try:
                before = self._asked(image, alone)
            except Exception as error:
                raise ModelError(f"onnxruntime cannot run {path} ({first_line(error)})") from None
            try:
                now = self._asked(image)
            except Exception:
                raise ModelError(f"{path} {ONE_AT_A_TIME}") from None
            if before.shape != now.shape or np.abs(before - now).max() > ALIKE * max(float(np.abs(before).max()), 1):
                raise ModelError(f"{path} {ONE_AT_A_TIME}")

    @property
    def pixels(self) -> bool:
        """Whether it takes pixels, uint8, which it normalises itself; it is given them divided by 255."""
        return self.takes is np.uint8

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised images [batch, 3, height, width]: float32 logits [batch, classes].

        Raises:
            ModelError: it can only take one image at a time.
            Exception: whatever onnxruntime raises.
        """
        try:
            found = self._asked(self._as_it_takes(x))
        except Exception:
            if len(x) > 1:
                self._asked(self._as_it_takes(x[:1]))
                raise ModelError(f"it {ONE_AT_A_TIME}") from None
            raise
        logits = torch.from_numpy(found.astype(np.float32))
        if logits.ndim > 2 and set(logits.shape[2:]) == {1}:
            logits = logits.flatten(1)
        return logits.clamp(min=TINY).log() if self.probabilities else logits

    def parameters_held(self) -> int:
        """Count the numbers in its weights, those of normalisations included."""
        constants = [_constant(node) for node in self.model.graph.node if node.op_type == "Constant"]
        weights = [*self.model.graph.initializer, *(one for one in constants if one is not None and one.dims)]
        return sum(math.prod(one.dims) for one in weights if one.data_type in NUMBERS)

    def macs(self, size: tuple[int, int]) -> int:
        """Count the multiply-accumulates of all convolutions and matrix products on one image of `size` pixels.

        Those inside of loops and branches are not counted.
        """
        graph = self.model.graph
        fixed = {one.name: tuple(one.dims) for one in graph.initializer}
        nodes = [node for node in graph.node if node.op_type in WEIGHTS or node.op_type in PRODUCTS]
        asked = {
            name
            for node in nodes
            for name in (node.output[0], *node.input)
            if name and name not in fixed and name != self.input
        }
        shown = onnx.ModelProto()
        shown.CopyFrom(self.model)
        shown.graph.ClearField("output")
        shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(asked))
        image = self._as_it_takes(torch.zeros((1, 3, *size)))
        shapes: dict[str, tuple[int, ...]] = {**fixed, self.input: image.shape}
        if asked:
            session = self._opened(_serialised(shown, self.path))
            for name, value in zip(sorted(asked), session.run(sorted(asked), {self.input: image}), strict=True):
                shapes[name] = value.shape
        return sum(_macs(node, shapes) for node in nodes)

    def _opened(self, content: bytes) -> Any:
        try:
            return open_session(content, threads=0)
        except Exception as error:  # onnxruntime raises various exceptions
            raise ModelError(f"onnxruntime cannot load {self.path} ({first_line(error)})") from None

    def _asked(self, images: Any, session: Any = None) -> Any:
        from onnxruntime import RunOptions

        quietly = RunOptions()
        quietly.log_severity_level = 4  # what fails is said in a sentence
        return (session or self.session).run([self.output], {self.input: images}, quietly)[0]

    def _as_it_takes(self, x: Tensor) -> Any:
        x = (x * torch.tensor(GREY).view(3, 1, 1)).sum(1, keepdim=True) if self.grey else x
        x = (x * 255).round() if self.pixels else x
        x = x.permute(0, 2, 3, 1) if self.channels_last else x
        return np.ascontiguousarray(x.numpy(), dtype=self.takes)


def given_in(network: nn.Module) -> tuple[Given, Preprocessing] | None:
    """Return what a network wraps, and its preprocessing, if that was given as a file."""
    if isinstance(network, Foreign) and isinstance(network.network, Given):
        return network.network, network.architecture
    return None


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except OSError as error:
        raise ModelError(f"cannot read the model {path} ({error.strerror or first_line(error)})") from None
    except Exception as error:  # of protobuf and of the checker
        raise ModelError(f"{path} is no ONNX model, or a damaged one ({first_line(error)})") from None
    return model


def _taken(tensor: Any, path: Path, channels: int | None) -> tuple[list[int | None], bool, type[np.generic]]:
    """Return an input's dimensions, None for free ones, whether channels come last, and its type of numbers.

    If the number of channels is free, as in the exports of Hugging Face, it is that of `channels`, or else three. They
    come first unless only the last dimension may be theirs.

    Raises:
        ModelError: it takes no images.
    """
    dims = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    places = [place for number in (3, 1) for place in (1, 3) if dims[place : place + 1] == [number]]
    if len(dims) == 4 and not places and channels in (None, 1, 3):
        places = [1] if dims[1] is None else [3] if dims[3] is None and dims[2] is not None else []
        dims = [channels or 3 if [place] == places else dim for place, dim in enumerate(dims)]
    if len(dims) != 4 or not places:
        said = ", ".join("?" if dim is None else str(dim) for dim in dims)
        raise ModelError(
            f"{path} takes [{said}], neither [batch, channels, height, width] nor [batch, height, width, channels] "
            "with three channels or one: export it with such an input"
        )
    if tensor.elem_type not in TAKES:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelError(f"{path} takes {kind}; export it so that it takes float32, or pixels as uint8")
    return dims, places[0] == 3, TAKES[tensor.elem_type]


def _serialised(model: onnx.ModelProto, path: Path) -> bytes:
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's way to say that it is larger than 2 GB depends on its version
        raise ModelError(f"{path} cannot be held in one file with its weights ({first_line(error)})") from None


def _ends_in_softmax(graph: onnx.GraphProto, name: str) -> bool:
    """Tell whether an output comes from a softmax, but for operators that do not change its numbers."""
    made = {output: node for node in graph.node for output in node.output}
    while name in made and made[name].op_type in KEEPS:
        name = made[name].input[0]
    return name in made and made[name].op_type == "Softmax"


def _free_reshapes(graph: onnx.GraphProto, all_of_them: bool) -> int:
    """Free the first dimension of constant shapes that begin with 1; return how many.

    It becomes whatever is left over. If another one does, it becomes that of the input; this is only done for
    `all_of_them`, as it would change what does not begin with the batch.
    """
    held = {one.name: one for one in graph.initializer}
    held |= {
        node.output[0]: one
        for node in graph.node
        if node.op_type == "Constant" and (one := _constant(node)) is not None
    }
    changed = 0
    for node in graph.node:
        if node.op_type != "Reshape" or len(node.input) < 2 or node.input[1] not in held or node.input[0] in held:
            continue
        shape = numpy_helper.to_array(held[node.input[1]])
        if len(shape) < 2 or shape[0] != 1 or (-1 in shape and not all_of_them):
            continue
        name = f"{node.output[0]}/shape"
        graph.initializer.append(numpy_helper.from_array(np.array([0 if -1 in shape else -1, *shape[1:]]), name))
        node.input[1] = name
        changed += 1
    return changed


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    return next((one.t for one in node.attribute if one.name == "value"), None)


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type in PRODUCTS:
        first = shapes[node.input[0]]
        turned = any(one.name == "transA" and one.i for one in node.attribute)
        return math.prod(shapes[node.output[0]]) * first[-2 if turned else -1]
    weights = shapes[node.input[WEIGHTS[node.op_type]]]
    positions = shapes[node.input[0]] if node.op_type == "ConvTranspose" else shapes[node.output[0]]
    return math.prod(positions) * math.prod(weights[1:])

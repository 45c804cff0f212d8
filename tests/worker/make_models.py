"""Writes the tiny ONNX models beside it that the tests serve; needs the onnx package: `python make_models.py`.

Both take uint8 [batch, 4, 4, 3] and give the sum of each channel as float32 [batch, 3]; `misnamed.onnx` calls its input
`x`, which no worker accepts.
"""

from pathlib import Path

from onnx import TensorProto, checker, helper, save


def sums(name: str) -> object:
    """Return the model with its input called `name`."""
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    nodes = [
        helper.make_node("Cast", [name], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats", "axes"], ["logits"], keepdims=0),
    ]
    image = helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", 4, 4, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "sums", [image], [logits], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    return model


if __name__ == "__main__":
    for file, name in {"sums.onnx": "image", "misnamed.onnx": "x"}.items():
        save(sums(name), str(Path(__file__).with_name(file)))

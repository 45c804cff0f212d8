"""Writes the tiny linear ONNX models that tests measure into its own directory; needs the onnx package.

They add up the channels of 4x4 images of red, green and blue things, so the largest logit is the right colour.

    colours.onnx   uint8 [batch, 4, 4, 3] to [batch, 3]: a single
    coded.onnx     the same for float32: a coded model, and the exact parity model of an addition
    halves.onnx    twice the sums: the parity model of images at half their width
    cells.onnx     uint8 [batch, 8, 8, 3] to [batch, 4, 3]: a 2x2 collage that is always wrong in its last cell
"""

from pathlib import Path

from onnx import TensorProto, checker, helper, save


def model(kind: int, factor: float, grid: int = 1) -> object:
    """Return a model of `grid` cells along a side, whose sums are multiplied by `factor`."""
    signs = [[1.0] * 3] * (grid**2 - 1) + [[-1.0 if grid > 1 else 1.0] * 3]
    constants = [
        helper.make_tensor("split", TensorProto.INT64, [6], [-1, grid, 4, grid, 4, 3]),
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 4]),
        helper.make_tensor(
            "shape", TensorProto.INT64, [3 if grid > 1 else 2], [-1, grid**2, 3] if grid > 1 else [-1, 3]
        ),
        helper.make_tensor(
            "factors", TensorProto.FLOAT, [grid**2, 3] if grid > 1 else [3], [factor * s for row in signs for s in row]
        ),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "split"], ["tiles"]),
        helper.make_node("ReduceSum", ["tiles", "axes"], ["sums"], keepdims=0),
        helper.make_node("Reshape", ["sums", "shape"], ["rows"]),
        helper.make_node("Mul", ["rows", "factors"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", kind, ["batch", 4 * grid, 4 * grid, 3])
    answers = ["batch", grid**2, 3] if grid > 1 else ["batch", 3]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, answers)
    graph = helper.make_graph(nodes, "sums", [image], [logits], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(made)
    return made


if __name__ == "__main__":
    for name, made in {
        "colours": model(TensorProto.UINT8, 1.0),
        "coded": model(TensorProto.FLOAT, 1.0),
        "halves": model(TensorProto.UINT8, 2.0),
        "cells": model(TensorProto.UINT8, 1.0, grid=2),
    }.items():
        save(made, str(Path(__file__).with_name(f"{name}.onnx")))

"""ONNX Runtime as every model here runs on it.

Its threads never spin: with its defaults ten workers on a few cores take the time slices from each other, which looks
like stragglers that nobody injected.
"""

from __future__ import annotations

from typing import Any

ONNX_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


def open_session(content: bytes, threads: int = 1) -> Any:
    """Load a model on so many threads, 0 for one a core; raises what onnxruntime does, whose errors share no base."""
    import onnxruntime  # heavy: only where models really run

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

"""ONNX Runtime as every model here runs on it.

Its threads never spin: with its defaults ten workers on a few cores take the time slices from each other, which looks
like stragglers that nobody injected.
"""

from __future__ import annotations

from typing import Any

from collagebench.errors import MissingExtra

ONNX_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


def open_session(content: bytes, threads: int = 1) -> Any:
    """Load a model on so many threads, 0 for one a core; raises what onnxruntime does, whose errors share no base.

    Raises:
        MissingExtra: there is no onnxruntime, or it cannot be loaded.
    """
    try:
        import onnxruntime  # heavy: only where models really run
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # it came while the library was being loaded
            raise error.__cause__ from None
        why = (str(error).splitlines() or ["import failed"])[0]
        raise MissingExtra(
            f"onnxruntime cannot be loaded ({why}): install it again, or raise `ulimit -v` if memory is short"
        ) from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

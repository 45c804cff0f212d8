"""ONNX Runtime sessions, with the settings for every model.

Threads do not spin while they wait. With the default, ten workers on a few cores would take time slices from each
other, which looks like stragglers that were not injected.
"""

from __future__ import annotations

from typing import Any

from collagebench.errors import MissingExtra, first_line

ONNX_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


def open_session(content: bytes, threads: int = 1) -> Any:
    """Load a model to run on `threads` threads, 0 for one per core.

    Raises:
        MissingExtra: onnxruntime is not installed, or cannot be loaded.
        Exception: whatever onnxruntime raises, as its errors have no common base class.
    """
    try:
        import onnxruntime  # slow to import: only where models really run
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Ctrl-C while the library was being loaded
            raise error.__cause__ from None
        raise MissingExtra(
            f"onnxruntime cannot be loaded ({first_line(error)}): install it again, or raise `ulimit -v` if "
            "memory is short"
        ) from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

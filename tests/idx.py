"""Files of bytes in the format of MNIST."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def idx(path: Path, values: np.ndarray) -> None:
    """Write an array of bytes in the format of MNIST."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())

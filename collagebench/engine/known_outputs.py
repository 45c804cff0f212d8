"""A cache of the outputs of single models, in the user's cache directory.

The output of a single depends only on its model and the image. The keys are the model's sha256 and the image's content,
so no entry can be out of date. There is one file for each model. A process replaces the whole file by its old content
plus the new outputs; if two processes do so at the same time, some outputs are lost and will be computed again. The
cache is optional: a damaged file counts as empty, and a directory that cannot be written is not an error.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collagebench.whole import write_whole
from collagebench.workload.public import CACHE
from collagebench.zoo import Model

MOST_BYTES = 1 << 28
"""The largest size of one model's outputs; more are not stored."""

Outputs = Mapping[bytes, NDArray[np.float32]]
"""A model's outputs, [1, classes], by the digest of the image."""


def digest(image: NDArray[np.uint8]) -> bytes:
    """Return a digest of an image's shape and content, 16 bytes."""
    return blake2b(np.ascontiguousarray(image).data, digest_size=16, salt=repr(image.shape).encode()[:16]).digest()


def kept(model: Model) -> dict[bytes, NDArray[np.float32]]:
    """Return the stored outputs of a model, read-only."""
    try:
        with _path(model).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            digests, outputs = file["digests"], file["outputs"]
        if digests.shape != (len(outputs), 16) or outputs.shape[1:] != tuple(model.output):
            return {}
        if digests.dtype != np.uint8 or outputs.dtype != np.float32:
            return {}
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return {}
    outputs.flags.writeable = False
    return {each.tobytes(): output[np.newaxis] for each, output in zip(digests, outputs, strict=True)}


def keep(model: Model, new: Outputs) -> None:
    """Add outputs to those stored for a model, unless they become too large."""
    known = {**kept(model), **new}
    outputs = np.concatenate(list(known.values()))
    if outputs.nbytes > MOST_BYTES:
        return
    digests = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, 16)
    path = _path(model)
    archive = io.BytesIO()
    np.savez(archive, digests=digests, outputs=outputs)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, archive.getvalue())


def _path(model: Model) -> Path:
    return Path(CACHE).expanduser() / "outputs" / f"{model.sha256}.npz"

"""What single models answered to images, kept in the user's cache directory from one command to the next.

The output of a single depends on its model and on the image alone. It is found again by the model's sha256 and the
image's content, so nothing that is found is out of date. There is one file for each model. Of several processes each
replaces it whole, by what it finds there and what it has computed itself; what two of them lose in between is computed
again. The cache is a convenience: a file that is damaged counts as empty, and a directory that cannot be written is no
error.
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
"""Of outputs of one model; more are not kept."""

Outputs = Mapping[bytes, NDArray[np.float32]]
"""What a model answers, [1, classes], by the digest of the image."""


def digest(image: NDArray[np.uint8]) -> bytes:
    """Return 16 bytes that stand for an image's shape and content."""
    return blake2b(np.ascontiguousarray(image).data, digest_size=16, salt=repr(image.shape).encode()[:16]).digest()


def kept(model: Model) -> dict[bytes, NDArray[np.float32]]:
    """Return what is known of a model."""
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
    """Add to what is known of a model."""
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

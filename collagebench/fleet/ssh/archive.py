"""The worker as one file: a zip archive that a Python interpreter runs. Building it is reproducible to the byte.

It contains the modules of this package that a worker imports. Their dependencies, such as NumPy, must be on the host.
"""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

import collagebench

PARTS = ("__init__.py", "errors.py", "onnx_session.py", "worker/*.py", "stragglers/*.py")
"""The files of the package that a worker needs."""
MAIN = "from collagebench.worker.forkserver import main\n\nmain()\n"
NEEDED = {"grpcio": "1.76", "numpy": "1.24", "open-inference-grpc": "2.0", "protobuf": "5"}
"""Packages that every worker needs, and their minimum versions."""
COMPUTING = {"onnxruntime": "1.17"}
"""Further packages of workers that run models."""


@cache
def archive() -> bytes:
    """Return the content of the archive."""
    package = Path(collagebench.__file__).parent
    files = sorted(path for part in PARTS for path in package.glob(part))
    contents = {f"collagebench/{path.relative_to(package).as_posix()}": path.read_bytes() for path in files}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {"__main__.py": MAIN.encode(), **contents}.items():
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # a bare ZipInfo is dated 1980
    return out.getvalue()

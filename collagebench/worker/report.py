"""The report that a worker sends once: that it is ready, or why it cannot serve."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from collagebench import __version__
from collagebench.errors import CollagebenchError, ModelError


def ready(models: Mapping[str, Any], compute: str, **where: Any) -> dict[str, Any]:
    """Return the report of a worker that serves these models, hosted or emulated; `where` holds its address."""
    packages = ["grpcio", "numpy"] + (["onnxruntime"] if compute == "real" else [])
    versions = {name: version(name) for name in packages}
    return {
        "event": "ready",
        "pid": os.getpid(),
        **where,
        "sha256": {name: model.sha256 for name, model in models.items() if model.sha256 is not None},
        "versions": {"collagebench": __version__, "python": platform.python_version(), **versions},
    }


def failed(error: CollagebenchError | str) -> dict[str, Any]:
    """Return the report of a worker that cannot serve, with the reason."""
    kind = "model" if isinstance(error, ModelError) else "fleet"
    return {"event": "failed", "kind": kind, "message": str(error)}

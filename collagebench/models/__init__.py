"""Torch networks and their export; importing this package itself imports no torch."""

from __future__ import annotations

import importlib.util

from collagebench.errors import MissingExtra


def require_torch() -> None:
    """Check that the packages that training and export need are installed.

    Raises:
        MissingExtra: torch, onnx or onnxscript is missing.
    """
    missing = [name for name in ("torch", "onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"training and export need {', '.join(missing)}: pip install 'collagebench[train]'")

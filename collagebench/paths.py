"""Locations of files that are not code, in a source checkout and in an installed package; absolute paths."""

from __future__ import annotations

import os
from pathlib import Path


def profiles_dir() -> Path:
    """Return the directory of the shipped profiles.

    In a wheel it is inside the package; in a source checkout (and an editable install) it is beside the package.
    """
    package = Path(__file__).parent
    installed = package / "profiles"
    return installed if installed.is_dir() else package.parent / "profiles"


def resolved(path: Path) -> Path:
    """Return the absolute path without links; unlike `Path.resolve`, that of a link that leads to itself, too."""
    return Path(os.path.realpath(path))

"""Locations of files that are not code, in a source checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path


def profiles_dir() -> Path:
    """Return the directory of the shipped profiles.

    In a wheel it is inside the package; in a source checkout (and an editable install) it is beside the package.
    """
    package = Path(__file__).parent
    installed = package / "profiles"
    return installed if installed.is_dir() else package.parent / "profiles"

"""Where the files that are not code lie, in a source checkout and in an installed package alike."""

from __future__ import annotations

from pathlib import Path


def profiles_dir() -> Path:
    """Return the directory of the shipped profiles.

    A wheel carries it inside the package; a source checkout (and an editable install) has it beside the package.
    """
    package = Path(__file__).parent
    installed = package / "profiles"
    return installed if installed.is_dir() else package.parent / "profiles"

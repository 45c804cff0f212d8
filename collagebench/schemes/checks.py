"""Checks of options that several schemes share."""

from __future__ import annotations

from collagebench.errors import UsageError


def check_seconds(**options: float | None) -> None:
    """Check that options, given by their Python names, are None or finite seconds from 0 up; else raise UsageError."""
    for name, seconds in options.items():
        if seconds is not None and not 0 <= seconds < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')} must be a number of seconds from 0 up, not {seconds}")


def check_count(least: int, most: int | None = None, **options: int | None) -> None:
    """Check that options, given by their Python names, are None or from `least` to `most`; else raise UsageError."""
    for name, count in options.items():
        if count is not None and (count < least or (most is not None and count > most)):
            wanted = f"{least} or more" if most is None else f"between {least} and {most}"
            raise UsageError(f"--{name.replace('_', '-')} must be {wanted}, not {count}")

"""What several schemes check of their options."""

from __future__ import annotations

from collagebench.errors import UsageError


def check_seconds(**options: float | None) -> None:
    """Raise a UsageError for an option, by its Python name, that is neither None nor a number of seconds from 0 up."""
    for name, seconds in options.items():
        if seconds is not None and not 0 <= seconds < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')} must be a number of seconds from 0 up, not {seconds}")


def check_count(least: int, most: int | None = None, **options: int | None) -> None:
    """Raise a UsageError for an option, by its Python name, that is neither None nor from `least` to `most`."""
    for name, count in options.items():
        if count is not None and (count < least or (most is not None and count > most)):
            wanted = f"{least} or more" if most is None else f"between {least} and {most}"
            raise UsageError(f"--{name.replace('_', '-')} must be {wanted}, not {count}")

"""Claims on a directory that end with the process: a lock, and room on its disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from collagebench.errors import OutputError


def locked(directory: Path, wait: bool = False) -> int | None:
    """Lock a directory until the returned descriptor is closed or the process ends; None without locks.

    Raises:
        OutputError: another process holds the lock; with `wait`, its end is waited for.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputError(f"another process is writing to {directory}: wait for it to end, or stop it") from None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def held(directory: Path, size: int) -> int | None:
    """Reserve `size` bytes on disk until the returned descriptor is closed or the process ends; None on failure.

    They belong to a file without a name, or with one that is removed at once, so nothing is left behind.
    """
    descriptor = None
    try:
        descriptor = _nameless(directory)
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError):  # no such call, or no room: then the first table fails, too
        let_go(descriptor)
        return None
    return descriptor


def _nameless(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_WRONLY)
    except (AttributeError, OSError):  # a system, or a file system, without such files
        descriptor, name = tempfile.mkstemp(dir=directory)
        os.unlink(name)
        return descriptor


def let_go(descriptor: int | None) -> None:
    """Release what `locked` or `held` returned."""
    if descriptor is not None:
        os.close(descriptor)

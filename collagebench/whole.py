"""Atomic writing of files: a reader finds the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: write a temporary file beside it, and rename that once it is on the disk.

    So neither a full disk nor a crash of the process or the machine leaves a partial file under that name. If several
    processes write it at once, the last one wins. A link stays a link, and a file keeps its permissions. A file that is
    not regular (a pipe, a device) is written directly.

    Raises:
        OSError: it cannot be written, or is write-protected; an existing file is unchanged.
    """
    if path.exists() and not path.is_file():  # for example /dev/stdout, which may lead to a nameless pipe
        path.write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "Permission denied", str(path))
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            with contextlib.suppress(OSError):  # no such file yet, or a file system without permissions
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def leftovers(path: Path) -> Iterator[Path]:
    """Yield the temporary files of processes that were killed while they wrote a file."""
    return path.parent.glob(f".{path.name}.*.partial")

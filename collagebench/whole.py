"""Files that are written whole or not at all: whoever reads one finds the old or the new, and never a part of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file through another beside it, which takes its name once it is on the disk.

    So neither a full disk nor a sudden end of the process or the machine leaves a part under that name, and of several
    processes that write it at once the last one wins. A link stays one, and a file has the permissions that it had.
    What is no ordinary file (a pipe, a device) is written directly.

    Raises:
        OSError: it cannot be written, or is protected from it; a file that was there before is as it was.
    """
    if path.exists() and not path.is_file():  # where /dev/stdout leads to a pipe, that has no name
        path.write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "Permission denied", str(path))
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            with contextlib.suppress(OSError):  # there is none yet, or the file system has no permissions
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def leftovers(path: Path) -> Iterator[Path]:
    """Yield what processes have left beside a file that were killed while they wrote it."""
    return path.parent.glob(f".{path.name}.*.partial")

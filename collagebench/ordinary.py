"""A check for files that are read to their end: a device has no end, and a pipe may wait for a writer forever."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def ordinary(path: Path) -> Path:
    """Return a path if it leads to a regular file, also through links, or to a directory, which fails when it is read.

    Raises:
        OSError: it leads to something else, or does not exist.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path

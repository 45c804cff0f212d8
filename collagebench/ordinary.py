"""Files that are read to their end: a device has none, and a pipe only when somebody has written to it."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def ordinary(path: Path) -> Path:
    """Return a path that leads to an ordinary file, through links or without; or to a directory, which nobody can read.

    Raises:
        OSError: it leads to something else, or nowhere.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path

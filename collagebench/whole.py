"""Atomic writing of files: a reader finds the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: write a temporary file beside it, and rename that once it is on the disk.

    So neither a full disk nor a crash of the process or the machine leaves a partial file under that name. If several
    processes write it at once, the last one wins. A link stays a link, and a file keeps its permissions. A file that is
    not regular (a pipe, a device) is written directly.

    Raises:
        OSError: it cannot be written, or is write-protected; an existing file is unchanged.
    """
    with _ready(path, content) as rename:
        rename()


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together like `write_whole`: no file is replaced before all of them are on the disk.

    Raises:
        OSError: one cannot be written, whose path is its `filename`; existing files are unchanged.
    """
    with contextlib.ExitStack() as stack:
        renames = []
        for path, content in files.items():
            try:
                renames.append(stack.enter_context(_ready(path, content)))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
        for rename in renames:
            rename()


@contextlib.contextmanager
def _ready(path: Path, content: bytes) -> Iterator[Callable[[], object]]:
    """Write a temporary file; yield a function that gives it the name of `path`."""
    if path.exists() and not path.is_file():  # for example /dev/stdout, which may lead to a nameless pipe
        yield partial(path.write_bytes, content)
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "Permission denied", str(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            with contextlib.suppress(OSError):  # no such file yet, or a file system without permissions
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield partial(temporary.replace, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def leftovers(path: Path) -> Iterator[Path]:
    """Yield the temporary files of processes that were killed while they wrote a file."""
    for left in path.parent.glob(f".{path.name}.*.partial"):
        pid = left.name.split(".")[-2]
        if not (pid.isdecimal() and Path("/proc", pid).exists()):  # else it may be writing at this moment
            yield left

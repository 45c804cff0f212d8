"""The directory of the workers' sockets: private, and with a path that is short enough."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

from collagebench.errors import FleetError

SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""The longest path that a Unix socket can have."""


@contextlib.contextmanager
def socket_directory(directory: str | None = None) -> Iterator[str]:
    """Make a directory that only this user can enter, unless one is given, and remove it at the end.

    Raises:
        FleetError: it cannot be made, or its path is too long for a socket, or gRPC cannot use the path.
    """
    try:
        directory = directory or tempfile.mkdtemp(prefix="collagebench-")
    except OSError as error:
        raise FleetError(
            f"no directory for the workers' sockets can be created ({error}); set TMPDIR to another"
        ) from None
    try:
        longest = len(os.fsencode(os.path.join(directory, "99999.sock")))
        if longest > SOCKET_PATH_BYTES:
            raise FleetError(
                f"the workers' sockets would be in {directory}, whose path is too long ({longest} bytes, but a Unix "
                f"socket allows {SOCKET_PATH_BYTES}); set TMPDIR to a shorter one"
            )
        if not set("%?#").isdisjoint(directory) or directory != os.fsencode(directory).decode(errors="replace"):
            raise FleetError(
                f"the workers' sockets would be in {directory}, but gRPC takes no path that contains %, ? or #, or is "
                "not UTF-8; set TMPDIR to another"
            )
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)

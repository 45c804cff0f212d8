"""Directories that are removed with the process that made them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from subprocess import DEVNULL, PIPE

from collagebench.worker.outpost import KEEPER


@contextlib.contextmanager
def kept(directory: str) -> Iterator[None]:
    """Remove a directory at the end of the block, even if this process is killed."""
    keeper = ["sh", "-c", KEEPER, "sh", directory]
    with subprocess.Popen(keeper, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True):
        yield

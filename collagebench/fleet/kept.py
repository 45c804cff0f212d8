"""Directories that go with whoever made them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from subprocess import DEVNULL, PIPE

from collagebench.worker.outpost import KEEPER


@contextlib.contextmanager
def kept(directory: str) -> Iterator[None]:
    """Have a directory in the block, which is removed at its end, also if this process is killed."""
    keeper = ["sh", "-c", KEEPER, "sh", directory]
    with subprocess.Popen(keeper, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True):
        yield

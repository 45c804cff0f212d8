"""The command line in this process, with checks of exit code and output, and a limit on its time."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from hypothesis import HealthCheck, settings

from collagebench.cli import main

EXAMPLES = int(os.environ.get("COLLAGEBENCH_FUZZ", "0"))
PATIENCE = 120
"""Seconds after which a command counts as hanging."""
EXIT_CODES = (0, 1, 2, 3, 4)


def fuzz(by_default: int) -> settings:
    """Return settings with COLLAGEBENCH_FUZZ examples, or `by_default` if that is not set."""
    return settings(
        max_examples=EXAMPLES or by_default,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@contextlib.contextmanager
def patience(seconds: int = PATIENCE) -> Iterator[None]:
    """Raise TimeoutError in a block that takes longer than `seconds`."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def inside(directory: Path) -> Iterator[None]:
    """Make `directory` the current one."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def collagebench(*arguments: str) -> tuple[int, str, str]:
    """Run a command; check that its exit code is documented and no traceback is printed; return code and output."""
    out, err = StringIO(), StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patience():
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code or 0
    shown = f"{arguments}\n{err.getvalue()}"
    assert code in EXIT_CODES, shown
    assert "collagebench: unexpected" not in err.getvalue(), shown
    assert "Traceback" not in out.getvalue() + err.getvalue(), shown
    assert code not in (1, 2) or err.getvalue().strip(), shown
    return int(code), out.getvalue(), err.getvalue()

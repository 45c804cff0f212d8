"""What all tests take for granted, however pytest was started."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # how long an example takes says more of the machine than of what it tries


def pytest_configure() -> None:
    """Let Ctrl-C be heard, here and by all that is started: the background of a shell's script has it ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the temporary directory of a test, an empty one; all processes that the test starts have it, too.

    Unlike `tmp_path` it has a short path, as sockets need one, whatever the user and the test are called.
    """
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)

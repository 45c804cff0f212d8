"""Settings and fixtures that all tests share."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # an example's time depends more on the machine than on the code


def pytest_configure() -> None:
    """Handle SIGINT here and in child processes, even if a shell started pytest in the background, with it ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty directory, which is TMPDIR for the test and the processes that it starts.

    Unlike that of `tmp_path` its path is always short, since the paths of sockets are limited.
    """
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let studies simulate their points in threads, which start much sooner than processes."""
    from collagebench.study import points, pool

    monkeypatch.setattr(points, "open_pool", lambda jobs, make, _: pool.open_pool(jobs, make or ThreadPoolExecutor))

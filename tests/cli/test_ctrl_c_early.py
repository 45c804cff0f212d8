"""A Ctrl-C while modules are still being imported."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import finish, start
from real_processes import ROOT

pytestmark = pytest.mark.processes

CTRL_C = "import os, signal, sys\nos.kill(os.getpid(), signal.SIGINT)\n"
"""A module during whose import Ctrl-C is pressed."""
WRAPPED = "try:\n    import pressed\nexcept KeyboardInterrupt as error:\n    raise ImportError('failed') from error\n"
"""A module that turns the interruption into an ImportError, as a C extension may."""
LOST = "import _imp, os, sys, threading\nclass Lost:\n    def __del__(self):\n        {}\nLost()\n"
"""A module with a destructor that does something while the module is imported."""


@pytest.mark.parametrize(
    ("module", "text", "command"),
    [
        ("click", CTRL_C, "--version"),
        ("numpy", CTRL_C, "simulate"),
        ("numpy", WRAPPED, "simulate"),
        ("onnxruntime", WRAPPED, "simulate"),
    ],
)
def test_it_ends_the_command_in_one_sentence(tmp_path: Path, module: str, text: str, command: str) -> None:
    """A Ctrl-C during any import, even one that turns it into an ImportError, ends with 130 and one sentence."""
    (tmp_path / f"{module}.py").write_text(text)
    (tmp_path / "pressed.py").write_text(CTRL_C)
    code, out, error = finish(start(command, cwd=tmp_path))
    assert (code, out) == (130, "")
    assert error.strip() in ("collagebench: interrupted", "collagebench: interrupted before anything was measured")
    assert not (tmp_path / "runs").exists()


def test_it_comes_again_where_it_is_lost(tmp_path: Path) -> None:
    """A Ctrl-C that a destructor loses, even one that keeps the import lock as Python's own do, ends the command."""
    lost = LOST.format(f"_imp.acquire_lock(); os.kill(os.getpid(), {signal.SIGINT:d})")
    (tmp_path / "click.py").write_text(lost + "threading.Event().wait(20)\n")
    code, out, error = finish(start("--version", cwd=tmp_path))
    assert (code, out, error) == (130, "", "collagebench: interrupted\n")


def test_other_errors_of_a_destructor_are_said(tmp_path: Path) -> None:
    """Any other error in a destructor is printed, and ends nothing."""
    (tmp_path / "click.py").write_text(LOST.format("1 / 0") + "sys.exit(7)\n")
    process = start("--version", cwd=tmp_path)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, "ZeroDivisionError" in error) == (7, "", True)


def test_the_installed_command_hears_it_as_early(tmp_path: Path) -> None:
    """The entry point that pip installs also handles a Ctrl-C during its first import."""
    script = next(line for line in (Path(ROOT) / "pyproject.toml").read_text().splitlines() if "__main__:" in line)
    module, function = script.split('"')[1].split(":")
    (tmp_path / "click.py").write_text(CTRL_C)
    program = f"import sys; sys.path.insert(1, {ROOT!r}); from {module} import {function}; {function}()"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "collagebench: interrupted\n")

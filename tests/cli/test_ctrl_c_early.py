"""A Ctrl-C that comes while modules are still loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import finish, start
from real_processes import ROOT

pytestmark = pytest.mark.processes

CTRL_C = "import os, signal, sys\nos.kill(os.getpid(), signal.SIGINT)\n"
"""A module during whose loading somebody presses it."""
WRAPPED = "try:\n    import pressed\nexcept KeyboardInterrupt as error:\n    raise ImportError('failed') from error\n"
"""One that is loaded as a library in C is, which makes an error of its own of it."""


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
    """Whatever is being loaded, and whatever becomes of it there, it is an interruption and nothing else."""
    (tmp_path / f"{module}.py").write_text(text)
    (tmp_path / "pressed.py").write_text(CTRL_C)
    code, out, error = finish(start(command, cwd=tmp_path))
    assert (code, out) == (130, "")
    assert error.strip() in ("collagebench: interrupted", "collagebench: interrupted before anything was measured")
    assert not (tmp_path / "runs").exists()


def test_it_leaves_no_traceback_where_it_is_lost(tmp_path: Path) -> None:
    """In a destructor Python can only say that it ignores it, which is not said; any other error there is."""
    for in_destructor, said in (("os.kill(os.getpid(), signal.SIGINT)", ""), ("1 / 0", "ZeroDivisionError")):
        (tmp_path / "click.py").write_text(
            "import os, signal, sys\n"
            f"class Lost:\n    def __del__(self):\n        {in_destructor}\n"
            "Lost()\nsys.exit(7)\n"
        )
        process = start("--version", cwd=tmp_path)
        out, error = process.communicate(timeout=60)
        assert (process.returncode, out, said in error, bool(error)) == (7, "", True, bool(said))


def test_the_installed_command_hears_it_as_early(tmp_path: Path) -> None:
    """What pip installs loads nothing before a Ctrl-C is heard, either."""
    script = next(line for line in (Path(ROOT) / "pyproject.toml").read_text().splitlines() if "__main__:" in line)
    module, function = script.split('"')[1].split(":")
    (tmp_path / "click.py").write_text(CTRL_C)
    program = f"import sys; sys.path.insert(1, {ROOT!r}); from {module} import {function}; {function}()"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "collagebench: interrupted\n")

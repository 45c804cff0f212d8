"""The command line as a user starts it: as a process, with output and exit code; or, faster, in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from natural_processes import until
from real_processes import ROOT, children

from collagebench.cli import main


def start(*arguments: Any, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    """Start the command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "collagebench", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": ROOT, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def finish(process: subprocess.Popen[str], timeout: float = 180.0) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error; no traceback may be in them."""
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def collagebench(*arguments: Any, cwd: Path) -> tuple[int, str, str]:
    """Run the command line to its end."""
    return finish(start(*arguments, cwd=cwd))


def exit_code(*arguments: object) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def said_by(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, standard output and standard error."""
    code = exit_code(*arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`."""
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def wait_for_requests(process: subprocess.Popen[str], directory: Path) -> None:
    """Return once the run below `directory` has recorded an answered request; fail if `process` ends before."""

    def written() -> bool:
        return any(path.read_text().count("\n") > 1 for path in directory.glob("**/requests.csv"))

    until(lambda: written() or process.poll() is not None, "a request is answered", pause=0.05)
    assert written(), f"ended with {process.returncode} before a request was answered: {process.communicate()}"

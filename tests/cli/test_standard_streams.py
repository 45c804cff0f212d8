"""Commands whose standard streams are closed, full or no longer read, as under cron or in a pipe."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from real_processes import ROOT

pytestmark = pytest.mark.processes

SIMULATE = "simulate --workers 4 --runs 2 --requests 60 --scheme none --compute-time 0.001 --verbose --out r"
ENVIRONMENT = {**{name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}, "PYTHONPATH": ROOT}
"""That of somebody whose standard output is buffered, as it is by default."""
CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


def in_shell(command: str, cwd: Path) -> int:
    """Run a command with the shell's redirections, and return its exit code."""
    line = f"{sys.executable} -m collagebench {command}"
    return subprocess.run(["bash", "-c", line], cwd=cwd, env=ENVIRONMENT, capture_output=True, check=False).returncode


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2> >(true)", "> >(true)", "<&-", "2>&-", "<&- 2>&-"])
def test_an_experiment_does_not_need_its_standard_streams(tmp_path: Path, redirected: str) -> None:
    """A simulation ends with 0 if standard input or error is closed or full, or if nobody reads its output."""
    assert in_shell(f"{SIMULATE} {redirected}", tmp_path) == 0
    assert json.loads((tmp_path / "r" / "run.json").read_text())["status"] == "done"


WRITERS = (
    (SIMULATE, 1),
    ("report r --fail-if 'none.p50 > 0'", 3),
    ("--version", 1),
    ("report r", 1),
    ("report r --format html", 1),
    ("report r --out page.txt", 0),
    ("report --json-schema", 1),
    ("profiles", 1),
)
"""Commands that write to standard output, and their exit codes if that fails."""


@pytest.mark.parametrize(("redirected", "commands"), [(">&-", WRITERS[:3]), (">/dev/full", WRITERS)])
def test_a_report_that_cannot_be_written_is_an_error(
    tmp_path: Path, redirected: str, commands: tuple[tuple[str, int], ...]
) -> None:
    """A command that cannot write to standard output ends with 1 and a sentence, as GNU tools do.

    Records are written all the same, and the exit code 3 of a failed gate stays.
    """
    for command, code in commands:
        line = f"{sys.executable} -m collagebench {command} {redirected}"
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, command
        assert ("written to standard output" in done.stderr or "output cannot be written" in done.stderr) == (code > 0)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
    assert json.loads((tmp_path / "r" / "run.json").read_text())["status"] == "done"


def test_a_reader_who_has_gone_changes_nothing(tmp_path: Path) -> None:
    """Where nobody reads standard output any more, as behind `| head`, every verb does its work, says nothing of it,
    and ends with the exit code that it has in any case."""
    for command, code, said in (
        (SIMULATE.replace(" --verbose", ""), 0, "records: r\n"),
        ("report r", 0, ""),
        ("report r --format html", 0, ""),
        ("report --json-schema", 0, ""),
        ("profiles", 0, ""),
        ("evaluate single --format json", 0, ""),
        ("--version", 0, ""),
        ("--help", 0, ""),
    ):
        assert unread(command, tmp_path) == (code, said), command
    code, said = unread("report r --fail-if 'none.p50 > 0'", tmp_path)
    assert code == 3
    assert said.startswith("gate FAILED")
    assert json.loads((tmp_path / "r" / "run.json").read_text())["status"] == "done"


def unread(command: str, cwd: Path) -> tuple[int, str]:
    """Run a command line of ours at whose standard output nobody reads; return exit code and standard error."""
    ours, its = os.pipe()
    os.close(ours)
    words = [sys.executable, "-m", "collagebench", *shlex.split(command)]
    try:
        done = subprocess.run(
            words, cwd=cwd, env=ENVIRONMENT, stdout=its, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(its)
    return done.returncode, done.stderr


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-"])
def test_the_exit_code_is_the_same_though_nothing_can_be_said(tmp_path: Path, redirected: str) -> None:
    """With standard error closed or full, a failed gate ends with 3, a usage error with 2 and another with 1."""
    assert in_shell(f"{SIMULATE} --fail-if 'none.p50 > 0' {redirected}", tmp_path) == 3
    assert in_shell(f"simulate --runs zero {redirected}", tmp_path) == 2
    assert in_shell(f"report . {redirected}", tmp_path) == 1


@pytest.mark.parametrize("redirected", CLOSED)
def test_no_file_takes_the_place_of_a_closed_stream(redirected: str) -> None:
    """If a standard stream is closed, no file opened later gets its number, nor in a child process."""
    program = (
        "import os, subprocess, sys\n"
        "from collagebench.cli import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "look = 'import os; [os.fstat(number) for number in range(3)]'\n"
        "os._exit(os.open('/', os.O_RDONLY) <= 2 or subprocess.run([sys.executable, '-c', look]).returncode)\n"
    )
    line = f'"$0" -c "$1" {redirected}'
    assert subprocess.run(["bash", "-c", line, sys.executable, program], cwd=ROOT, check=False).returncode == 0


def test_too_few_open_files_is_one_sentence(tmp_path: Path) -> None:
    """With 16 to 20 open files allowed, a sweep either ends well or with an error that says to raise `ulimit -n`."""
    refused = 0
    for most in (16, 18, 20):
        command = f"{SIMULATE}{most} --utilisation 0.2,0.3 --jobs 2"
        code, said = limited(f"-n {most}; {command}", tmp_path)
        refused += code
        assert code in (0, 1)
        assert said.endswith("raise `ulimit -n`\n" if code else f"records: r{most}\n")
        assert "unexpected" not in said
    assert refused


@pytest.mark.parametrize("command", ["run --out r", "record --out r.json"])
@pytest.mark.parametrize("limit", ["-n 12", "-n 14", "-v 600000"])
def test_limits_that_would_end_real_workers_clients_are_one_sentence(tmp_path: Path, limit: str, command: str) -> None:
    """If a limit is so low that a C library would abort, one sentence names the limit, and nothing is started."""
    code, said = limited(f"{limit}; {command}", tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    assert f"raise `ulimit {limit[:2]}`" in said
    assert not list(tmp_path.iterdir())


def limited(limit_and_command: str, cwd: Path) -> tuple[int, str]:
    """Run a command under a limit of the shell; return its exit code and standard error."""
    line = f"ulimit {limit_and_command}".replace("; ", f"; exec {sys.executable} -m collagebench ", 1)
    done = subprocess.run(["bash", "-c", line], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr

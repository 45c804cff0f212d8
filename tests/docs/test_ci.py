"""The script of the continuous integration takes its commands from the README."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_readme_has_the_command_that_runs_the_tests() -> None:
    """The README has the command that installs and tests on exactly one line, where `.ci/run` looks for it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert "grep -m 1 '^\\.venv/bin/pip install .*test' README.md" in (ROOT / ".ci" / "run").read_text()
    found = [line for line in readme if line.startswith(".venv/bin/pip install") and "test" in line]
    assert found == [".venv/bin/pip install '.[test]' && .venv/bin/python -m pytest"]

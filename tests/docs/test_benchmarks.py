"""The programs that benchmarks/README.md names: each exists, and those that can be quick are run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from real_processes import ROOT

BENCHMARKS = Path(ROOT) / "benchmarks"
SMALL = {
    "coding.py": "",
    "choices.py": "--only busy --runs 3 --of 2 --draws 1 --requests 100",
    "collage_result.py": "--only iid --loads 0.3 --runs 2 --requests 200",
    "coverage.py": "--experiments 2 --comparisons 1 --paired 3",
    "dispatch_lag.py": "--seconds 0.5 --rates 50",
    "injection.py": "--requests 40 --stragglers collage-trace",
    "known_figures.py": "--requests 300 --seeds 2",
    "recommendations.py": "--simulate --only calm --runs 2 --requests 100",
    "report_size.py": "--requests 2000",
}
"""Programs, with options under which each takes a few seconds."""


def test_the_page_names_every_program() -> None:
    """Every program has a row on the page, and no row names a program that does not exist."""
    rows = [line for line in (BENCHMARKS / "README.md").read_text(encoding="utf-8").splitlines() if ".py` |" in line]
    named = {name for row in rows for name in row.split("`")[1::2] if name.endswith(".py")}
    assert named == {path.name for path in BENCHMARKS.glob("*.py")}


@pytest.mark.parametrize("name", SMALL)
def test_a_program_prints_its_figures(name: str, tmp_path: Path) -> None:
    """With small options, each program ends with exit code 0, without a traceback, and prints a number."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / name, *SMALL[name].split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert any(word.strip(",x%").replace(".", "", 1).isdigit() for word in done.stdout.split())

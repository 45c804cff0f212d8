"""Checksums reveal every change to a run directory after it was written, however plausible."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_run import make_run, request

from collagebench.results.reader import load
from collagebench.results.writer import RunWriter
from collagebench.statistics.validity import judge


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of a sound run."""
    make_run(tmp_path / "run", {"none": [[0.1] * 20] * 2})
    assert load(tmp_path / "run").changed == ()
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("run.json", '"seed": 0', '"seed": 1'),
        ("requests.csv", ",own,19,3,", ",own,19,4,"),
        ("tasks.csv", ",3072\n", ",3073\n"),
        ("cells.csv", ",0.1,", ",0.2,"),
    ],
)
def test_a_plausible_change_makes_the_report_invalid(run: Path, name: str, old: str, new: str) -> None:
    """A changed seed, answer, number of bytes or CPU time makes the run INVALID, with a reason that names the file."""
    text = (run / name).read_text()
    assert old in text
    (run / name).write_text(text.replace(old, new, 1))
    assert load(run).changed == (name,)
    (reason,) = judge(load(run))
    assert reason.startswith(f"{name} changed since the run was written")


def test_the_layout_of_the_header_is_free(run: Path) -> None:
    """Rewriting the header's values in another layout is no change; dropping a key is one."""
    header = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(header, indent=4, sort_keys=True))
    assert load(run).changed == ()
    for key in ("checksum", "files", "created_utc"):
        (run / "run.json").write_text(json.dumps({name: value for name, value in header.items() if name != key}))
        assert load(run).changed == ("run.json",)


def test_what_still_runs_is_not_sealed(tmp_path: Path) -> None:
    """A run has no checksums until it is finished; then every file has its size, and nothing counts as changed."""
    writer = RunWriter(tmp_path / "run", {"schemes": []})
    path = tmp_path / "run" / "run.json"
    assert "files" not in json.loads(path.read_text())
    writer.request(request())
    writer.finish("done")
    writer.close()
    files = json.loads(path.read_text())["files"]
    assert {name: facts["bytes"] for name, facts in files.items()} == {
        name: (tmp_path / "run" / name).stat().st_size for name in ("requests.csv", "tasks.csv", "cells.csv")
    }
    assert load(tmp_path / "run").changed == ()

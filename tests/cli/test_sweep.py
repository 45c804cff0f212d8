"""Sweeps as a user meets them: lists on the command line and in profiles, interrupted, resumed and reported."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from real_processes import ROOT

from collagebench.cli import main
from collagebench.report import json_schema

SMALL = ("--runs", 2, "--requests", 60, "--compute-time", 0.001, "--scheme", "none,hedge")


def called(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Call collagebench in this process; return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(end.value.code or 0), said.out, said.err


def started(*arguments: Any, cwd: Path) -> subprocess.Popen[str]:
    """Start collagebench as a process of its own, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "collagebench", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": ROOT, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(*arguments: Any, cwd: Path) -> int:
    """Start collagebench, wait for its end and return its exit code."""
    process = started(*arguments, cwd=cwd)
    process.communicate(timeout=120)
    return process.returncode


def session_of(pid: int) -> set[int]:
    """Return the processes of a session."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if entry.name.isdigit() and int(fields[3]) == pid and fields[0] != "Z":
            found.add(int(entry.name))
    return found


def gone(pid: int, within: float) -> bool:
    """Say whether a session is empty within so many seconds."""
    until = time.monotonic() + within
    while session_of(pid):
        if time.monotonic() > until:
            return False
        os.sched_yield()
    return True


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a finished sweep of two axes, two values each."""
    directory = tmp_path_factory.mktemp("sweep") / "s"
    axes = ("--utilisation", "0.4,0.2", "--persistence", "0,1")
    with pytest.raises(SystemExit) as end:
        main([*map(str, ("simulate", *SMALL, *axes, "--jobs", 2, "--out", directory))])
    assert not end.value.code
    return directory


def test_every_combination_is_an_ordinary_run_directory(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four cells, each of which `report` reads alone, with the config that its name says."""
    facts = json.loads((sweep / "sweep.json").read_text())
    assert facts["status"] == "done"
    names = [cell["name"] for cell in facts["cells"]]
    assert len(names) == 4
    for name in names:
        header = json.loads((sweep / name / "run.json").read_text())
        stated = dict(part.split("=") for part in name.split(","))
        assert header["config"]["utilisation"] == float(stated["utilisation"])
        assert header["config"]["persistence"] == float(stated["persistence"])
    code, out, _ = called(capsys, "report", sweep / names[0], "--format", "json")
    assert (code, json.loads(out)["schemes"][1]["variant"]) == (0, "hedge")


def test_a_cell_is_the_experiment_that_its_values_alone_would_make(
    sweep: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The records are byte for byte those of `simulate` with single values."""
    alone = ("--utilisation", 0.2, "--persistence", 1)
    called(capsys, "simulate", *SMALL, *alone, "--out", tmp_path / "r")
    cell = sweep / "utilisation=0.2,persistence=1"
    for name in ("requests.csv", "tasks.csv"):
        assert (cell / name).read_bytes() == (tmp_path / "r" / name).read_bytes()


def test_the_report_has_a_table_for_each_axis_in_80_columns(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The values in ascending order down the side, the schemes across, and the other axis named above."""
    code, out, _ = called(capsys, "report", sweep, "--details")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "p99 in ms, persistence 0" in out
    assert "p99 in ms, utilisation 0.4" in out
    assert "right answers, utilisation 0.2" in out


def test_the_json_is_as_published(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Axes, cells and findings, each cell the report of its run."""
    jsonschema = pytest.importorskip("jsonschema", reason="needs the test extra")
    _, out, _ = called(capsys, "report", sweep, "--format", "json")
    summary = json.loads(out)
    jsonschema.Draft202012Validator(json.loads(json_schema())).validate(summary)
    assert [axis["option"] for axis in summary["axes"]] == ["utilisation", "persistence"]
    assert len(summary["cells"]) == 4


def test_the_csv_has_a_row_for_each_scheme_of_each_cell(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The axes are its first columns."""
    _, out, _ = called(capsys, "report", sweep, "--format", "csv")
    rows = list(csv.DictReader(StringIO(out)))
    assert len(rows) == 8
    assert {(row["axis_utilisation"], row["axis_persistence"]) for row in rows} == {
        ("0.2", "0.0"), ("0.2", "1.0"), ("0.4", "0.0"), ("0.4", "1.0"),
    }  # fmt: skip


def test_the_page_and_the_markdown_hold_every_cell(
    sweep: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The page loads nothing."""
    code, _, _ = called(capsys, "report", sweep, "--format", "html", "--out", tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    assert code == 0
    assert page.count("<figure") == 8  # accuracy and work, for a p99 are there too few, along two slices of either axis
    assert "https://" not in page
    _, out, _ = called(capsys, "report", sweep, "--format", "markdown")
    assert "### p99 in ms, persistence 1" in out


def test_gates_hold_for_every_cell(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that fails anywhere makes the exit code 3."""
    assert called(capsys, "report", sweep, "--fail-if", "none.failed > 0")[0] == 0
    assert called(capsys, "report", sweep, "--fail-if", "none.p50 > 0")[0] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "{sweep}", "--format", "trace"], "a sweep has no trace: name one of its cells"),
        (["report", "{sweep}", "{sweep}"], "a sweep is reported alone"),
        (["simulate", "--utilisation", "0.1,0.1"], "--utilisation has 0.1 twice"),
        (["simulate", "--utilisation", "0.1,"], "--utilisation has a comma with nothing before or behind it"),
        (["simulate", "--utilisation", "0.1,high"], "'high' is not a valid float"),
        (["simulate", "--utilisation", "0.1,-1"], "--utilisation must be a number above 0, not -1.0"),
        (["simulate", "--out", "{sweep}", "--utilisation", "0.1,0.2"], "is not empty; choose another directory"),
        (["simulate", "--resume", "--out", "{sweep}", "--utilisation", "0.2,0.3"], "which is not among those now"),
        (["simulate", "--resume", "--out", "{sweep}", "--utilisation", "0.2"], "name them all, or leave it out"),
        (["run", "--resume", "--out", "{sweep}"], "was begun with simulate: it cannot be resumed with run"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """It names the option or the directory, and nothing is changed."""
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("*")}
    code, _, err = called(capsys, *(part.format(sweep=sweep) for part in arguments))
    assert code in (1, 2)
    assert said in " ".join(err.split())
    assert before == {path: path.stat().st_mtime_ns for path in sweep.rglob("*")}


def test_a_resumed_sweep_does_only_what_is_missing(
    sweep: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Also after a longer list was asked for: cells that are there stay as they are."""
    directory = tmp_path / "s"
    called(capsys, "simulate", *SMALL, "--utilisation", "0.2,0.4", "--out", directory)
    before = {path: path.stat().st_mtime_ns for path in directory.glob("*/requests.csv")}
    assert len(before) == 2
    longer = ("--utilisation", "0.2,0.3,0.4")
    assert called(capsys, "simulate", "--resume", *longer, "--out", directory)[0] == 0
    after = {path: path.stat().st_mtime_ns for path in directory.glob("*/requests.csv")}
    assert len(after) == 3
    assert before.items() <= after.items()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_says_how_to_go_on_and_leaves_nobody(tmp_path: Path, number: int) -> None:
    """Exit code 130, no process left, and when it is resumed the records are those of a sweep never interrupted."""
    asked = ("--utilisation", "0.2,0.4,0.5", "--runs", 12, "--requests", 200, "--compute-time", 0.001)
    process = started("simulate", *asked, "--jobs", 2, "--out", "s", cwd=tmp_path)
    while process.poll() is None and not list((tmp_path / "s").glob("*/cells.csv")):
        os.sched_yield()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "to go on with --resume --out s" in err
    assert gone(process.pid, 5)
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["status"] == "interrupted"
    for arguments in (("--resume", "--out", "s"), (*asked, "--out", "whole")):
        assert ended("simulate", *arguments, cwd=tmp_path) == 0
    for whole in (tmp_path / "whole").glob("*/requests.csv"):
        assert whole.read_bytes() == (tmp_path / "s" / whole.relative_to(tmp_path / "whole")).read_bytes()


def test_a_killed_sweep_leaves_no_process(tmp_path: Path) -> None:
    """Its processes end when their parent is gone, and what was finished can be resumed."""
    asked = ("--utilisation", "0.2,0.4,0.5", "--runs", 16, "--requests", 200, "--compute-time", 0.001)
    process = started("simulate", *asked, "--jobs", 2, "--out", "s", cwd=tmp_path)
    while process.poll() is None and not list((tmp_path / "s").glob("*/cells.csv")):
        os.sched_yield()
    process.kill()
    process.communicate(timeout=20)
    assert gone(process.pid, 10)
    assert ended("simulate", "--resume", "--out", "s", cwd=tmp_path) == 0


def test_a_profile_may_hold_lists(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of the experiment's options, which make cells, and of a scheme's, which make variants in each of them."""
    text = "runs = 2\nrequests = 40\ncompute-time = 0.001\nutilisation = [0.2, 0.3]\n"
    (tmp_path / "p.toml").write_text(text + "[[scheme]]\nname = 'none'\n[[scheme]]\nname = 'collage'\ngrid = [2, 3]\n")
    called(capsys, "simulate", "--profile", tmp_path / "p.toml", "--out", tmp_path / "s")
    _, out, _ = called(capsys, "report", tmp_path / "s", "--format", "json")
    cells = json.loads(out)["cells"]
    assert [[scheme["variant"] for scheme in cell["schemes"]] for cell in cells] == [
        ["none", "collage grid=2", "collage grid=3"]
    ] * 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("utilisation = []", "line 1: utilisation is an empty list"),
        ("utilisation = [0.1, 'high']", "line 1: utilisation must be a number, not 'high'"),
        ("rate = [10, [20]]", "line 1: rate must be a value, or a list of values that are no lists"),
        ("slo = [10, 20]", "line 1: slo cannot be a list"),
        ("workers = [10, 10]", "line 1: workers has 10 twice"),
    ],
)
def test_a_senseless_list_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, said: str
) -> None:
    """The file, the line and what is wrong."""
    (tmp_path / "p.toml").write_text(line)
    code, _, err = called(capsys, "simulate", "--profile", tmp_path / "p.toml", "--out", tmp_path / "s")
    assert code == 2
    assert said in " ".join(err.split())


def test_a_scheme_that_cannot_bear_a_load_is_a_finding(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Replication at a load of 0.9 grows a queue without end; the sweep says so and is valid all the same."""
    asked = ("--runs", 4, "--requests", 400, "--compute-time", 0.001, "--scheme", "none,replication")
    code, out, _ = called(capsys, "simulate", *asked, "--utilisation", "0.2,0.9", "--out", tmp_path / "s")
    assert code == 0
    assert "unstable" in out
    assert "replication cannot bear the load at utilisation 0.9" in " ".join(out.split())
    assert "VALID" in out
    assert "INVALID" not in out


@pytest.mark.processes
def test_a_live_sweep_runs_its_cells_one_after_the_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On real workers, with the same directory and report."""
    asked = ("--workers", 4, "--runs", 1, "--requests", 20, "--scheme", "none", "--compute", "emulated")
    asked = (*asked[:-2], "--rate", "60,80", "--stragglers", "none", "--base", 0.02)
    code, out, err = called(capsys, "run", *asked, "--out", tmp_path / "s", "--verbose")
    assert code in (0, 4), err
    facts = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert (facts["engine"], facts["status"]) == ("live", "done")
    assert "live: 2 experiments over rate 60, 80" in out
    assert "2 of 2: rate=80" in err

"""Sweeps as a user meets them: lists on the command line and in profiles, resumed and reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import exit_code, said_by

pytestmark = pytest.mark.usefixtures("in_threads")
SMALL = ("--runs", 2, "--requests", 60, "--compute-time", 0.001, "--scheme", "none,hedge")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a finished sweep of two axes, two values each."""
    directory = tmp_path_factory.mktemp("sweep") / "s"
    axes = ("--utilisation", "0.4,0.2", "--persistence", "0,1")
    assert exit_code("simulate", *SMALL, *axes, "--jobs", 2, "--out", directory) == 0
    return directory


def test_every_combination_is_an_ordinary_run_directory(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the four combinations is a run directory with the config in its name, and `report` reads it alone."""
    facts = json.loads((sweep / "sweep.json").read_text())
    assert facts["status"] == "done"
    names = [cell["name"] for cell in facts["cells"]]
    assert len(names) == 4
    for name in names:
        header = json.loads((sweep / name / "run.json").read_text())
        stated = dict(part.split("=") for part in name.split(","))
        assert header["config"]["utilisation"] == float(stated["utilisation"])
        assert header["config"]["persistence"] == float(stated["persistence"])
    code, out, _ = said_by(capsys, "report", sweep / names[0], "--format", "json")
    assert (code, json.loads(out)["schemes"][1]["variant"]) == (0, "hedge")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "{sweep}", "--format", "trace"], "a trace shows one run, so name one of its cells"),
        (["report", "{sweep}", "{sweep}"], "which is reported alone"),
        (["simulate", "--utilisation", "0.1,0.1"], "--utilisation has 0.1 twice: name it once"),
        (["simulate", "--scheme", "none,none"], "--scheme has 'none' twice: name it once"),
        (["simulate", "--utilisation", "0.1,"], "--utilisation has a comma with no value before or after it"),
        (["simulate", "--utilisation", "0.1,high"], "'high' is not a valid float"),
        (["simulate", "--utilisation", "0.1,-1"], "--utilisation must be a number above 0, not -1.0"),
        (["simulate", "--out", "{sweep}", "--utilisation", "0.1,0.2"], "is not empty; choose another directory"),
        (["simulate", "--resume", "--out", "{sweep}", "--utilisation", "0.2,0.3"], "which is now missing"),
        (["simulate", "--resume", "--out", "{sweep}", "--utilisation", "0.2"], "give all of them, or leave it out"),
        (["run", "--resume", "--out", "{sweep}"], "was begun with simulate: it cannot be resumed with run"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Impossible sweeps and reports of sweeps end with a sentence that says why, and change no file."""
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("*")}
    code, _, err = said_by(capsys, *(part.format(sweep=sweep) for part in arguments))
    assert code in (1, 2)
    assert said in " ".join(err.split())
    assert before == {path: path.stat().st_mtime_ns for path in sweep.rglob("*")}


def test_a_resumed_sweep_does_only_what_is_missing(
    sweep: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A sweep resumed with a longer list adds the missing cell and leaves the others as they are."""
    directory = tmp_path / "s"
    said_by(capsys, "simulate", *SMALL, "--utilisation", "0.2,0.4", "--out", directory)
    before = {path: path.stat().st_mtime_ns for path in directory.glob("*/requests.csv")}
    assert len(before) == 2
    longer = ("--utilisation", "0.2,0.3,0.4")
    assert said_by(capsys, "simulate", "--resume", *longer, "--out", directory)[0] == 0
    after = {path: path.stat().st_mtime_ns for path in directory.glob("*/requests.csv")}
    assert len(after) == 3
    assert before.items() <= after.items()


def test_a_profile_may_hold_lists(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In a profile, a list of an experiment's option makes cells, and a list of a scheme's option makes variants."""
    text = "runs = 2\nrequests = 40\ncompute-time = 0.001\nutilisation = [0.2, 0.3]\n"
    (tmp_path / "p.toml").write_text(text + "[[scheme]]\nname = 'none'\n[[scheme]]\nname = 'collage'\ngrid = [2, 3]\n")
    said_by(capsys, "simulate", "--profile", tmp_path / "p.toml", "--out", tmp_path / "s")
    _, out, _ = said_by(capsys, "report", tmp_path / "s", "--format", "json")
    cells = json.loads(out)["cells"]
    assert [[scheme["variant"] for scheme in cell["schemes"]] for cell in cells] == [
        ["none", "collage grid=2", "collage grid=3"]
    ] * 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("utilisation = []", "line 1: utilisation is an empty list"),
        ("utilisation = [0.1, 'high']", "line 1: utilisation must be a number, not 'high'"),
        ("rate = [10, [20]]", "line 1: rate must be a value or a flat list of values"),
        ("slo = [10, 20]", "line 1: slo cannot be a list"),
        ("workers = [10, 10]", "line 1: workers has 10 twice"),
    ],
)
def test_a_senseless_list_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, said: str
) -> None:
    """A list in a profile that makes no sense ends with 2 and a sentence with the line and what is wrong."""
    (tmp_path / "p.toml").write_text(line)
    code, _, err = said_by(capsys, "simulate", "--profile", tmp_path / "p.toml", "--out", tmp_path / "s")
    assert code == 2
    assert said in " ".join(err.split())


def test_a_scheme_that_cannot_bear_a_load_is_a_finding(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Replication at a load of 0.9 is reported as unstable, and the sweep is VALID all the same."""
    asked = ("--runs", 4, "--requests", 400, "--compute-time", 0.001, "--scheme", "none,replication")
    code, out, _ = said_by(capsys, "simulate", *asked, "--utilisation", "0.2,0.9", "--out", tmp_path / "s")
    assert code == 0
    assert "unstable" in out
    assert "replication cannot sustain the load at utilisation 0.9" in " ".join(out.split())
    assert "VALID" in out
    assert "INVALID" not in out

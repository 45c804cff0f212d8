"""`collagebench report` as it is typed: what it prints, where, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import exit_code
from synthetic_run import lognormal, make_run


@pytest.fixture
def sound(tmp_path):
    """Return the directory of a valid run."""
    return make_run(tmp_path / "sound", {"none": lognormal(1, 4, 250), "hedge": lognormal(2, 4, 250)})


@pytest.fixture
def broken(tmp_path):
    """Return the directory of an interrupted run."""
    return make_run(tmp_path / "broken", {"none": lognormal(1, 4, 250)}, status="interrupted")


def test_table_of_a_valid_run(sound, capsys):
    """The table is printed and the exit code is 0."""
    assert exit_code("report", sound) == 0
    assert "VALID" in capsys.readouterr().out


def test_invalid_run_is_printed_and_exits_4(sound, broken, capsys):
    """The report of an INVALID run is printed, and one INVALID run among several makes the exit code 4."""
    assert exit_code("report", broken) == 4
    assert "INVALID" in capsys.readouterr().out
    assert exit_code("report", sound, broken, "--format", "json") == 4
    assert json.loads(capsys.readouterr().out)["valid"] is False


def test_gates_of_several_runs_name_the_run(sound, broken, capsys):
    """If the format is not the table, standard error says which run failed which gate."""
    exit_code("report", sound, broken, "--format", "markdown", "--fail-if", "none.p50 > 0")
    said = capsys.readouterr().err
    assert "gate FAILED: sound: none.p50 > 0" in said
    assert "gate FAILED: broken: none.p50 > 0" in said


def test_json_and_its_options(sound, capsys):
    """JSON is one object on standard output, with the given baseline and SLO."""
    assert exit_code("report", sound, "--format", "json", "--baseline", "hedge", "--slo", "5") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["baseline"], found["slo_ms"], found["schemes"][1]["relative"]["p99"]) == ("hedge", 5.0, 1.0)


@pytest.mark.parametrize("form", ["table", "json"])
def test_out_writes_what_would_be_printed(sound, tmp_path, capsys, form):
    """`--out` gets the text that would be printed, nothing is printed and no other file is left."""
    exit_code("report", sound, "--format", form)
    shown = capsys.readouterr().out
    target = tmp_path / "reports" / "report"
    assert exit_code("report", sound, "--format", form, "--out", target) == 0
    assert capsys.readouterr().out == ""
    assert target.read_text() == shown
    assert list(target.parent.iterdir()) == [target]


def test_a_dash_is_standard_output(sound, tmp_path, capsys, monkeypatch):
    """`--out -` prints, as without --out, and leaves no file of that name; `./-` is one."""
    monkeypatch.chdir(tmp_path)
    assert exit_code("report", sound, "--out", "-") == 0
    assert "VALID" in capsys.readouterr().out
    assert not (tmp_path / "-").exists()
    assert exit_code("report", sound, "--out", "./-") == 0
    assert "VALID" in (tmp_path / "-").read_text()


def test_out_replaces_a_report_whole_or_not_at_all(sound, tmp_path, capsys):
    """An existing report is kept if the new one cannot be made, and replaced otherwise."""
    target = tmp_path / "report.txt"
    target.write_text("old")
    assert exit_code("report", tmp_path / "nowhere", "--out", target) == 1
    assert target.read_text() == "old"
    assert exit_code("report", sound, "--out", target) == 0
    assert "VALID" in target.read_text()


@pytest.mark.parametrize("target", ["/dev/full", "sound", "sound/run.json/report.txt"])
def test_out_that_cannot_be_written(sound, tmp_path, capsys, target):
    """A full device, a directory or a place below a file gives one sentence and exit code 1."""
    assert exit_code("report", sound, "--out", tmp_path / target) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"cannot be written to {tmp_path / target}" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_out_without_permission(sound, tmp_path, capsys):
    """A file that may not be written stays as it is."""
    target = tmp_path / "report.txt"
    target.touch(mode=0o444)
    assert exit_code("report", sound, "--out", target) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_usage_errors_exit_2(sound, capsys):
    """No run, an unknown scheme or an impossible SLO is a usage error."""
    assert exit_code("report") == 2
    assert exit_code("report", sound, "--baseline", "tied") == 2
    assert "its schemes are none, hedge" in capsys.readouterr().err
    for slo in ("0", "nan", "inf"):
        assert exit_code("report", sound, "--slo", slo) == 2
        assert f"--slo must be a number above 0, not {float(slo)}" in capsys.readouterr().err


def test_what_is_no_run_exits_1(tmp_path, capsys):
    """A directory that is no run is named in one sentence, with a run or page in it to use instead."""
    (tmp_path / "empty").mkdir()
    run = make_run(tmp_path / "runs" / "r", {"none": lognormal(1, 1, 20)})
    study = make_run(tmp_path / "study" / "load=1", {"none": lognormal(1, 1, 20)}).parent
    (study / "crossover.html").touch()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "answer.html").touch()
    for directory, then in (
        (tmp_path / "empty", "name the --out of a run"),
        (tmp_path / "bare", f"open {tmp_path / 'bare' / 'answer.html'}"),
        (run.parent, f"name one in it, such as {run}"),
        (study, f"open {study / 'crossover.html'}, or name one of the runs in it, such as {study / 'load=1'}"),
    ):
        assert exit_code("report", directory) == 1
        said = f"collagebench: {directory} is not a run directory: it holds no run.json; {then}\n"
        assert capsys.readouterr().err == said


def test_a_page_is_nothing_for_a_terminal(sound, tmp_path, capsys, monkeypatch):
    """On a terminal --format html needs --out and says where the page is; --details is refused with csv."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert exit_code("report", sound, "--format", "html") == 2
    assert "write it to a file with --out FILE" in capsys.readouterr().err
    assert exit_code("report", sound, "--format", "html", "--out", tmp_path / "page.html") == 0
    assert capsys.readouterr().err == f"report: {tmp_path / 'page.html'}\n"
    assert exit_code("report", sound, "--format", "csv", "--details") == 2
    assert "--details adds to the table, not to csv" in capsys.readouterr().err


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "RUN"], "the report cannot be written to standard output"),
        (["report", "RUN", "--format", "json"], "the report cannot be written to standard output"),
        (["report", "--json-schema"], "the output cannot be written"),
        (["profiles"], "the output cannot be written"),
        (["--help"], "the output cannot be written"),
    ],
)
def test_full_disk_behind_standard_output(sound, arguments, said):
    """A report, a schema, a profile list or help that meets a full disk ends with exit code 1 and one sentence."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "collagebench", *(str(sound) if word == "RUN" else word for word in arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=180,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == 1
    assert done.stderr == f"collagebench: {said} (No space left on device)\n"


@pytest.mark.processes
def test_colours_are_for_terminals_only(sound):
    """A report that is piped has no escape codes."""
    done = subprocess.run(
        [sys.executable, "-m", "collagebench", "report", str(sound)],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=Path(__file__).parents[2],
    )
    assert "\x1b" not in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_gates_exit_3_and_are_printed(sound, capsys):
    """A failed gate ends with 3; each gate's outcome is below the table and in the JSON."""
    gates = ["--fail-if", "none.p50 > 0.001", "--fail-if", "hedge.p50 > 9"]
    assert exit_code("report", sound, *gates) == 3
    shown = capsys.readouterr().out
    assert (
        shown.index("VALID")
        < shown.index("gate FAILED: none.p50 > 0.001  (0.0")
        < shown.index("gate passed: not (hedge")
    )
    assert exit_code("report", sound, *gates, "--format", "json") == 3
    found = capsys.readouterr()
    assert [gate["failed"] for gate in json.loads(found.out)["gates"]] == [True, False]
    assert "gate FAILED: none.p50 > 0.001" in found.err
    assert "passed" not in found.err
    assert exit_code("report", sound, *gates[2:]) == 0


def test_invalid_wins_over_a_gate(broken, capsys):
    """An INVALID run ends with 4, not with the 3 of a failed gate, since its figures prove nothing."""
    assert exit_code("report", broken, "--fail-if", "none.p50 > 0") == 4
    assert "gate FAILED" in capsys.readouterr().out


@pytest.mark.parametrize("gate", ["none.p50", "none.median > 1", "nine.p50 > 1"])
def test_a_gate_that_makes_no_sense_exits_2(sound, capsys, gate):
    """A gate with an error in it is a usage error with a caret, and nothing is printed on standard output."""
    assert exit_code("report", sound, "--fail-if", gate) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.splitlines()[-1].strip() == "^"


def test_a_gate_is_heard_of_though_nobody_reads_the_report(sound):
    """If standard output is closed or nobody reads it, a failed gate ends with 3, and standard error says why."""
    command = f"{sys.executable} -m collagebench report {sound} --fail-if 'none.p99 > 0'"
    for redirected in ("{ %s; echo $? >&2; } | true", "%s >&-; echo $? >&2"):
        done = subprocess.run(["bash", "-c", redirected % command], capture_output=True, text=True, check=False)
        assert done.stderr.splitlines()[-1] == "3", done.stderr
        assert "none.p99 > 0" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("html", "<!DOCTYPE html>"),
        ("svg", "<svg "),
        ("markdown", "**VALID**"),
        ("csv", "run,engine,valid,scheme"),
        ("trace", "{"),
    ],
)
def test_every_format_can_be_printed_and_written(sound, tmp_path, capsys, form, start):
    """Every other format is the same on standard output and in a file."""
    assert exit_code("report", sound, "--format", form) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(start)
    assert exit_code("report", sound, "--format", form, "--out", tmp_path / "report") == 0
    assert (tmp_path / "report").read_text(encoding="utf-8") == printed


def test_an_invalid_page_exits_4(broken, tmp_path):
    """The page of an INVALID run is written, and the exit code is 4."""
    assert exit_code("report", broken, "--format", "html", "--out", tmp_path / "page.html") == 4
    assert "INVALID" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_json_schema_needs_no_run(capsys):
    """The schema is printed without a run directory."""
    assert exit_code("report", "--json-schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "collagebench report --format json"

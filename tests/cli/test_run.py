"""`run` and `simulate` as a user meets them: processes, exit codes, and what they leave behind."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import collagebench, descendants, finish, said_by, start, wait_for_requests
from real_processes import ROOT, SOON, Watched

from collagebench import zoo

pytestmark = pytest.mark.processes

SMALL = ["--workers", "4", "--runs", "2", "--requests", "60", "--scheme", "none", "--scheme", "collage"]
TABLES = ["requests.csv", "tasks.csv", "cells.csv"]
Here = Callable[..., tuple[int, str, str]]
"""Runs the command line; returns exit code, standard output and standard error."""
LONG = ["--workers", "4", "--runs", "1", "--requests", "5000", "--scheme", "none"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return a function that runs the command line in this process, in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    return partial(said_by, capsys)


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the shipped models that a test may damage."""
    directory = tmp_path / "models"
    directory.mkdir()
    for model in zoo.load():
        shutil.copy(model.path, directory)
    shutil.copy(zoo.SHIPPED / zoo.MANIFEST, directory)
    return directory


def test_simulate_prints_a_valid_table_and_keeps_the_records(tmp_path: Path) -> None:
    """`simulate` ends with 0 and VALID, and `report` prints the same table from the run directory."""
    code, out, err = collagebench("simulate", "--runs", 2, "--requests", 300, "--out", "r", cwd=tmp_path)
    assert code == 0
    assert "VALID" in out
    assert "records: r" in err
    assert collagebench("report", "r", cwd=tmp_path)[:2] == (0, out)


def test_simulation_is_the_same_every_time(tmp_path: Path) -> None:
    """The same options and seed give the same requests and tasks, byte for byte; another seed gives others."""
    options = ["--runs", 1, "--requests", 200, "--compute-time", 0.001]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert collagebench("simulate", *options, "--seed", seed, "--out", name, cwd=tmp_path)[0] == 0
    for table in ("requests.csv", "tasks.csv"):
        assert (tmp_path / "a" / table).read_bytes() == (tmp_path / "b" / table).read_bytes()
        assert (tmp_path / "a" / table).read_bytes() != (tmp_path / "c" / table).read_bytes()


def test_accuracy_is_of_as_many_answers_as_asked(tmp_path: Path) -> None:
    """--accuracy 100 classifies the same 100 requests of a run under every scheme; with `none`, accuracy is null."""
    options = ["--scheme", "none", "--scheme", "collage", "--runs", 2, "--requests", 300, "--compute-time", 0.001]
    predicted, reports = {}, {}
    for few in ("all", "100", "none"):
        arguments = [*options, "--accuracy", few, "--format", "json", "--out", few]
        code, out, _ = collagebench("simulate", *arguments, cwd=tmp_path)
        assert code == 0
        reports[few] = json.loads(out)
        with (tmp_path / few / "requests.csv").open() as file:
            rows = list(csv.DictReader(file))
        predicted[few] = {(row["scheme"], row["run"], row["request"]): row["predicted"] for row in rows}
    sample = {key: value for key, value in predicted["100"].items() if value}
    assert len(sample) == 400
    assert sample.items() <= predicted["all"].items()
    assert {key[1:] for key in sample if key[0] == "none"} == {key[1:] for key in sample if key[0] == "collage"}
    assert not any(predicted["none"].values())
    assert any("of 100 answers of each run" in text for text in reports["100"]["warnings"])
    for scheme in reports["none"]["schemes"]:
        assert scheme["accuracy"]["overall"] is None
        assert scheme["goodput_rps"] is None
        assert scheme["latency_s"]["p99"] is not None
    assert "accuracy" not in " ".join(reports["none"]["verdict"])


def test_accuracy_cannot_be_left_out_where_workers_compute(here: Here, tmp_path: Path) -> None:
    """`run --accuracy none` is refused with real inference, since the workers classify every request anyway."""
    code, _, err = here("run", "--accuracy", "none", "--out", "r")
    assert code == 2
    assert "--compute emulated" in err


def test_run_measures_real_workers_and_leaves_none(tmp_path: Path) -> None:
    """`run --format json` prints the report as one object, with figures of each scheme, and no process stays behind."""
    process = start("run", *SMALL, "--format", "json", cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    workers = Watched(descendants(process.pid))
    code, out, _ = finish(process)
    assert workers.left_after(SOON) == set()
    report = json.loads(out)
    assert code == (0 if report["valid"] else 4)
    assert [scheme["variant"] for scheme in report["schemes"]] == ["none", "collage"]
    for scheme in report["schemes"]:
        assert scheme["requests"] == 2 * 57
        assert scheme["accuracy"]["overall"] > 0.8
        assert scheme["latency_s"]["p50"] > 0.005
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_kill_9_of_a_worker_makes_the_report_invalid(tmp_path: Path) -> None:
    """If a worker is killed, the run ends by itself with exit code 4, INVALID and the reason; no request is missing."""
    process = start("run", *LONG, "--requests", 300, "--out", "r", cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    os.kill(descendants(process.pid)[-1], signal.SIGKILL)
    code, out, _ = finish(process)
    assert code == 4
    assert "INVALID" in out
    assert "killed by signal 9" in " ".join(out.split())
    requests = (tmp_path / "r" / "requests.csv").read_text().splitlines()
    assert len(requests) == 301


def test_kill_9_of_the_client_leaves_no_worker(tmp_path: Path) -> None:
    """Soon after the client is killed, none of its processes is alive."""
    process = start("run", *LONG, cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    workers = Watched(descendants(process.pid))
    process.kill()
    process.communicate()
    assert workers.left_after(SOON) == set()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_saves_and_reports_what_was_finished(tmp_path: Path, sign: signal.Signals, times: int) -> None:
    """A run that gets one signal or three ends with 130, reports the finished runs as INVALID and leaves no process."""
    options = ["--workers", "4", "--runs", "50", "--requests", "100", "--scheme", "none"]
    process = start("run", *options, "--out", "r", cwd=tmp_path)
    cells = tmp_path / "r" / "cells.csv"
    while not cells.exists() or cells.read_text().count("\n") < 3:
        assert process.poll() is None
        time.sleep(0.05)  # the interval of polling
    workers = Watched(descendants(process.pid))
    for _ in range(times):
        process.send_signal(sign)
    code, out, err = finish(process)
    assert code == 130
    assert err == "collagebench: interrupted; what was finished is in r: continue with --resume --out r\n"
    assert re.search(r"none +\d", out)
    assert "INVALID" in out
    assert workers.left_after(SOON) == set()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "sha256"),
    ],
    ids=["missing", "truncated", "replaced"],
)
def test_a_damaged_model_is_one_sentence(tmp_path: Path, models: Path, damage: Any, sentence: str) -> None:
    """A model file that is missing, truncated or not the manifest's ends the run with 1 and one sentence."""
    damage(models / "shapes-single.onnx")
    code, out, err = collagebench("run", *SMALL, "--models", models, cwd=tmp_path)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "shapes-single.onnx" in err
    assert sentence in err


def test_a_model_of_the_wrong_shape_is_one_sentence(tmp_path: Path, models: Path) -> None:
    """A single whose image size differs from the manifest's ends the run with 1 and a sentence that names the file."""
    manifest = json.loads((models / "manifest.json").read_text())
    single, collage = (
        next(entry for entry in manifest["models"] if entry["name"] == name)
        for name in ("shapes-single", "shapes-collage-3x3")
    )
    for field in ("file", "sha256", "bytes"):
        single[field] = collage[field]
    (models / "manifest.json").write_text(json.dumps(manifest))
    code, out, err = collagebench("run", *SMALL, "--models", models, cwd=tmp_path)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert collage["file"] in err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.parametrize("verb", ["run", "simulate"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_running(tmp_path: Path, verb: str) -> None:
    """If the run directory's disk is full, the command ends with 1 and one sentence, and its records can be read.

    Its status is `failed`, with the reason; `simulate` can be resumed once there is room.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=False).returncode:
        pytest.skip("this system does not let root mount a tmpfs")
    try:
        options = ["--workers", "4", "--runs", "50", "--requests", "100", "--scheme", "none"]
        code, out, err = collagebench(verb, *options, "--out", disk / "r", cwd=tmp_path)
        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        assert "No space left" in err
        assert (disk / "r" / "requests.csv").read_text().count("\n") > 1
        header = json.loads((disk / "r" / "run.json").read_text())
        assert header["status"] == "failed"
        assert "No space left" in header["error"]
        assert {path.name for path in (disk / "r").iterdir()} <= {"run.json", *TABLES, "workers"}
        report, _, _ = collagebench("report", disk / "r", cwd=tmp_path)
        assert report == 4
        subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
        if verb == "simulate":
            assert collagebench(verb, "--resume", "--out", disk / "r", cwd=tmp_path)[0] == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_directory_that_cannot_be_used_is_one_sentence(here: Here, tmp_path: Path) -> None:
    """A run directory below a file is refused with 1 and a sentence."""
    (tmp_path / "file").touch()
    code, out, err = here("run", *SMALL, "--out", "file/r")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "file/r" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scheme", "colage"], "colage"),
        (["--scheme", "none", "--replicas", "2"], "--replicas has no effect"),
        (["--workers", "0"], "--workers"),
        (["--rate", "5", "--utilisation", "0.5"], "set the same thing"),
        (["--stragglers", "trace", "--trace", "x", "--block", "3"], "--block has no effect with --replay iid"),
        (
            ["--stragglers", "structured", "--slow-place", "first", "--slow-machines", "0.1"],
            "--slow-machines has no effect with --slow-place first",
        ),
        (
            ["--stragglers", "structured", "--slow-place", "none", "--slow-machine", "1"],
            "--slow-machine has no effect with --slow-place none",
        ),
        (["--utilisation", "50"], "a share of the workers' time, such as 0.5"),
        (["--utilisation", "0.1-0.5"], "separate several values by commas"),
        (["--scheme", "none", "hedge"], "separate several values of an option by commas"),
        (["--rate", "-1"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--stragglers", "sometimes"], "sometimes"),
        (["--arrivals", "bursty"], "bursty"),
        (["--dataset", "imagenet"], "imagenet"),
        (["--dataset", "imagefolder"], "--data"),
        (["--grid", "7"], "collage grid 7"),
        (["--hedge-delay", "later"], "later"),
        (["--hedge-delay", "fit"], "--hedge-log"),
        (["--hedge-delay", "fit", "--hedge-log", "nowhere", "--hedge-budget", "0.1"], "not a run directory"),
        (["--hedge-log", "nowhere"], "only with --hedge-delay fit"),
        (["--hedge-budget", "2"], "--hedge-budget"),
        (["--scheme", "hedge-idle", "--hedge-budget", "0.1"], "--hedge-budget has no effect"),
        (["--scheme", "reissue", "--retries", "0"], "--retries"),
        (["--scheme", "collage", "--reissue-after", "soon"], "not 'soon'"),
        (["--profile", "unheard-of"], "unheard-of"),
        (["--workers", "1", "--scheme", "collage"], "worker"),
        (["--stragglers", "fixed", "--slow-workers", "99"], "99"),
        (["--stragglers", "none", "--compute-time", "0"], "--rate"),
        (["--stragglers", "none", "--slow-workers", "3"], "--slow-workers has no effect"),
        (["--stragglers", "fixed", "--time-scale", "3"], "--time-scale has no effect"),
        (["--accuracy", "some"], "not 'some'"),
        (["--accuracy", "-1"], "not -1"),
        (["--straggler-mode", "scale", "--time-scale", "3"], "--time-scale multiplies seconds"),
        (["--scheme", "none", "--scheme", "none"], "two schemes"),
    ],
)
def test_senseless_options_are_one_sentence(here: Here, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """Options that make no sense end with 2 (1 if a model is missing) and one line that says what is wrong."""
    code, out, err = here("simulate", *arguments)
    assert code in (1, 2)
    assert out == ""
    *usage, line = err.splitlines()
    assert sentence in line
    assert line.startswith("Error: " if usage else "collagebench: ")
    assert [text.split()[0] for text in usage if text] in ([], ["Usage:", "Try"])  # a value of another type has both
    assert list(tmp_path.glob("runs/*/*")) == []


def test_a_hedge_is_fitted_to_a_recorded_run(tmp_path: Path) -> None:
    """`--hedge-delay fit` reads a recorded run; the header has both the option as given and the fitted numbers."""
    small = ["--workers", "4", "--runs", "1", "--requests"]
    assert collagebench("simulate", *small, "700", "--scheme", "none", "--out", "log", cwd=tmp_path)[0] == 0
    fit = ["--scheme", "hedge", "--hedge-delay", "fit", "--hedge-log", "log", "--hedge-budget", "0.05"]
    assert collagebench("simulate", *small, "60", *fit, "--out", "fitted", cwd=tmp_path)[0] == 0
    header = json.loads((tmp_path / "fitted" / "run.json").read_text())
    assert header["config"]["schemes"][0]["options"]["hedge_delay"] == "fit"
    found = header["schemes"][0]["options"]
    assert 0 <= found["hedge_delay"] < 1
    assert 0 < found["hedge_probability"] <= 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("workers = 'many'", "workers must be a whole number"),
        ("worker = 5", "did you mean 'workers'"),
        ("workers = ", "not valid TOML"),
        ("[[scheme]]\ngrid = 3", "needs a name"),
        ("[[scheme]]\nname = 'collage'\nholdd = 3", "no option 'holdd'"),
        ("[[scheme]]\nname = 'none'\n[[scheme]]\nname = 'none'", "two schemes"),
        ("scheme = 5", r"[[scheme]]"),
        ("slow-workers = -3", "--slow-workers"),
        ("compute = 5", "compute must be a string"),
        ("[[scheme]]\nname = 'replication'\nreplicas = 'two'", "replicas of scheme replication cannot be 'two'"),
        ("[[scheme]]\nname = 'replication'\nreplicas = 2.5", "cannot be 2.5"),
        ("[[scheme]]\nname = 'collage'\nhold = 'soon'", "or auto; not 'soon'"),
        ("[[scheme]]\nname = 'hedge'\nhedge-delay = [[1]]", "a value or a flat list of values"),
    ],
)
def test_a_senseless_profile_is_one_sentence(here: Here, tmp_path: Path, text: str, sentence: str) -> None:
    """An unknown key, a wrong type or broken TOML in a profile ends with 2 and one sentence about it."""
    (tmp_path / "p.toml").write_text(text)
    code, out, err = here("simulate", "--profile", "p.toml")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert sentence in err


@pytest.mark.parametrize("gate", ["none.p99 >", "none.p98 > 1", "tied.p99 > 1"])
def test_gates_are_read_before_the_run(here: Here, tmp_path: Path, gate: str) -> None:
    """A gate that makes no sense, or names no scheme of this run, ends with 2 before anything is simulated."""
    code, out, err = here("simulate", "--scheme", "none", "--fail-if", gate)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].strip() == "^"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("there", [False, True])
def test_what_fails_before_it_begins_leaves_no_directory(tmp_path: Path, there: bool) -> None:
    """An experiment that fails before it begins leaves no run directory, and removes `runs` only if it made it."""
    if there:
        (tmp_path / "runs").mkdir()
    assert collagebench("simulate", "--models", "nowhere", cwd=tmp_path)[0] == 1
    assert (tmp_path / "runs").exists() is there
    assert list(tmp_path.glob("runs/*")) == []


def test_a_failed_gate_ends_a_simulation_with_3(tmp_path: Path) -> None:
    """`simulate --fail-if` prints the table, then the gate, and ends with 3."""
    options = ["--scheme", "none", "--runs", 2, "--requests", 200, "--fail-if", "none.p50 > 0.001"]
    code, out, _ = collagebench("simulate", *options, cwd=tmp_path)
    assert code == 3
    assert "gate FAILED: none.p50 > 0.001" in out


def test_a_killed_simulation_is_resumed_without_its_options(tmp_path: Path) -> None:
    """After kill -9, `--resume --out` alone completes the run, with the records of an undisturbed one byte for byte."""
    options = ["--workers", 4, "--runs", 6, "--requests", 700, "--scheme", "none", "--scheme", "collage", "--grid", 2]
    options += ["--compute-time", 0.001, "--seed", 3]
    process = start("simulate", *options, "--out", "r", cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    process.kill()
    process.communicate()
    code, out, err = collagebench("simulate", "--resume", "--out", "r", cwd=tmp_path)
    assert (code, err.count("\n")) == (0, 1)
    assert "resumed after" in out
    assert collagebench("simulate", *options, "--out", "whole", cwd=tmp_path)[0] == 0
    for table in ("requests.csv", "tasks.csv", "cells.csv"):
        assert (tmp_path / "r" / table).read_bytes() == (tmp_path / "whole" / table).read_bytes()


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    """At Ctrl-C `run` prints the options that resume it; once resumed, every scheme has each run once."""
    process = start("run", *SMALL, "--requests", 120, "--out", "r", cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert "continue with --resume --out r" in err
    code, out, err = collagebench("run", "--resume", "--out", "r", "--format", "json", cwd=tmp_path)
    assert code in (0, 4), err
    assert [scheme["runs"] for scheme in json.loads(out)["schemes"]] == [2, 2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--resume"], "name its directory with --out"),
        (["--resume", "--out", "r"], "r is not a run directory"),
        (["--resume", "--out", "done", "--workers", "5"], "was begun with --workers 4, not 5"),
        (["--resume", "--out", "done", "--data", "/photos"], "with --data None, not /photos: leave --data out"),
        (["--resume", "--out", "done", "--scheme", "hedge"], "begun with other schemes: none, not hedge"),
        (["--resume", "--out", "done", "--runs", "6,9"], "done is not a sweep: give --runs a single value, or leave"),
        (["--resume", "--out", "r", "--runs", "6,9"], "r is not a run directory"),
    ],
)
def test_a_resume_that_cannot_be_is_one_sentence(
    here: Here, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    """--resume is refused in one sentence without a directory, without a run in it, or with other options than its."""
    small = ["--workers", "4", "--runs", "1", "--requests", "50", "--scheme", "none", "--out", "done"]
    assert here("simulate", *small)[0] == 0
    code, out, err = here("simulate", *arguments)
    assert code in (1, 2)
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


def test_a_run_that_was_moved_still_reports(tmp_path: Path, models: Path) -> None:
    """A run directory that was moved, and whose models are gone, gives the same report."""
    options = ["--models", models, "--runs", 2, "--requests", 60, "--scheme", "none", "--scheme", "collage"]
    code, out, _ = collagebench("simulate", *options, "--out", "r", cwd=tmp_path)
    assert code == 0
    shutil.rmtree(models)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "r").rename(tmp_path / "elsewhere" / "moved")
    assert collagebench("report", "moved", cwd=tmp_path / "elsewhere")[:2] == (0, out)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_simulation_is_saved_whole(tmp_path: Path, sign: signal.Signals) -> None:
    """A simulation that gets a signal ends with 130 and reports what was finished."""
    process = start("simulate", "--runs", "1000", "--scheme", "none", "--out", "r", cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    process.send_signal(sign)
    code, out, _ = finish(process)
    assert code == 130
    assert "the run was interrupted" in out


def test_a_profile_may_say_everything_the_command_line_may(tmp_path: Path) -> None:
    """A profile may set options that are numbers or choices, and the SLO of the report."""
    (tmp_path / "p.toml").write_text("compute = 'emulated'\nrequests = 10\nruns = 1\nwarmup = 0.99\nslo = 30\n")
    code, out, _ = collagebench("simulate", "--profile", "p.toml", "--format", "json", cwd=tmp_path)
    assert code == 0
    assert json.loads(out)["config"]["compute"] == "emulated"
    assert json.loads(out)["slo_ms"] == 30


def test_the_command_line_wins_over_the_profile(tmp_path: Path) -> None:
    """A utilisation on the command line replaces the profile's rate; the profile's schemes keep their variants."""
    profile = """
        rate = 5.0
        requests = 50
        [[scheme]]
        name = "collage"
        variant = "waiting"
        flush = "wait"
        [[scheme]]
        name = "collage"
        variant = "held"
        hold = 0.02
    """
    (tmp_path / "p.toml").write_text(profile)
    options = ["--profile", "p.toml", "--utilisation", 0.2, "--runs", 1, "--format", "json"]
    code, out, _ = collagebench("simulate", *options, cwd=tmp_path)
    report = json.loads(out)
    assert code == 0
    assert report["config"]["requests"] == 50
    assert report["schemes"][0]["utilisation"] == pytest.approx(0.2)
    assert [scheme["variant"] for scheme in report["schemes"]] == ["waiting", "held"]
    assert report["schemes"][1]["options"] == {"hold": 0.02}


def test_what_begins_in_the_same_second_has_a_directory_of_its_own(tmp_path: Path) -> None:
    """Without --out, runs of the same second get different directories, and those that never began leave none."""
    program = (
        "from collagebench.cli.run_directory import run_directory\n"
        "made = [run_directory(None, 'simulate') for _ in range(3)]\n"
        "assert len({*made}) == 3\n"
        "(made[1] / 'run.json').touch()\n"
    )
    environment = {**os.environ, "PYTHONPATH": ROOT}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    shutil.rmtree(tmp_path / "runs")
    assert collagebench("simulate", "--models", "nowhere", cwd=tmp_path)[0] != 0
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs").touch()
    code, _, err = collagebench("simulate", *SMALL, "--compute-time", "0.001", cwd=tmp_path)
    assert (code, "cannot be used as a run directory (Not a directory)" in err) == (1, True)


@pytest.mark.parametrize("name", ["--data", "--models", "--stragglers", "--trace"])
def test_a_path_that_cannot_be_written_down_is_refused_before_anything_is_done(
    here: Here, tmp_path: Path, name: str
) -> None:
    """A path that is not UTF-8 ends with 2 and leaves no directory, since no report could read such records."""
    odd = tmp_path / "b\udcffd.csv"
    odd.mkdir() if name in ("--data", "--models") else odd.write_text("0.1\n0.2\n")
    with_it = ["--stragglers", "trace"] if name == "--trace" else []
    code, out, err = here("simulate", *SMALL, *with_it, name, odd, "--out", "r")
    assert (code, out) == (2, "")
    assert "is not UTF-8; rename it, or make a link to it with another name" in err
    assert not (tmp_path / "r").exists()

"""`record` as a user meets it: a short recording of real workers, its profile, its samples and its messages."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from command_line import said_by
from real_processes import ROOT
from rich.console import Console

from collagebench.errors import DataError
from collagebench.report.recorded import command, print_recorded
from collagebench.stragglers.logs import read_logs
from collagebench.stragglers.model import open_stragglers
from collagebench.stragglers.recorded import read


def started(*arguments: Any, cwd: Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start `record` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "collagebench", "record", *map(str, arguments)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": ROOT, "COLUMNS": "80"},
        stdout=subprocess.PIPE, stderr=stderr, text=True,
    )  # fmt: skip


def recorded(*arguments: Any, cwd: Path) -> tuple[int, str, str]:
    """Run `record` to its end; return exit code, standard output and standard error."""
    process = started(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=180)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str]:
    """Run `record` in this process; return its exit code and standard error."""
    code, _, err = said_by(capsys, "record", *arguments)
    return code, err


SHORT = ("--workers", 2, "--duration", 1.5, "--rate", 60)


def test_a_recording_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An --out that exists is refused, and the file stays as it is."""
    (tmp_path / "r.json").write_text("a week of it")
    code, said = refused(capsys, "--out", tmp_path / "r.json")
    assert (code, "r.json exists" in said, said.count("\n")) == (2, True, 1)
    assert (tmp_path / "r.json").read_text() == "a week of it"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a directory with a profile and samples, deep/r.json and deep/r.csv.gz, and what `record` printed."""
    directory = tmp_path_factory.mktemp("watched")
    code, out, err = recorded(*SHORT, "--samples", "--out", "deep/r.json", cwd=directory)
    assert (code, err) == (0, "profile: deep/r.json\n")
    return directory / "deep", out


@pytest.mark.processes
def test_a_short_watch_leaves_a_profile_that_can_be_replayed(watched: tuple[Path, str]) -> None:
    """A recording of 1.5 s of two workers: table, profile and samples agree, and draws have the recorded median."""
    deep, out = watched
    profile = read(deep / "r.json")
    assert profile["complete"]
    assert [machine["worker"] for machine in profile["machines"]] == [0, 1]
    counts = [machine["count"] for machine in profile["machines"]]
    assert sum(counts) == profile["fleet"]["count"] > 100
    assert {fit["family"] for fit in profile["fits"]} == {
        "shifted-exponential", "pareto", "lognormal", "bimodal", "structured",
    }  # fmt: skip
    assert profile["fits"] == sorted(profile["fits"], key=lambda fit: fit["aic"])
    assert profile["environment"]["packages"]["onnxruntime"]
    samples = deep / "r.csv.gz"
    assert profile["samples"] == samples.name
    logs = read_logs(samples)
    assert list(map(len, logs)) == counts
    for machine, log in zip(profile["machines"], logs, strict=True):
        assert sum(log) / len(log) == pytest.approx(machine["mean_s"], rel=1e-3)
        assert sorted(log)[-(-len(log) // 2) - 1] == pytest.approx(machine["p50_s"], rel=1e-3)
    stragglers = open_stragglers(str(deep / "r.json"), 0, 2)
    draws = sorted(stragglers.draw(0, 1, request, 0, 0.0) for request in range(2001))
    assert draws[1000] == pytest.approx(profile["machines"][1]["p50_s"], rel=0.1)
    assert max(map(len, out.splitlines())) <= 80
    for words in ("2 workers serving shapes-single", "nothing injected", "fleet", "lognormal", "To inject it:"):
        assert words in out


@pytest.mark.processes
def test_the_samples_open_in_one_call(watched: tuple[Path, str]) -> None:
    """pandas reads the compressed samples without any options."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(watched[0] / "r.csv.gz")
    assert list(frame.columns) == ["machine", "sent", "queue", "seconds", "round_trip"]
    assert (frame.round_trip > frame.seconds).all()
    assert set(frame.machine) == {0, 1}


@pytest.mark.processes
def test_json_prints_the_profile(tmp_path: Path) -> None:
    """--format json prints the contents of the profile's file."""
    code, out, _ = recorded(*SHORT, "--format", "json", "--out", "r.json", "--arrivals", "constant", cwd=tmp_path)
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "r.json").read_text())
    assert not (tmp_path / "r.csv.gz").exists()


@pytest.mark.processes
def test_a_disturbed_worker_is_named(tmp_path: Path) -> None:
    """If a natural straggler runs during the recording, the profile says which worker it disturbed and how."""
    options = ("--stragglers", "stop", "--stop-every", 0.2, "--stop-for", 0.1, "--duration", 3)
    code, out, _ = recorded(*SHORT, *options, "--out", "r.json", cwd=tmp_path)
    assert code == 0
    disturbed = read(tmp_path / "r.json")["disturbed"]
    assert (disturbed["kind"], disturbed["stop_for"]) == ("stop", 0.1)
    assert [what["worker"] for what in disturbed["what"]] == disturbed["workers"]
    assert disturbed["what"][0]["stops"]
    assert "disturbed by stop" in out


@pytest.mark.processes
def test_ctrl_c_keeps_what_was_seen(tmp_path: Path) -> None:
    """On a terminal a bar is shown; Ctrl-C ends with 130, the table and a profile that is marked incomplete."""
    ours, theirs = os.openpty()
    process = started(
        "--workers", 2, "--duration", 600, "--rate", 100, "--out", "r.json", cwd=tmp_path, stderr=theirs
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while b"watching 2 workers" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        reader = threading.Thread(target=_drain, args=(ours,))
        reader.start()
        out, _ = process.communicate(timeout=180)
        reader.join()
    finally:
        process.kill()
        os.close(ours)
    assert process.returncode == 130
    assert read(tmp_path / "r.json")["complete"] is False
    assert "note: the recording ended after" in out


def _drain(descriptor: int) -> None:
    """Read a terminal to its end, so that the process writing there is not blocked."""
    with contextlib.suppress(OSError):  # a closed terminal ends in this error
        while os.read(descriptor, 4096):
            pass


def test_what_makes_no_sense_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Impossible numbers, names, files and directories each end with exit code 1 or 2 and one sentence."""
    (tmp_path / "file").write_text("")
    for arguments, code, words in (
        (("--workers", 0), 2, "--workers must be 1 or more"),
        (("--rate", 0), 2, "--rate must be a number above 0"),
        (("--rate", "nan"), 2, "--rate must be a number above 0"),
        (("--duration", -1), 2, "--duration must be a number above 0"),
        (("--rate", 1e5, "--duration", 1e5), 2, "lower --rate or --duration"),
        (("--rate", 1e9), 2, "--rate must be a number above 0 and below 1,000,000"),
        (("--rate", 0.1, "--duration", 0.5), 2, "fewer than 20 services would be sent in 0.5 s"),
        (("--seed", -1), 2, "--seed must be 0 or more"),
        (("--arrivals", "often"), 2, "--arrivals must be poisson or constant"),
        (("--stragglers", "lognormal"), 2, "--stragglers must be one of stop, corunner, throttle, traffic"),
        (("--stragglers", "corruner"), 2, "did you mean 'corunner'?"),
        (("--stragglers", "stop", "--load", "cpu"), 2, "--load is for --stragglers corunner, not stop"),
        (("--stop-for", 1), 2, "--stop-for is for --stragglers stop, not none"),
        (("--stragglers", "stop", "--slow-workers", 11), 2, "--slow-workers must be 0 to 10"),
        (("--dataset", "cats"), 2, "unknown dataset 'cats'"),
        (("--dataset", "imagefolder"), 2, "needs --data"),
        (("--data", tmp_path / "photos"), 1, f"there is no directory {tmp_path / 'photos'}"),
        (("--fleet", "endpoint", "--endpoint", "grpc://h:1/m"), 2, "which endpoints do not"),
        (("--models", tmp_path), 1, "holds no manifest.json"),
        (("--out", tmp_path), 1, "(Is a directory); choose another --out"),
        (("--out", "/proc/r.json"), 1, "/proc/r.json cannot be written (No such file or directory); choose another"),
        (("--out", tmp_path / "file" / "r.json"), 1, "choose another --out"),
    ):
        found, said = refused(capsys, *arguments)
        assert (found, said.count("\n")) == (code, 1), said
        assert words in said


def test_notes_name_what_went_wrong(tmp_path: Path) -> None:
    """The table keeps to 80 columns, and notes name the workers that were lost, silent, overloaded or always slow."""
    one = {
        "worker": 0, "count": 1000, "mean_s": 0.002, "p50_s": 0.002, "p99_s": 0.0123, "autocorrelation": 0.5,
        "slow_share": 0.01, "slow_period_s": 0.5, "slow_periods_ended": 2, "slow_throughout": False,
        "failed": 0, "lost": None, "busy": 0.01,
    }  # fmt: skip
    slow = {**one, "worker": 1, "slow_period_s": 60.0, "slow_periods_ended": 0, "slow_throughout": True, "busy": 0.8}
    gone = {**one, "worker": 2, "count": 0, "mean_s": None, "p50_s": None, "p99_s": None, "autocorrelation": None,
            "slow_period_s": None, "failed": 7, "lost": "killed by signal 9"}  # fmt: skip
    profile = {
        "workers": 3, "model": {"name": "shapes-single"}, "rate": 20.0, "arrivals": "poisson", "seconds": 61.2,
        "duration_s": 600, "disturbed": {"kind": "corunner"}, "machine_busy": 0.95, "complete": False, "samples": None,
        "machines": [one, slow, gone], "fleet": {**one, "slow_above_s": 0.004},
        "fits": [{"family": "lognormal", "parameters": {"median": 0.002, "sigma": 0.3}, "ks": 0.04, "aic": -1234.5}],
        "recommended": {"stragglers": "lognormal", "options": {"stragglers": "lognormal", "time_scale": 1.0,
                        "median": 0.002, "sigma": 0.3}, "because": "it fits"},
    }  # fmt: skip
    text = StringIO()
    print_recorded(profile, tmp_path / "r.json", Console(file=text, width=80))
    shown = text.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    for words in (
        "disturbed by corunner", "> 60 s", "500 ms", "the recording ended after 61 of 600 s",
        "worker 2 was lost: killed by", "a live client is seldom on time for services of less than 5 ms",
        "worker 2 left 7 requests unanswered", "requests queued at worker 1,", "this machine was busy",
        "--stragglers lognormal --time-scale 1 --median 0.002 --sigma 0.3", "because it fits", "median 2, sigma 0.3",
    ):  # fmt: skip
        assert words in shown
    assert command({"options": None}, Path("r.json")) == "--stragglers r.json"
    assert command({"options": None}, Path("my r.json")) == "--stragglers 'my r.json'"


def test_compressed_samples_that_are_damaged_are_one_sentence(tmp_path: Path) -> None:
    """A truncated or uncompressed .csv.gz file of samples is refused in one sentence."""
    whole = gzip.compress(b"machine,seconds\n" + b"0,0.01234\n" * 1000)
    (tmp_path / "torn.csv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "no.csv.gz").write_bytes(b"machine,seconds\n")
    for name in ("torn.csv.gz", "no.csv.gz"):
        with pytest.raises(DataError, match="the trace"):
            read_logs(tmp_path / name)

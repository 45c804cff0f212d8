"""`run --fleet endpoint` as a user meets it: processes, a foreign server, and the ways in which it fails."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import collagebench, descendants, finish, start, wait_for_requests
from foreign_server import Server, serving, shapes
from natural_processes import until

pytestmark = pytest.mark.processes

SECRET = "tok-5b1e77d2aa"
LONG = [
    "--fleet",
    "endpoint",
    "--workers",
    "4",
    "--runs",
    "1",
    "--requests",
    "400",
    "--rate",
    "150",
    "--stragglers",
    "none",
]


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server of the shipped models."""
    with serving(shapes("single", "collage")) as running:
        yield running


def run(server: Server, *arguments: Any, cwd: Path) -> subprocess.Popen[str]:
    """Start a run of the scheme none against a server, into the directory r."""
    return start("run", *LONG, "--scheme", "none", "--endpoint", server.url, "--out", "r", *arguments, cwd=cwd)


def requests(directory: Path) -> Counter[str]:
    """Count the recorded requests of a run by the reason of failure, which is "" for those answered."""
    with (directory / "requests.csv").open() as file:
        return Counter(row["reason"] for row in csv.DictReader(file))


def test_three_schemes_on_somebody_elses_server(server: Server, tmp_path: Path) -> None:
    """Three schemes run against a foreign server; what it does not report is null, empty or a dash, never 0."""
    schemes = [word for name in ("none", "replication", "collage") for word in ("--scheme", name)]
    urls = ["--endpoint", server.url]
    options = ["--fleet", "endpoint", *urls, "--workers", 6, "--runs", 2, "--requests", 60, "--out", "r"]
    code, out, err = collagebench("run", *options, *schemes, "--format", "json", cwd=tmp_path)
    report = json.loads(out)
    assert code == (0 if report["valid"] else 4), err
    for scheme in report["schemes"]:
        assert (scheme["requests"], scheme["failed"]) == (2 * 57, 0)
        assert scheme["accuracy"]["overall"] > 0.8
        assert scheme["latency_s"]["p50"] > 0.01
        assert scheme["phases_s"]["service"] is None
        assert scheme["phases_s"]["transport"] is None
        assert scheme["cost"]["executed_s"] is None
        assert scheme["cost"]["wasted_s"] is None
        assert scheme["cost"]["bytes_sent"] > 0
    assert "collage" in report["schemes"][2]["sources"]
    header = json.loads((tmp_path / "r" / "run.json").read_text())
    assert header["hosts"] == [{"host": server.url, "workers": 6, "server": "foreign 7"}]
    assert {model["sha256"] for model in header["models"]} == {None}
    said = {}
    for form, details in (("table", ["--details"]), ("markdown", []), ("csv", []), ("html", [])):
        assert collagebench("report", "r", "--format", form, *details, "--out", f"r.{form}", cwd=tmp_path)[0] == code
        said[form] = (tmp_path / f"r.{form}").read_text()
    for row in csv.DictReader(said["csv"].splitlines()):
        unknown = ("executed_s", "wasted_s", "work_ratio", "phase_service_mean_s", "phase_transport_mean_s")
        assert {name: row[name] for name in unknown} == dict.fromkeys(unknown, "")
        assert int(row["bytes_sent"]) > 0
    for name in ("none", "replication", "collage"):
        assert re.search(rf"^{name} +\d+ +- +- +\d", said["table"], re.MULTILINE), "served and wasted seconds"
        assert re.search(rf"^\| {name} \|.* \| - \| \d+ \|$", said["markdown"], re.MULTILINE), "work"
        served = rf'<th scope="row" title="{name}">((?!</th>).)*</th><td>6</td><td>\d+</td><td>-</td><td>-</td>'
        assert re.search(served, said["html"]), "served and wasted seconds"


def test_a_server_with_another_order_of_classes_is_not_valid(tmp_path: Path) -> None:
    """If a server's answers are wrong far more often than the manifest says, the report is INVALID."""
    models = shapes("single")
    for name, model in models.items():
        right = model.classify
        models[name] = replace(model, classify=lambda pixels, right=right: np.roll(right(pixels), 1, axis=1))
    with serving(models) as running:
        code, out, _ = finish(run(running, "--requests", 100, "--rate", 50, cwd=tmp_path))
    said = " ".join(out.split())
    assert code == 4
    assert "the servers' own answers were right in 0.0 % of 95 cases, but the manifest says 99.4 %" in said
    assert "--pixel-scale" in said


def test_a_server_that_goes_in_mid_run(server: Server, tmp_path: Path) -> None:
    """If the server stops during a run, the run ends early with 4; the report says why, and no request is missing."""
    process = run(server, "--requests", 4000, cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    server.stop()
    code, out, _ = finish(process)
    assert code == 4
    with (tmp_path / "r" / "cells.csv").open() as file:
        (cell,) = csv.DictReader(file)
    assert float(cell["duration"]) < 20  # its requests would arrive over 27 s
    assert "INVALID" in out
    assert f"worker 0 at {server.url} is gone" in " ".join(out.split())
    found = requests(tmp_path / "r")
    assert found.total() == 4000
    assert found[""] > 0
    assert set(found) <= {"", "lost", "refused"}


def test_a_server_that_hangs_in_mid_run(server: Server, tmp_path: Path) -> None:
    """If the server hangs during a run, requests fail at their deadline and the report says that it did not answer."""
    process = run(server, "--deadline", 0.3, cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    server.go_on.clear()
    code, out, _ = finish(process)
    assert code == 4
    assert "did not answer within" in " ".join(out.split())
    found = requests(tmp_path / "r")
    assert found.total() == 400
    assert found["deadline"] > 0


def test_a_server_that_spoils_replies(server: Server, tmp_path: Path) -> None:
    """Each malformed reply fails only its own request, as refused; the run goes on, and a warning counts them."""
    spoilt = []

    def now_and_then(content: bytes, context: Any) -> Any:
        bad = len(server.inferred) > 40 and len(server.inferred) % 10 == 0
        spoilt.append(bad)
        good = server.ModelInfer(content, context)
        return b"\xff\xff no message" if bad else good

    server.instead["ModelInfer"] = now_and_then
    code, out, err = finish(run(server, "--format", "json", cwd=tmp_path))
    found = requests(tmp_path / "r")
    assert code in (0, 4), err
    assert found.total() == 400
    assert found["refused"] == sum(spoilt) > 0
    report = json.loads(out)
    assert report["schemes"][0]["failed"] > 0
    (said,) = [text for text in report["warnings"] if " got no answer: " in text]
    assert said.startswith(f"{sum(spoilt)} tasks got no answer: the worker at {server.url} answered with ")


@pytest.mark.parametrize("when", ["asking", "running"])
def test_ctrl_c(server: Server, tmp_path: Path, when: str) -> None:
    """Ctrl-C ends the run with 130, during requests as well as while it waits for a server that does not answer."""
    if when == "asking":
        server.go_on.clear()
    process = run(server, "--requests", 40_000, cwd=tmp_path)
    if when == "asking":
        until(lambda: server.at_once, "the server is asked")
    else:
        wait_for_requests(process, tmp_path)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert "interrupted" in err


def test_a_token_is_seen_by_nobody_else(tmp_path: Path) -> None:
    """The token is in no process's command line or environment, in no output and in no file of the run."""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    with serving(shapes("single"), SECRET) as server:
        process = run(server, "--token-file", "token", "--verbose", cwd=tmp_path)
        wait_for_requests(process, tmp_path)
        family = [process.pid, *descendants(process.pid)]
        shown = [Path(f"/proc/{pid}/{what}").read_bytes() for pid in family for what in ("cmdline", "environ")]
        code, out, err = finish(process)
    assert code in (0, 4), err
    written = [path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert len(written) >= 4
    for content in (*shown, *written, out.encode(), err.encode()):
        assert SECRET.encode() not in content


def test_the_variable_does_for_a_token_and_a_bad_one_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is read from COLLAGEBENCH_TOKEN; if the server rejects it, the error does not repeat it."""
    monkeypatch.setenv("COLLAGEBENCH_TOKEN", "tok-another")
    with serving(shapes("single"), SECRET) as server:
        code, out, err = finish(run(server, cwd=tmp_path))
    assert code == 1
    assert "rejects the token" in err
    assert "tok-another" not in out + err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--fleet", "endpoint"], "needs servers"),
        (["--fleet", "endpoint", "--endpoint", "localhost:1"], "must begin with grpc://"),
        (
            ["--fleet", "endpoint", "--endpoint", "grpc://h:1", "--scheme", "replication"],
            "--workers is the number of requests that may be at the servers",
        ),
        (["--endpoint", "grpc://localhost:1"], "has no effect with --fleet local"),
        (
            ["--fleet", "endpoint", "--endpoint", "grpc://h:1", "--tls-ca", "ca.pem", "--workers", "4"],
            "--tls-ca has no effect on grpc://h:1, which is not encrypted",
        ),
        (
            ["--fleet", "endpoint", "--endpoint", "grpc://h:1", "--stragglers", "stop", "--workers", "4"],
            "cannot be stopped",
        ),
        (
            ["--fleet", "endpoint", "--endpoint", "grpc://h:1", "--stragglers", "crash", "--workers", "4"],
            "cannot be stopped",
        ),
        (
            ["--fleet", "endpoint", "--endpoint", "grpc://h:1", "--compute", "emulated", "--workers", "4"],
            "compute for themselves",
        ),
        (
            ["--fleet", "endpoint", "--endpoint", "grpc://h:1", "--token-file", "absent", "--workers", "4"],
            "cannot be read",
        ),
        (
            ["--fleet", "endpoint", "--endpoint", "grpcs://h:1", "--tls-ca", "absent", "--workers", "4"],
            "cannot be read",
        ),
    ],
)
def test_what_makes_no_sense(arguments: list[str], why: str, tmp_path: Path) -> None:
    """Options that make no sense end with exit code 2 and one line that says why, and leave no run directory."""
    code, _, err = collagebench("run", *arguments, cwd=tmp_path)
    assert code == 2
    assert (err.startswith("collagebench: "), err.count("\n")) == (True, 1)
    assert why in err
    assert not (tmp_path / "runs").exists()

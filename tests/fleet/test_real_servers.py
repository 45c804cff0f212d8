"""MLServer and Triton as workers.

They are installed from PyPI, which takes minutes the first time:
`pytest -n 0 -m slow tests/fleet/test_real_servers.py`.
"""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import collagebench, finish, start, wait_for_requests
from real_servers import Running, mlserver, triton

pytestmark = [pytest.mark.slow, pytest.mark.processes]


@pytest.fixture(params=[mlserver, triton], ids=["MLServer", "Triton"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """Return a running server of either kind."""
    directory = tmp_path / "server"
    directory.mkdir()
    with request.param(directory) as running:
        yield running


def options(server: Running, *schemes: str) -> list[Any]:
    """Return the options of a run on four slots of a server."""
    named = [word for scheme in schemes for word in ("--scheme", scheme)]
    return ["run", "--fleet", "endpoint", "--endpoint", server.url, "--workers", 4, *named, "--out", "r"]


def test_three_schemes(server: Running, tmp_path: Path) -> None:
    """None, replication and collage answer all requests, over 90 % correctly; the time executed there is null."""
    load = ["--requests", 100, "--runs", 2, "--utilisation", 0.3]
    code, out, err = collagebench(
        *options(server, "none", "replication", "collage"), *load, "--format", "json", cwd=tmp_path
    )
    report = json.loads(out)
    assert code == (0 if report["valid"] else 4), err
    for scheme in report["schemes"]:
        assert (scheme["requests"], scheme["failed"]) == (2 * 95, 0)
        assert scheme["accuracy"]["overall"] > 0.9
        assert scheme["cost"]["executed_s"] is None
    (host,) = json.loads((tmp_path / "r" / "run.json").read_text())["hosts"]
    assert host["host"] == server.url
    assert host["server"].split()[0] in ("MLServer", "mlserver", "triton")
    print(collagebench("report", "r", cwd=tmp_path)[1])


def test_kill_9_in_mid_run(server: Running, tmp_path: Path) -> None:
    """If the server is killed, the run ends within 10 s with exit code 4, and no request is missing."""
    load = ["--requests", 2000, "--runs", 1, "--rate", 100, "--stragglers", "none"]
    process = start(*options(server, "none"), *load, cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    server.kill()
    began = time.monotonic()
    code, out, _ = finish(process)
    assert time.monotonic() - began < 10
    assert code == 4
    assert f"worker 0 at {server.url} is gone" in " ".join(out.split())
    with (tmp_path / "r" / "requests.csv").open() as file:
        reasons = Counter(row["reason"] for row in csv.DictReader(file))
    assert reasons.total() == 2000
    assert reasons[""] > 0

"""Workers on a Ray cluster of two nodes: three schemes, every way to lose a worker, and nothing left afterwards.

`pip install '.[ray]'`, then `pytest -n 0 -m slow tests/fleet/test_ray_fleet.py`.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import collagebench, finish, start, wait_for_requests
from ray_nodes import CORES, Nodes, processes_named, ray_nodes
from real_processes import Watched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

WORKER = "ray::Guest"
LONG = ["--workers", 4, "--runs", 1, "--requests", 4000, "--rate", 80, "--stragglers", "none", "--scheme", "none"]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Return a cluster of two nodes."""
    with ray_nodes() as up:
        yield up


def run(nodes: Nodes, *options: Any, cwd: Path) -> subprocess.Popen[str]:
    """Start a run on the cluster, into the directory r."""
    return start("run", "--fleet", "ray", "--ray-address", nodes.address, *options, "--out", "r", cwd=cwd)


def workers_after(seconds: float) -> set[int]:
    """Wait until all workers have ended, at most some seconds; return the ids of those that have not."""
    until = time.monotonic() + seconds
    while (left := processes_named(WORKER)) and time.monotonic() < until:
        time.sleep(0.05)  # the interval of polling
    return left


def reasons(directory: Path) -> Counter[str]:
    """Count the recorded requests by the reason of failure, which is "" for those answered."""
    with (directory / "requests.csv").open() as file:
        return Counter(row["reason"] for row in csv.DictReader(file))


@pytest.mark.parametrize("compute", ["real", "emulated"])
def test_three_schemes(nodes: Nodes, tmp_path: Path, compute: str) -> None:
    """Workers are spread over both nodes, over 80 % of answers are right, times are recorded, no process is left."""
    schemes = [word for name in ("none", "replication", "collage") for word in ("--scheme", name)]
    options = ["--workers", 6, "--runs", 2, "--requests", 60, "--utilisation", 0.2, "--compute", compute]
    code, out, err = finish(run(nodes, *options, *schemes, "--format", "json", cwd=tmp_path))
    report = json.loads(out)
    assert code == (0 if report["valid"] else 4), err
    for scheme in report["schemes"]:
        assert (scheme["requests"], scheme["failed"]) == (2 * 57, 0)
        assert scheme["accuracy"]["overall"] > 0.8
        assert scheme["phases_s"]["service"] > 0.01
        assert scheme["cost"]["executed_s"] > 0
    hosts = json.loads((tmp_path / "r" / "run.json").read_text())["hosts"]
    assert sorted((host["host"], host["workers"]) for host in hosts) == [("127.0.0.2", 3), ("127.0.0.3", 3)]
    assert workers_after(10) == set()


def test_a_client_that_is_no_node(nodes: Nodes, tmp_path: Path) -> None:
    """A client outside the cluster reaches it through Ray's client server, and all its requests are answered."""
    process = run(nodes, *LONG, "--requests", 100, "--ray-address", nodes.client, cwd=tmp_path)
    code, _, err = finish(process)
    assert code in (0, 4), err
    assert reasons(tmp_path / "r") == {"": 100}
    assert workers_after(10) == set()


def test_placement(nodes: Nodes, tmp_path: Path) -> None:
    """With --ray-resource the workers are placed on the node that has the resource."""
    asked = ["--ray-cpus", 0, "--ray-placement", "pack", "--ray-resource", "node:127.0.0.3", 0.1]
    code, _, err = finish(run(nodes, *LONG, "--requests", 40, *asked, cwd=tmp_path))
    assert code in (0, 4), err
    (host,) = json.loads((tmp_path / "r" / "run.json").read_text())["hosts"]
    assert (host["host"], host["workers"]) == ("127.0.0.3", 4)


def test_kill_9_of_a_worker(nodes: Nodes, tmp_path: Path) -> None:
    """If a worker is killed, the run ends with 4, all requests are recorded, and the report quotes Ray's reason."""
    process = run(nodes, *LONG, "--requests", 800, "--scheme", "equal", cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    victim = min(processes_named(WORKER))
    os.kill(victim, signal.SIGKILL)
    code, out, _ = finish(process)
    assert code == 4
    assert "ended, according to Ray: " in " ".join(out.split())
    assert "no complete run" in out
    assert reasons(tmp_path / "r").total() == 800
    assert workers_after(10) == set()


def test_a_client_that_is_killed_leaves_nothing(nodes: Nodes, tmp_path: Path) -> None:
    """If the client is killed, Ray ends its workers."""
    process = run(nodes, *LONG, cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    watched = Watched(list(processes_named(WORKER)))
    process.kill()
    process.communicate()
    assert watched.left_after(10) == set()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wait", [0.0, 0.5, 1.0, 1.5, None])
def test_ctrl_c(nodes: Nodes, tmp_path: Path, sign: int, wait: float | None, temporary: Path) -> None:
    """SIGINT or SIGTERM, during the start or the run (None), ends it within 10 s, with 130 and no worker left."""
    process = run(nodes, *LONG, cwd=tmp_path)
    if wait is None:
        wait_for_requests(process, tmp_path)
    else:
        until = time.monotonic() + 30
        while not (tmp_path / "r" / "run.json").exists():  # written just before the cluster is contacted
            assert time.monotonic() < until
            time.sleep(0.02)  # the interval of polling
        time.sleep(wait)  # the moment of the signal is the parameter
    process.send_signal(sign)
    began = time.monotonic()
    code, _, err = finish(process)
    assert time.monotonic() - began < 10
    assert code == 130
    assert "interrupted" in err
    assert "never retrieved" not in err
    assert workers_after(10) == set()
    assert not list(temporary.iterdir())


def test_two_runs_at_once(nodes: Nodes, tmp_path: Path) -> None:
    """Two runs can share a cluster, and each answers all its requests."""
    places = [tmp_path / name for name in "ab"]
    for place in places:
        place.mkdir()
    both = [run(nodes, *LONG, "--requests", 100, cwd=place) for place in places]
    for process, place in zip(both, places, strict=True):
        code, _, err = finish(process)
        assert code in (0, 4), err
        assert reasons(place / "r") == {"": 100}


def test_a_cluster_without_room(nodes: Nodes, tmp_path: Path) -> None:
    """A cluster without room for the workers is an error with exit code 1, not an endless wait."""
    code, _, err = finish(run(nodes, *LONG, "--ray-cpus", CORES - 1, cwd=tmp_path))
    assert code == 1
    assert f"no room for 4 workers of {CORES - 1} CPU each, placed spread" in err
    assert workers_after(10) == set()


@pytest.mark.parametrize(
    ("address", "why"),
    [("127.0.0.1:1", "cannot be reached (Connection refused)"), ("no-such-host.invalid:1", "cannot be reached")],
)
def test_a_cluster_that_is_not_there(address: str, why: str, tmp_path: Path) -> None:
    """A cluster that cannot be reached ends with exit code 1 and the reason, within 20 s."""
    began = time.monotonic()
    code, _, err = collagebench("run", "--fleet", "ray", "--ray-address", address, cwd=tmp_path)
    assert time.monotonic() - began < 20
    assert code == 1
    assert why in err


def test_a_node_that_goes_in_mid_run(tmp_path: Path) -> None:
    """If a node is lost, the workers of the other one go on, the run ends with 4, and no request is missing."""
    with ray_nodes() as own:
        process = run(own, *LONG, "--requests", 800, cwd=tmp_path)
        wait_for_requests(process, tmp_path)
        own.kill_second()
        code, out, _ = finish(process, 90)
        assert code == 4
        assert "INVALID" in out
        found = reasons(tmp_path / "r")
        assert found.total() == 800
        assert found[""] > 400
        assert workers_after(10) == set()

"""A study's points on a Ray cluster: the same results as here, in the right place, and nothing left on the nodes.

`pip install '.[ray]'`, then `pytest -n 0 -m slow tests/study/test_on_ray.py`.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import collagebench
from ray_nodes import CORES, Nodes, processes_named, ray_nodes
from real_processes import ROOT

from collagebench.config import Config, SchemeConfig
from collagebench.errors import CollagebenchError
from collagebench.study.on_ray import SCRATCH, RayExecutor, pack, unpack
from collagebench.study.points import Point, run_points

with_ray = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]
COMPUTE = {("shapes-single", 1): 0.001}
STUDY = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {here!r}]
from test_on_ray import COMPUTE, points
from collagebench.study.on_ray import RayExecutor
from collagebench.study.points import run_points
with RayExecutor(sys.argv[1]) as cluster:
    run_points(points(8, 400_000), Path(sys.argv[2]), COMPUTE, cluster.cpus, pool=lambda jobs: cluster)
"""


def points(count: int, requests: int = 200) -> list[Point]:
    """Return experiments that differ in their seeds."""
    scheme = (SchemeConfig("none", "none"),)
    configs = [Config(schemes=scheme, workers=4, requests=requests, runs=1, seed=seed) for seed in range(count)]
    return [Point(f"seed-{config.seed}", config) for config in configs]


def test_a_directory_goes_there_and_back(tmp_path: Path) -> None:
    """A packed directory is unpacked whole in place of the old one, and nothing beside it changes."""
    for name, text in (("a/x", "1"), ("a/b/y", "2"), ("c/old", "3")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    unpack(pack(tmp_path / "a"), tmp_path / "c")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        *("a/b/y", "a/x", "c/b/y", "c/x")
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Return a cluster of two nodes."""
    with ray_nodes() as up:
        yield up


def pieces() -> list[Path]:
    """Return the directories of points being simulated on the nodes, which are on this machine."""
    return list(Path("/tmp").glob(f"{SCRATCH}*"))


class TestOnACluster:
    """Tests that need a cluster."""

    pytestmark = with_ray

    def test_points_are_the_same_as_here(self, nodes: Nodes, tmp_path: Path) -> None:
        """Records on a cluster are byte for byte those of this machine, and finished points are not simulated again."""
        with RayExecutor(nodes.address) as cluster:
            assert cluster.cpus == 2 * CORES
            there = run_points(points(6), tmp_path / "there", COMPUTE, 4, pool=lambda jobs: cluster)
        here = run_points(points(6), tmp_path / "here", COMPUTE, 2)
        for one, other in zip(there, here, strict=True):
            assert one["schemes"] == other["schemes"]
        for point in points(6):
            for name in ("requests.csv", "tasks.csv", "cells.csv"):
                found = [(tmp_path / place / point.name / name).read_bytes() for place in ("there", "here")]
                assert found[0] == found[1]
        with RayExecutor(nodes.address) as cluster:
            again = run_points(points(6), tmp_path / "there", COMPUTE, 4, pool=lambda jobs: cluster)
        assert [one["schemes"] for one in again] == [one["schemes"] for one in there]
        assert not pieces()

    def test_a_sweep_on_the_command_line(self, nodes: Nodes, tmp_path: Path) -> None:
        """A sweep on a cluster prints the same table as here; an experiment that is no sweep is refused."""
        options = ["--utilisation", "0.1,0.3", "--scheme", "none", "--runs", 2, "--requests", 300]
        options += ["--compute-time", 0.001]
        tables = []
        for name, more in (("there", ["--on-ray", nodes.address]), ("here", [])):
            code, out, err = collagebench("simulate", *options, *more, "--out", name, cwd=tmp_path)
            assert code == 0, err
            tables.append(out)
        assert tables[0] == tables[1]
        code, _, err = collagebench("simulate", "--on-ray", nodes.address, cwd=tmp_path)
        assert code == 2
        assert "--on-ray simulates the cells of a sweep" in err

    def test_a_point_that_fails_names_itself(self, nodes: Nodes, tmp_path: Path) -> None:
        """A point that fails on a cluster is named, with its error."""
        bad = Point("bad", Config(schemes=points(1)[0].config.schemes, models=tmp_path / "absent"))
        with (
            RayExecutor(nodes.address) as cluster,
            pytest.raises(CollagebenchError, match=r"bad: .*absent"),
        ):
            run_points([bad], tmp_path / "r", COMPUTE, 1, pool=lambda jobs: cluster)

    def test_a_task_that_is_killed_is_not_begun_again(self, nodes: Nodes, tmp_path: Path) -> None:
        """When a task is killed, the study stops and says what was lost."""
        with RayExecutor(nodes.address) as cluster:
            future = cluster.submit(os.kill, 0, signal.SIGCONT)
            assert future.result(60) is None
            future = cluster.submit(os._exit, 3)
            with pytest.raises(CollagebenchError, match="its task on the Ray cluster was lost"):
                future.result(60)

    @pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
    def test_a_study_that_is_stopped(self, nodes: Nodes, tmp_path: Path, sign: int) -> None:
        """A study stopped by SIGINT or SIGKILL leaves no task and no directory on a node."""
        program = STUDY.format(tests=str(Path(__file__).parents[1]), here=str(Path(__file__).parent))
        study = subprocess.Popen(
            [sys.executable, "-c", program, nodes.address, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": ROOT},
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + 60
        while not any(any(path.glob("*")) for path in pieces()):
            assert time.monotonic() < until
            time.sleep(0.05)  # a pause between two polls
        study.send_signal(sign)
        began = time.monotonic()
        _, err = study.communicate(timeout=60)
        assert time.monotonic() - began < 15
        assert sign == signal.SIGKILL or "Interrupted" in err.strip().splitlines()[-1]
        while pieces() or processes_named("ray::_there"):
            assert time.monotonic() < until
            time.sleep(0.05)  # a pause between two polls

"""Real workers that are lost, or seem to be, at odd moments, and a Ctrl-C at the end."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import finish, wait_for_requests
from natural_processes import PATIENCE, until
from real_processes import ROOT, worker_pids

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.recorder import Recorder
from collagebench.fleet.launcher import Launcher
from collagebench.results.reader import load
from collagebench.statistics.validity import judge

pytestmark = pytest.mark.processes

QUICK = {"workers": 3, "runs": 2, "requests": 30, "rate": 60.0, "schemes": ("none",), "warmup": 0, "time_scale": 0.1}


def cells(directory: Path) -> list[dict[str, str]]:
    """Return the rows of a run's cells.csv."""
    with (directory / "cells.csv").open() as file:
        return list(csv.DictReader(file))


class Deadly(Progress):
    """Kills a worker when the second cell is announced, before workers are disturbed for it."""

    def __init__(self) -> None:
        self._cells = 0

    def cell(self, scheme: str, run: int) -> None:
        """Count the cells."""
        self._cells += 1
        if self._cells == 2:
            pid = worker_pids()[0]
            os.kill(pid, signal.SIGKILL)
            until(lambda: pid not in worker_pids(), "the worker has ended")


def test_a_worker_that_is_lost_while_others_begin_to_be_disturbed_is_a_lost_worker(tmp_path: Path) -> None:
    """If a worker dies while a disturbance begins, before the first request, the run ends as with any lost worker."""
    traffic = {"stragglers": "traffic", "slow_workers": 1, "time_scale": None}
    config = resolve({**QUICK, "runs": 3, **traffic})
    experiment.run(config, tmp_path / "run", Deadly())
    run = load(tmp_path / "run")
    assert len(run.cells) == 2
    assert any("killed by signal 9" in reason for reason in judge(run))


class Attentive(Progress):
    """Knows whether the loss of a worker has been noticed."""

    def __init__(self) -> None:
        self.noticed = threading.Event()

    def lost(self, worker: int) -> None:
        """Take note."""
        self.noticed.set()


def test_a_worker_that_is_lost_while_records_are_made_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client notices a worker's end while it makes a cell's records: the cell counts, and no other is measured."""
    progress = Attentive()

    def flush(self: Recorder) -> None:
        os.kill(worker_pids()[0], signal.SIGKILL)
        assert progress.noticed.wait(PATIENCE)

    monkeypatch.setattr(Recorder, "flush", flush)
    experiment.run(resolve(QUICK), tmp_path / "run", progress)
    run = load(tmp_path / "run")
    assert len(run.cells) == 1
    assert [cell["lost_workers"] for cell in cells(tmp_path / "run")] == [""]
    assert any("after run 0 of none; nothing was measured after it" in reason for reason in judge(run))


def test_a_ctrl_c_while_the_fleet_is_stopped_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If all is measured when a Ctrl-C comes, the fleet is still stopped in order, and the run is done."""
    drain, ended = Launcher.drain, []

    async def interrupted(self: Launcher, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        await drain(self, *arguments)
        ended.append(True)

    monkeypatch.setattr(Launcher, "drain", interrupted)
    experiment.run(resolve(QUICK), tmp_path / "run", Progress())
    assert ended == [True]
    assert worker_pids() == []
    assert load(tmp_path / "run").header["status"] == "done"


def test_a_client_that_was_stopped_does_not_blame_its_workers(tmp_path: Path) -> None:
    """If the client is stopped for long (Ctrl-Z), it goes on with all its workers, and measures that run again."""
    program = (
        "import sys\nfrom collagebench.engine import live\nfrom collagebench.cli import main\n"
        "from collagebench.statistics import lateness\n"
        "live.SILENCE, lateness.SHARE = 0.5, 0.2\nmain(sys.argv[1:])"  # a busy test machine must not count as late
    )
    options = "--scheme none --workers 8 --runs 2 --requests 60 --rate 30 --warmup 0 --deadline 0.5"
    slow = "--stragglers lognormal --median 0.2 --time-scale 1"
    client = subprocess.Popen(
        [sys.executable, "-c", program, "run", *options.split(), *slow.split(), "--out", "r"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_requests(client, tmp_path)
    client.send_signal(signal.SIGSTOP)
    time.sleep(3)  # how long it is stopped
    client.send_signal(signal.SIGCONT)
    code, out, err = finish(client)
    assert code in (0, 4), err  # INVALID if the machine was too busy to measure the run again in time
    assert sorted(cell["run"] for cell in cells(tmp_path / "r") if not cell["lost_workers"]) == ["0", "1"]
    header = json.loads((tmp_path / "r" / "run.json").read_text())
    assert [event for event in header["events"] if event["kind"] == "worker lost"] == [], out
    assert header["replaced"], "a run in which the client was stopped is measured again"

"""Workers that are lost before a cell begins, on real workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from natural_processes import until
from real_processes import worker_pids

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.results.reader import load
from collagebench.statistics.validity import judge

pytestmark = pytest.mark.processes


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
    config = resolve(
        {
            "workers": 3,
            "runs": 3,
            "requests": 30,
            "rate": 60.0,
            "schemes": ("none",),
            "stragglers": "traffic",
            "slow_workers": 1,
            "warmup": 0,
        }
    )
    experiment.run(config, tmp_path / "run", Deadly())
    run = load(tmp_path / "run")
    assert len(run.cells) == 2
    assert any("killed by signal 9" in reason for reason in judge(run))

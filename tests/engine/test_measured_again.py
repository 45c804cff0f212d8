"""Runs on real workers in which the client was late: when they are measured again, and when they count."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from real_processes import worker_pids

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.errors import Interrupted
from collagebench.results.reader import Run, load
from collagebench.statistics import lateness
from collagebench.statistics.validity import judge
from collagebench.statistics.warnings import warnings

pytestmark = pytest.mark.processes

BLOCKED = 1.0


class Disturbed(Progress):
    """A progress that blocks the client for `BLOCKED` seconds after 50 requests of the chosen cells."""

    def __init__(self, chooses: Callable[[str, int, int], bool]) -> None:
        """`chooses` gets scheme, run, and how often that cell has been measured before."""
        self.before: Counter[tuple[str, int]] = Counter()
        self.shown: list[str] = []
        self._chooses = chooses
        self._chosen = False
        self._arrived = 0

    def stage(self, text: str) -> None:
        """Call `before_looking` before late runs are looked for."""
        if "late" in text:
            self.before_looking()

    def before_looking(self) -> None:
        """Do nothing; a subclass may act here."""

    def show(self, text: str) -> None:
        """Keep the message."""
        self.shown.append(text)

    def cell(self, scheme: str, run: int) -> None:
        """Note that a cell begins, and whether it is chosen."""
        self._chosen = self._chooses(scheme, run, self.before[scheme, run])
        self.before[scheme, run] += 1
        self._arrived = 0

    def advance(self, requests: int) -> None:
        """Block the event loop of a chosen cell, as a busy machine would."""
        self._arrived += requests
        if self._chosen and self._arrived == 50:
            time.sleep(BLOCKED)


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Run, Disturbed]]:
    """Return a function that measures two schemes in two runs, while a progress disturbs the client."""
    # A busy test machine must not count as late: the limit is half of BLOCKED, whatever the median latency.
    times = lateness._times
    monkeypatch.setattr(lateness, "_times", lambda requests: replace(times(requests), p50=1.0))
    monkeypatch.setattr(lateness, "SHARE", BLOCKED / 2)

    def measure(
        chooses: Callable[[str, int, int], bool],
        resume: bool = False,
        progress: type[Disturbed] = Disturbed,
        **options: Any,
    ) -> tuple[Run, Disturbed]:
        defaults = {"workers": 4, "runs": 2, "requests": 60, "time_scale": 0.1, "compute": "emulated"}
        watching = progress(chooses)
        config = resolve({**defaults, "schemes": ("none", "hedge"), **options})
        experiment.run(config, tmp_path / "run", watching, resume)
        return load(tmp_path / "run"), watching

    return measure


def late(run: Run) -> bool:
    """Say whether a run is invalid because of the client."""
    return any(reason.startswith("the client handled requests late") for reason in judge(run))


def test_a_late_run_is_measured_again(measure: Callable[..., tuple[Run, Disturbed]]) -> None:
    """A run that a passing disturbance made late is measured again under all schemes, and is then not late.

    The new records replace the late ones; a warning says so, and the header keeps the figures of the late ones.
    """
    run, progress = measure(lambda scheme, number, before: (scheme, number, before) == ("hedge", 1, 0))
    assert progress.before == {("none", 0): 1, ("hedge", 0): 1, ("none", 1): 2, ("hedge", 1): 2}
    (shown,) = progress.shown
    assert shown.startswith("measuring 1 of 2 runs again, because the client was late (dispatch lag p99 up to ")
    (warning,) = [text for text in warnings(run) if "the client was late in" in text]
    assert warning.startswith("the client was late in 1 of 2 runs (")
    assert "so all schemes were measured again in those runs, with the same requests and delays" in warning
    before = {(cell["scheme"], cell["run"]): cell for cell in run.header["replaced"]}
    assert before.keys() == {("none", 1), ("hedge", 1)}
    assert before["hedge", 1]["p99_s"] > before["hedge", 1]["dispatch_lag_p99_s"] > BLOCKED / 2
    assert (run.left_out, run.changed, len(run.requests)) == ((), (), 240)
    assert float(run.requests["lag"].max()) < BLOCKED / 2
    arrivals = [sorted(run.of(scheme).requests["arrival"].tolist()) for scheme in ("none", "hedge")]
    assert arrivals[0] == arrivals[1]
    assert not late(run)


def test_what_stays_late_is_given_up(measure: Callable[..., tuple[Run, Disturbed]]) -> None:
    """A run that is late each time is measured twice more, and then makes the experiment invalid."""
    run, progress = measure(lambda scheme, number, before: (scheme, number) == ("hedge", 1))
    assert progress.before == {("none", 0): 1, ("hedge", 0): 1, ("none", 1): 3, ("hedge", 1): 3}
    assert ["again" in progress.shown[0], "once more" in progress.shown[1]] == [True, True]
    assert len(run.requests) == 240
    assert late(run)


@pytest.mark.parametrize(
    ("chooses", "options"),
    [
        (lambda scheme, number, before: scheme == "hedge", {}),
        (
            lambda scheme, number, before: (scheme, number) == ("none", 1),
            {"stragglers": "none", "time_scale": None, "compute_time": 0.02, "rate": 100.0},
        ),
    ],
    ids=["in all runs", "nothing is injected"],
)
def test_what_is_no_passing_disturbance_counts(
    measure: Callable[..., tuple[Run, Disturbed]], chooses: Callable[[str, int, int], bool], options: dict[str, Any]
) -> None:
    """If a scheme is late in more than half of its runs, or nothing is injected, late runs are not measured again."""
    run, progress = measure(chooses, **options)
    assert set(progress.before.values()) == {1}
    assert "replaced" not in run.header
    assert late(run)


def test_an_interruption_meanwhile_can_be_gone_on_from(
    measure: Callable[..., tuple[Run, Disturbed]], tmp_path: Path
) -> None:
    """If measuring again is interrupted, only the cells of that run are missing, and a resume adds them."""

    def stops(scheme: str, number: int, before: int) -> bool:
        if before:
            os.kill(os.getpid(), signal.SIGINT)
        return (scheme, number, before) == ("hedge", 1, 0)

    with pytest.raises(Interrupted):
        measure(stops)
    part = load(tmp_path / "run")
    assert len(part.cells) == 2
    assert {cell["run"] for cell in part.header["replaced"]} == {1}
    run, _ = measure(lambda scheme, number, before: False, resume=True)
    assert (len(run.cells), len(run.requests), run.left_out) == (4, 240, ())
    assert not late(run)
    assert [text for text in warnings(run) if "the client was late in 1 of 2 runs" in text]


class Deadly(Disturbed):
    """A disturbance that kills a worker once everything has been measured."""

    def before_looking(self) -> None:
        """Kill a worker."""
        os.kill(worker_pids()[0], signal.SIGKILL)


def test_a_worker_that_is_lost_before_a_repeat_spoils_nothing_in_silence(
    measure: Callable[..., tuple[Run, Disturbed]],
) -> None:
    """If a worker is lost before a late run is repeated, all cells are kept, or the loss makes the run invalid."""
    run, progress = measure(lambda scheme, number, before: (scheme, number) == ("hedge", 1), progress=Deadly)
    assert len(progress.before) == 4
    assert len(run.cells) == 4 or any("lost" in reason for reason in judge(run))

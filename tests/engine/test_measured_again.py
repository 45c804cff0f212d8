"""Cells in which the client was late, on real workers: measured again, unless lateness belongs to what is measured."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.results.reader import Run, load
from collagebench.statistics import lateness
from collagebench.statistics.validity import judge
from collagebench.statistics.warnings import warnings

pytestmark = pytest.mark.processes

BLOCKED = 0.4


class Disturbed(Progress):
    """A progress that keeps the client busy after 50 requests of the cells that it chooses."""

    def __init__(self, chooses: Callable[[str, int, int], bool]) -> None:
        """`chooses` is asked with scheme, run, and how often that cell has been measured before."""
        self.before: Counter[tuple[str, int]] = Counter()
        self.shown: list[str] = []
        self._chooses = chooses
        self._chosen = False
        self._arrived = 0

    def show(self, text: str) -> None:
        """Keep what is said."""
        self.shown.append(text)

    def cell(self, scheme: str, run: int) -> None:
        """A cell begins."""
        self._chosen = self._chooses(scheme, run, self.before[scheme, run])
        self.before[scheme, run] += 1
        self._arrived = 0

    def advance(self, requests: int) -> None:
        """Block the loop, as a machine would that has something else to do."""
        self._arrived += requests
        if self._chosen and self._arrived == 50:
            time.sleep(BLOCKED)


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Run, Disturbed]]:
    """Return a function that measures two schemes twice, while a progress disturbs the client."""
    # What the machine itself does to the client is not to be seen.
    monkeypatch.setattr(lateness, "SHARE", 3.0)

    def measure(chooses: Callable[[str, int, int], bool], **options: Any) -> tuple[Run, Disturbed]:
        defaults = {"workers": 4, "runs": 2, "requests": 60, "time_scale": 0.1, "compute": "emulated"}
        progress = Disturbed(chooses)
        experiment.run(resolve({**defaults, "schemes": ("none", "hedge"), **options}), tmp_path / "run", progress)
        return load(tmp_path / "run"), progress

    return measure


def again(run: Run) -> list[str]:
    """Return what a run says of cells that were measured again."""
    return [event["message"] for event in run.header["events"] if event["kind"] == "measured again"]


def test_a_late_cell_is_measured_again(measure: Callable[..., tuple[Run, Disturbed]]) -> None:
    """What a passing disturbance made late is measured once more: its records take the place of the late ones, the
    run is valid, and says what happened."""
    run, progress = measure(lambda scheme, number, before: (scheme, number, before) == ("hedge", 1, 0))
    assert progress.before == {("none", 0): 1, ("hedge", 0): 1, ("none", 1): 1, ("hedge", 1): 2}
    (message,) = again(run)
    assert message.startswith("measured again, the same requests with the same delays, because the client was late")
    assert message.endswith("ms): of 2 runs 1 of hedge.")
    assert progress.shown == [message.replace("measured", "measuring", 1).removesuffix(".")]
    assert message in warnings(run)
    (before,) = run.header["replaced"]
    assert (before["scheme"], before["run"]) == ("hedge", 1)
    assert before["p99_s"] > before["dispatch_lag_p99_s"] > BLOCKED / 2
    assert (run.left_out, run.changed, len(run.requests)) == ((), (), 240)
    assert float(run.requests["lag"].max()) < BLOCKED / 2
    arrivals = [sorted(run.of(scheme).requests["arrival"].tolist()) for scheme in ("none", "hedge")]
    assert arrivals[0] == arrivals[1]
    assert not any("late" in reason for reason in judge(run))


def test_what_stays_late_is_given_up(measure: Callable[..., tuple[Run, Disturbed]]) -> None:
    """A cell that is late each time is measured twice more, and then makes the run invalid."""
    run, progress = measure(lambda scheme, number, before: (scheme, number) == ("hedge", 1))
    assert progress.before["hedge", 1] == 3
    first, second = again(run)
    assert first.startswith("measured again, ")
    assert second.startswith("measured once more, ")
    assert len(run.requests) == 240
    assert any(reason.startswith("the client handled requests late") for reason in judge(run))


@pytest.mark.parametrize(
    ("chooses", "options"),
    [
        (lambda scheme, number, before: number == 1, {}),
        (
            lambda scheme, number, before: (scheme, number) == ("none", 1),
            {"stragglers": "none", "time_scale": None, "compute_time": 0.02, "rate": 100.0},
        ),
    ],
    ids=["half of all cells", "nothing is drawn"],
)
def test_what_is_no_passing_disturbance_counts(
    measure: Callable[..., tuple[Run, Disturbed]], chooses: Callable[[str, int, int], bool], options: dict[str, Any]
) -> None:
    """Where many cells are late, or where slowness is not drawn but happens, each is measured once, and counts."""
    run, progress = measure(chooses, **options)
    assert set(progress.before.values()) == {1}
    assert again(run) == []
    assert any(reason.startswith("the client handled requests late") for reason in judge(run))

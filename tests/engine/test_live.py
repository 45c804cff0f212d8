"""The live engine on real workers: schemes, cancellation, faults, and agreement with simulation."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from real_processes import worker_pids

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.live import LiveCell
from collagebench.errors import ModelError, OutputError

pytestmark = pytest.mark.processes


class Watcher(Progress):
    """A progress that calls `call` once, when `after` requests have arrived."""

    def __init__(self, after: int = 0, call: Any = None) -> None:
        self._left = after
        self._call = call

    def advance(self, requests: int) -> None:
        self._left -= requests
        if self._left <= 0 and self._call is not None:
            call, self._call = self._call, None
            call()


def small(**options: Any) -> Any:
    """Return the config of an experiment of a second or two."""
    defaults = {"workers": 4, "runs": 1, "requests": 60, "time_scale": 0.1}
    return resolve({**defaults, **options})


def rows(directory: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of one of a run directory's tables."""
    with (directory / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_scheme_answers_every_request_from_real_inference(tmp_path: Path) -> None:
    """On real models every request is answered, over 90 % correctly, and its phases add up to its latency."""
    config = small(schemes=("none", "equal", "replication", "hedge", "collage"), collage_workers=1)
    experiment.run(config, tmp_path / "run", Watcher())
    requests = rows(tmp_path / "run", "requests")
    assert Counter(row["scheme"] for row in requests) == dict.fromkeys(
        ("none", "equal", "replication", "hedge", "collage"), 60
    )
    assert all(row["answered"] for row in requests)
    right = sum(row["predicted"] == row["label"] for row in requests)
    assert right > 0.9 * len(requests)
    for row in requests:
        phases = ("group", "encode", "queue", "service", "transport", "decode", "hold")
        assert sum(float(row[phase]) for phase in phases) == pytest.approx(float(row["latency"]), abs=1e-6)


def test_every_scheme_meets_the_same_arrivals_images_and_slowdowns(tmp_path: Path) -> None:
    """Schedules are the same for each scheme, live and simulated; so is the draw for a worker, request and attempt."""
    config = small(schemes=("none", "hedge"), compute="emulated")
    experiment.run(config, tmp_path / "live", Watcher())
    experiment.simulate(config, tmp_path / "simulated", Watcher())
    schedules, draws = set(), {}
    for name in ("live", "simulated"):
        requests = rows(tmp_path / name, "requests")
        for scheme in ("none", "hedge"):
            mine = sorted(
                (int(row["request"]), row["image"], row["arrival"]) for row in requests if row["scheme"] == scheme
            )
            schedules.add(tuple(mine))
        for task in rows(tmp_path / name, "tasks"):
            draws.setdefault((task["worker"], task["requests"], task["attempt"]), set()).add(task["asked"])
    assert len(schedules) == 1
    assert all(len(asked) == 1 for asked in draws.values())


def test_injected_times_are_what_was_asked_for(tmp_path: Path) -> None:
    """No service is shorter than its drawn floor, and `wanted_s` is the larger of floor and inference time."""
    experiment.run(small(schemes=("none",)), tmp_path / "run", Watcher())
    for task in rows(tmp_path / "run", "tasks"):
        assert float(task["service"]) >= float(task["asked"]) - 1e-6
        assert float(task["wanted_s"]) == pytest.approx(max(float(task["compute"]), float(task["asked"])))


def test_a_cancelled_task_that_queued_was_never_served(tmp_path: Path) -> None:
    """Under replication at high load, some losing copies are cancelled in real queues; those have no service time."""
    config = small(schemes=("replication",), utilisation=0.45, requests=150)
    experiment.run(config, tmp_path / "run", Watcher())
    tasks = rows(tmp_path / "run", "tasks")
    outcomes = Counter(task["outcome"] for task in tasks)
    assert outcomes["used"] == 150
    assert outcomes["cancelled"] > 0
    assert outcomes["used"] + outcomes["cancelled"] + outcomes["cancelled in service"] + outcomes["wasted"] == 300
    assert all(task["service"] == "" for task in tasks if task["outcome"] == "cancelled")


def test_a_stopped_worker_misses_its_deadlines_and_nothing_else(tmp_path: Path) -> None:
    """The tasks of a stopped worker fail at their deadline; the worker counts as lost if it stays silent."""
    directory = tmp_path / "run"
    frozen: list[int] = []

    def freeze() -> None:
        frozen.extend(worker_pids()[:1])
        os.kill(frozen[0], signal.SIGSTOP)

    experiment.run(small(schemes=("none",), requests=100, deadline=1.0), directory, Watcher(20, freeze))
    requests = rows(directory, "requests")
    assert len(requests) == 100
    assert {row["reason"] for row in requests if not row["answered"]} == {"deadline"}
    (cell,) = rows(directory, "cells")
    assert "did not answer" in cell["lost_workers"]
    assert frozen
    assert not alive(frozen)


@pytest.mark.parametrize("engine", [experiment.run, experiment.simulate], ids=["live", "simulated"])
def test_a_task_past_its_deadline_keeps_its_worker(tmp_path: Path, engine: Any) -> None:
    """A slow worker serves a task past its deadline to its end; tasks on the fast worker are not affected."""
    config = small(
        schemes=("none",), workers=2, stragglers="fixed", slow_factor=500.0, time_scale=None, compute="emulated",
        compute_time=0.002, deadline=0.5, rate=100.0, requests=2, runs=8, warmup=0.0, seed=2,
    )  # fmt: skip
    engine(config, tmp_path / "run", Progress())
    tasks = rows(tmp_path / "run", "tasks")
    durations = {cell["run"]: float(cell["duration"]) for cell in rows(tmp_path / "run", "cells")}
    slow = [task for task in tasks if float(task["asked"]) > 1]
    assert slow
    for task in slow:
        assert task["outcome"] == "deadline"
        assert float(task["service"] or 1.0) >= 1.0  # empty for one that was cancelled in the queue
        assert durations[task["run"]] > 0.9
    assert {task["outcome"] for task in tasks if float(task["asked"]) == 1} == {"used"}


@pytest.mark.parametrize("engine", [experiment.run, experiment.simulate], ids=["live", "simulated"])
def test_a_deadline_is_one_also_where_requests_wait_for_a_worker(tmp_path: Path, engine: Any) -> None:
    """Under `hedge-idle`, a request that waits for a worker until its deadline fails, without a task."""
    config = small(
        schemes=("hedge-idle",), workers=2, stragglers="none", time_scale=None, compute="emulated", compute_time=0.05,
        deadline=0.2, rate=400.0, requests=100, runs=1, warmup=0.0,
    )  # fmt: skip
    engine(config, tmp_path / "run", Progress())
    requests, tasks = rows(tmp_path / "run", "requests"), rows(tmp_path / "run", "tasks")
    late = {row["request"] for row in requests if row["reason"] == "deadline"}
    assert len(late) > 50
    assert late.isdisjoint(task["requests"] for task in tasks if task["outcome"] == "used")
    assert len(late - {task["requests"] for task in tasks}) > 50


@pytest.mark.parametrize(("share", "said"), [(1e-6, True), (100.0, False)])
def test_workers_that_need_more_cores_than_there_are_get_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, said: bool
) -> None:
    """If inference needs too many cores, the run's events have a note with its time and a rate that would do."""
    monkeypatch.setattr("collagebench.engine.on_workers.CROWDED", share)
    experiment.run(small(schemes=("none",), requests=20), tmp_path / "run", Watcher())
    events = json.loads((tmp_path / "run" / "run.json").read_text())["events"]
    notes = [event["message"] for event in events if event["kind"] == "crowded"]
    assert bool(notes) is said
    assert all(
        re.match(r"an inference takes .* ms, so .* requests a second need .* use --rate", note) for note in notes
    )


def test_deadlines_are_watched_by_one_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With half of all replies lost, deadlines are checked at most twice per task, not once per lost task."""
    looks: Counter[str] = Counter()
    check = LiveCell._check_deadlines

    def counted(cell: LiveCell) -> None:
        looks["all"] += 1
        check(cell)

    monkeypatch.setattr(LiveCell, "_check_deadlines", counted)
    options = {"stragglers": "erasure", "drop_share": 0.5, "time_scale": None, "compute": "emulated"}
    config = small(schemes=("hedge",), requests=200, deadline=0.05, compute_time=0.002, rate=100.0, **options)
    experiment.run(config, tmp_path / "run", Watcher())
    tasks = len(rows(tmp_path / "run", "tasks"))
    assert tasks > 250
    assert looks["all"] <= 2 * tasks


def test_deadlines_that_pass_at_once_are_looked_at_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If many deadlines have passed while the client was blocked, it handles them without recursion."""
    within, deepest = 0, 0
    check = LiveCell._check_deadlines

    def counted(cell: LiveCell) -> None:
        nonlocal within, deepest
        within += 1
        deepest = max(deepest, within)
        check(cell)
        within -= 1

    monkeypatch.setattr(LiveCell, "_check_deadlines", counted)
    options = {"stragglers": "erasure", "drop_share": 0.5, "base": 0.001, "time_scale": None, "compute": "emulated"}
    config = small(
        schemes=("hedge",), hedge_delay=9.0, requests=100, deadline=0.3, compute_time=0.0005, rate=500.0, **options
    )
    experiment.run(config, tmp_path / "run", Watcher(90, lambda: time.sleep(0.6)))
    assert deepest == 1
    assert len(rows(tmp_path / "run", "requests")) == 100


def test_an_error_of_our_own_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception while a reply is read ends the experiment with that exception."""

    def broken(*arguments: object) -> object:
        raise ArithmeticError("broken")

    monkeypatch.setattr("collagebench.engine.live.rows", broken)
    with pytest.raises(ArithmeticError, match="broken"):
        experiment.run(small(schemes=("none",)), tmp_path / "run", Progress())


def test_a_killed_worker_ends_the_experiment_with_every_request_settled(tmp_path: Path) -> None:
    """After kill -9 of a worker, the cell ends on the others, the loss is recorded, and no further cell begins."""
    directory = tmp_path / "run"
    config = small(schemes=("none",), requests=100, runs=3)
    experiment.run(config, directory, Watcher(20, lambda: os.kill(worker_pids()[0], signal.SIGKILL)))
    requests = rows(directory, "requests")
    assert len(requests) == 100
    assert {row["reason"] for row in requests if not row["answered"]} <= {"lost"}
    (cell,) = rows(directory, "cells")
    assert "killed by signal 9" in cell["lost_workers"]


def test_killing_all_workers_fails_what_is_open_and_ends(tmp_path: Path) -> None:
    """If all workers are killed after 10 of 400 requests, the others fail and the run ends, before they are due."""
    killed: list[float] = []

    def massacre() -> None:
        killed.append(time.monotonic())
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)

    config = small(schemes=("collage",), requests=400, rate=10.0, deadline=60.0)
    experiment.run(config, tmp_path / "run", Watcher(10, massacre))
    assert time.monotonic() - killed[0] < 20
    requests = rows(tmp_path / "run", "requests")
    assert len(requests) == 400
    assert sum(not row["answered"] for row in requests) >= 390
    assert max(float(row["arrival"]) for row in requests) > 30


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """A models directory without a manifest raises a ModelError that names the manifest; no run directory is made."""
    with pytest.raises(ModelError, match=r"manifest\.json"):
        experiment.run(small(models=tmp_path), tmp_path / "run", Watcher())
    assert not (tmp_path / "run").exists()


def test_a_directory_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """A run directory that is not empty raises an OutputError, so that no results are overwritten."""
    (tmp_path / "precious").touch()
    with pytest.raises(OutputError, match="not empty"):
        experiment.run(small(), tmp_path, Watcher())


def alive(pids: list[int]) -> list[int]:
    """Return those of the processes that still exist."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

"""How sure an answer is that a scheme asks about: on real workers, on emulated ones, and in simulation."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_cell import Ledger

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.conductor import Conductor
from collagebench.engine.judgement import ENOUGH, SimulatedJudge, margin
from collagebench.engine.router import Job, Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.results.records import NO_CLASS
from collagebench.schemes import make
from collagebench.schemes.protocol import Request, Task

COLLAGE = make("collage", {"grid": 2})
ON_EVERY_ENGINE = pytest.mark.parametrize(
    ("engine", "options"),
    [
        (experiment.run, {}),
        (experiment.run, {"compute": "emulated", "compute_time": 0.002}),
        (experiment.simulate, {}),
        (experiment.simulate, {"accuracy": 0}),
    ],
    ids=["live", "emulated", "simulated", "simulated without accuracy"],
)


def served(requests: Sequence[Request], outputs: Sequence[Sequence[float]] | None) -> Job:
    """Return the job of a mosaic of requests, [cells, classes] being its outputs."""
    job = Job(Task(0, "collage", tuple(requests), 0), 0, 0.0, 0.0, 0.0)
    job.outputs = None if outputs is None else np.array(outputs, np.float32)
    return job


def test_the_margin_is_between_the_best_score_and_the_second() -> None:
    """Of each cell its own; a cell without an answer has none, which is less than any; one class is beyond doubt."""
    first, second, third = requests = [Request(i, i, 0.0) for i in range(3)]
    job = served(requests, [[0.5, 4.0, 1.5], [3.0, 3.0, -9.0], [math.nan] * 3])
    assert margin(COLLAGE, first, [job]) == 2.5
    assert margin(COLLAGE, second, [job]) == 0.0
    assert margin(COLLAGE, third, [job]) == -math.inf
    assert margin(COLLAGE, first, [served(requests, [[0.5]] * 3)]) == math.inf


def test_only_answers_that_are_classified_cost_an_inference() -> None:
    """Once enough margins are known, those of requests that nobody classifies are drawn from them."""
    evaluated: list[int] = []

    def evaluate(jobs: Sequence[Job]) -> None:
        for job in jobs:
            number = job.task.requests[0].id
            evaluated.append(number)
            job.outputs = np.array([[float(number), 0.0]], np.float32)

    classified = np.arange(3 * ENOUGH) % 3 == 0
    judge = SimulatedJudge(COLLAGE, evaluate, classified, lambda request: request / (3 * ENOUGH))
    margins = [judge(request, [served([request], None)]) for request in (Request(i, i, 0.0) for i in range(3 * ENOUGH))]
    assert evaluated == [i for i in range(3 * ENOUGH) if i < ENOUGH or classified[i]]
    assert [margins[i] for i in evaluated] == evaluated
    assert set(margins) <= set(evaluated)
    assert len(set(margins[ENOUGH:])) > ENOUGH / 2


def test_only_open_requests_of_a_model_that_may_be_silent_are_asked_about() -> None:
    """The first of two has its answer when the group is back; the second has none there, and is sent once more."""
    scheme, ledger, asked = make("backup", {"backup_batch": 2, "flush": "wait"}), Ledger(), []

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 1.0 if worker == 2 else 0.5 if attempt or request == 0 else 9.0

    def judge(request: Request, jobs: Sequence[Job]) -> float:
        asked.append((request.id, [job.task.role for job in jobs]))
        return -math.inf

    def conduct(transport: SimulatedTransport) -> Conductor:
        router = Router({"single": range(2), "backup": [2]})
        fixed = (draw, lambda request, attempt: 0.0, lambda task, drawn: drawn, transport, ledger, None)
        return Conductor(scheme, router, *fixed, judge, ("backup",))

    simulate_cell(conduct, [Request(i, i, 0.0) for i in range(2)], lambda task: 0.0, math.inf)
    assert asked == [(1, ["backup"])]
    assert (ledger.source, ledger.latency) == ({0: "own", 1: "resent"}, {0: 0.5, 1: 1.5})


@pytest.mark.processes
@ON_EVERY_ENGINE
def test_the_least_sure_answers_are_rejected_on_every_engine(
    tmp_path: Path, engine: Callable[..., None], options: dict[str, Any]
) -> None:
    """About as many requests as asked for are sent once more, because the collage's answer was not sure enough."""
    config = resolve(
        {
            "schemes": ("collage",), "flush": "idle", "hold": 0.0, "reject": 0.1, "workers": 6, "runs": 1,
            "requests": 600, "time_scale": 0.1, "utilisation": 0.3, "warmup": 0.0, **options,
        }
    )  # fmt: skip
    engine(config, tmp_path / "run", Progress())
    with (tmp_path / "run" / "tasks.csv").open(newline="") as file:
        again = [row for row in csv.DictReader(file) if row["role"] == "single" and row["attempt"] == "1"]
    assert 0.05 * 600 < len(again) < 0.15 * 600
    with (tmp_path / "run" / "requests.csv").open(newline="") as file:
        sources = [row["source"] for row in csv.DictReader(file)]
    assert sources.count("resent") > 0
    assert sources.count("collage") > 20


@pytest.mark.processes
@ON_EVERY_ENGINE
def test_what_a_detection_head_is_silent_about_is_sent_again(
    tmp_path: Path, engine: Callable[..., None], options: dict[str, Any]
) -> None:
    """It is no answer: the request goes to one more single, on every engine, where nothing is rejected as well.

    Emulated workers may find out too late, once in a while, and the answer is then known to be none.
    """
    config = resolve(
        {
            "schemes": ("collage",), "head": "detection", "flush": "idle", "hold": 0.0, "reject": 0.0, "workers": 6,
            "runs": 1, "requests": 900, "time_scale": 0.1, "utilisation": 0.3, "warmup": 0.0, **options,
        }
    )  # fmt: skip
    engine(config, tmp_path / "run", Progress())
    with (tmp_path / "run" / "requests.csv").open(newline="") as file:
        answers = [(row["source"], row["predicted"]) for row in csv.DictReader(file)]
    with (tmp_path / "run" / "tasks.csv").open(newline="") as file:
        again = [row for row in csv.DictReader(file) if row["role"] == "single" and row["attempt"] == "1"]
    assert len(again) > 1
    silent = answers.count(("collage", str(NO_CLASS)))
    assert silent <= (len(again) // 2 if engine is experiment.run and options else 0)
    assert sum(source == "collage" for source, _ in answers) > 100

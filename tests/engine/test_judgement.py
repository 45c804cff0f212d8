"""The margins of answers that a scheme asks about: on real workers, on emulated ones, and in simulation."""

from __future__ import annotations

import csv
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from simulated_cell import Ledger

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.conductor import Conductor
from collagebench.engine.judgement import ENOUGH, EmulatedJudge, SimulatedJudge, margin
from collagebench.engine.router import Job, Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.results.records import NO_CLASS
from collagebench.schemes import make
from collagebench.schemes.protocol import Request, Task
from collagebench.workload.shapes import Shapes

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
    """Return the job of a mosaic of requests, with outputs [cells, classes] or None."""
    job = Job(Task(0, "collage", tuple(requests), 0), 0, 0.0, 0.0, 0.0)
    job.outputs = None if outputs is None else np.array(outputs, np.float32)
    return job


def test_the_margin_is_between_the_best_score_and_the_second() -> None:
    """A cell's margin is its best score less its second best; -inf without an answer, inf if there is one class."""
    first, second, third = requests = [Request(i, i, 0.0) for i in range(3)]
    job = served(requests, [[0.5, 4.0, 1.5], [3.0, 3.0, -9.0], [math.nan] * 3])
    assert margin(COLLAGE, first, [job]) == 2.5
    assert margin(COLLAGE, second, [job]) == 0.0
    assert margin(COLLAGE, third, [job]) == -math.inf
    assert margin(COLLAGE, first, [served(requests, [[0.5]] * 3)]) == math.inf


def test_only_answers_that_are_classified_cost_an_inference() -> None:
    """Once `ENOUGH` margins are known, those of requests that need no class are drawn from them, without inference."""
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


class Aside:
    """An EmulatedJudge whose evaluations end only when the test allows it."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.allowed = threading.Semaphore(0)
        self.judge = EmulatedJudge(COLLAGE, self._evaluate, lambda request: (request % 10) / 10, ("collage",))

    def _evaluate(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            (request,) = job.task.requests
            self.begun.append(request.id)
            assert self.allowed.acquire(timeout=60)
            if request.id < 0:
                raise ValueError("no such image")
            job.outputs = np.array([[float(request.id), 0.0]], np.float32)

    def work_out(self, number: int, role: str = "collage") -> Job:
        """Offer the judge a job of one request, and return the job; `done` ends its evaluation if it was begun."""
        job = Job(Task(0, role, (Request(number, 0, 0.0),), 0), 0, 0.0, 0.0, 0.0)
        self.judge.ahead(job)
        return job

    def done(self) -> None:
        """Allow the evaluation in progress to end, and wait for it."""
        self.allowed.release()
        assert self.judge._under_way is not None
        assert self.judge._under_way.exception(timeout=60) is None or not self.begun[-1] >= 0


@pytest.fixture
def aside() -> Iterator[Aside]:
    """Return a judge that is closed after the test."""
    found = Aside()
    yield found
    found.allowed.release(1000)
    found.judge.close()


def test_one_job_at_a_time_is_worked_out_aside_and_only_of_roles_that_are_asked_about(aside: Aside) -> None:
    """Jobs of judged roles are evaluated one at a time; one that comes meanwhile is skipped, without a wait."""
    first, second = aside.work_out(1), aside.work_out(2)
    aside.done()
    third, single = aside.work_out(3), aside.work_out(4, "single")
    aside.done()
    aside.work_out(5, "single")
    fourth = aside.work_out(6)
    aside.done()
    assert aside.begun == [1, 3, 6]
    assert [job.outputs is not None for job in (first, second, third, single, fourth)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_margins_that_are_not_worked_out_are_drawn_from_those_that_are(aside: Aside) -> None:
    """An unknown margin is drawn from the known ones, always the same for a request; it is inf if none is known."""
    unknown = aside.work_out(8)
    request = Request(8, 0, 0.0)
    assert aside.judge(request, [unknown]) == math.inf
    aside.done()
    assert aside.judge(request, [unknown]) == 8.0  # it is known by now
    for number in (2, 3):
        job = aside.work_out(number)
        aside.done()
        assert aside.judge(job.task.requests[0], [job]) == number
    never = served([Request(9, 0, 0.0)], None)
    assert [aside.judge(Request(number, 0, 0.0), [never]) for number in (0, 4, 9, 9)] == [8.0, 2.0, 3.0, 3.0]
    known = served([Request(7, 0, 0.0)], [[7.0, 0.0]])
    assert aside.judge(Request(0, 0, 0.0), [known, never]) == 8.0  # one of its replies is not evaluated


def test_what_goes_wrong_aside_is_raised_by_the_next(aside: Aside) -> None:
    """An error in an evaluation is raised when the next job is offered."""
    aside.work_out(-1)
    aside.done()
    with pytest.raises(ValueError, match="no such image"):
        aside.work_out(2)


def test_time_spent_on_working_out_is_told_apart_from_the_clients() -> None:
    """`cpu` is the processor time that the judge's thread has spent on all its jobs, to within 20 ms."""
    spent: list[float] = []

    def evaluate(jobs: Sequence[Job]) -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            pass
        spent.append(time.thread_time() - began)

    judge = EmulatedJudge(COLLAGE, evaluate, lambda request: 0.5, ("collage",))
    assert judge.cpu == 0
    for number in range(3):
        judge.ahead(Job(Task(0, "collage", (Request(number, 0, 0.0),), 0), 0, 0.0, 0.0, 0.0))
        assert judge._under_way is not None
        judge._under_way.result(timeout=60)
    judge.close()
    assert len(spent) == 3
    assert sum(spent) <= judge.cpu < sum(spent) + 0.02


def test_closing_waits_for_what_is_under_way(aside: Aside) -> None:
    """`close` waits for the evaluation in progress, since nothing else may use the models meanwhile."""
    job = aside.work_out(1)
    ended: list[bool] = []
    closing = threading.Thread(target=lambda: (aside.judge.close(), ended.append(job.outputs is not None)))
    closing.start()
    aside.allowed.release()
    closing.join(60)
    assert ended == [True]


def test_only_open_requests_of_a_model_that_may_be_silent_are_asked_about() -> None:
    """Of a batch of two only the request that is still open is asked about; at a margin of -inf it is sent again."""
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
    """With --reject 0.1, 5 to 15 % of requests are sent again, because the collage's answer is too uncertain."""
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


@pytest.fixture(scope="module")
def half_blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of eight images of each class of `shapes`, of which four are grey and show nothing."""
    root, shapes = tmp_path_factory.mktemp("half-blank"), Shapes()
    for label, name in enumerate(shapes.classes):
        (root / name).mkdir()
        for number, pixels in enumerate(shapes.load(np.flatnonzero(shapes.labels == label)[:8])):
            shown = pixels if number % 2 else np.full_like(pixels, 128)
            Image.fromarray(shown).save(root / name / f"{number}.png")
    return root


@pytest.mark.processes
@ON_EVERY_ENGINE
def test_what_a_detection_head_is_silent_about_is_sent_again(
    tmp_path: Path, half_blank: Path, engine: Callable[..., None], options: dict[str, Any]
) -> None:
    """A request that a detection head finds no object for is sent to another single, also with --reject 0.

    With emulated workers the missing answer is sometimes known too late; it is then recorded as no class.
    """
    config = resolve(
        {
            "dataset": "imagefolder", "data": half_blank, "schemes": ("collage",), "head": "detection",
            "flush": "idle", "hold": 0.0, "reject": 0.0, "workers": 6, "runs": 1, "requests": 600,
            "time_scale": 0.1, "utilisation": 0.3, "warmup": 0.0, **options,
        }
    )  # fmt: skip
    engine(config, tmp_path / "run", Progress())
    with (tmp_path / "run" / "requests.csv").open(newline="") as file:
        answers = [(row["source"], row["predicted"]) for row in csv.DictReader(file)]
    with (tmp_path / "run" / "tasks.csv").open(newline="") as file:
        again = [row for row in csv.DictReader(file) if row["role"] == "single" and row["attempt"] == "1"]
    assert len(again) > 10
    silent = answers.count(("collage", str(NO_CLASS)))
    assert silent <= (len(again) // 2 if engine is experiment.run and options else 0)
    assert sum(source == "collage" for source, _ in answers) > 10

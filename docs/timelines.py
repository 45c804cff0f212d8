"""Draw the timelines of docs/schemes.md: the actual schemes, on a small fleet with a slow worker.

A scene is one cell of the simulated engine: the scheme itself, a few workers and requests, and services whose lengths
were chosen by hand. Its events are recorded here and drawn in `drawing`.

    python docs/timelines.py        rewrites docs/timelines/*.svg

The files depend only on the code, and a test compares them with what would be drawn today.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drawing import draw

from collagebench.engine.conductor import Conductor
from collagebench.engine.router import Job, Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.schemes import make
from collagebench.schemes.protocol import Request, Task

PICTURES = Path(__file__).parent / "timelines"

ARRIVALS_MS = (0, 30, 60, 150, 180, 270)
SERVICE_MS = 100
SLOW_MS = 400
COLLAGE_MS = 120
"""A collage model computes more than a single."""
BACKUP_MS, BACKUP_EACH_MS = 30, 15
"""A batch on the backup model takes the first time, plus the second for each of its images."""
IN_TURN = 3
"""The number of first requests that prefer workers 1, 2 and 3; later ones and further attempts have a tie of 0."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A scheme with options, its fleet and its arrivals; workers count from 0, as in the engine."""

    scheme: str
    options: Mapping[str, object] = field(default_factory=dict)
    slow: tuple[int, ...] = (1,)
    workers: int = 4
    arrivals_ms: Sequence[int] = ARRIVALS_MS

    @property
    def title(self) -> str:
        """The scheme and its options, as a user types them."""
        given = [f"--{name.replace('_', '-')} {value}" for name, value in self.options.items()]
        return " ".join([self.scheme, *given])


SCENES = {
    "none": Scene("none", {"spare": 1}),
    "equal": Scene("equal"),
    "replication": Scene("replication"),
    "hedge": Scene("hedge", {"hedge_delay": 0.15}),
    "hedge-budget": Scene(
        "hedge", {"hedge_delay": 0.15, "hedge_budget": 0.5}, slow=(1, 2), arrivals_ms=(0, 30, 60, 80, 190, 300)
    ),
    "single-r": Scene("hedge", {"hedge_delay": 0.06, "hedge_probability": 0.5}),
    "hedge-idle": Scene("hedge-idle"),
    "tied": Scene("tied", workers=3, arrivals_ms=(0, 30, 60, 80, 130, 240)),
    "reissue": Scene("reissue", {"reissue_after": 0.15}),
    "default": Scene("default", {"default_after": 0.2}),
    "backup": Scene("backup", {"backup_after": 0.15}),
    "parity": Scene("parity"),
    "approxifer": Scene("approxifer", {"coded_k": 3}),
    "nercc": Scene("nercc", {"coded_k": 3, "coded_after": 0.15}, slow=(1, 2)),
    "collage": Scene("collage"),
}


@dataclass(slots=True)
class Course:
    """The events of a scene, times in seconds; it is the listener of the scene's cell."""

    title: str
    slow: tuple[int, ...]
    roles: list[str]
    """What each worker serves; a worker left out serves nothing."""
    requests: list[Request]
    jobs: list[Job] = field(default_factory=list)
    answers: list[tuple[Request, str, tuple[Job, ...], float]] = field(default_factory=list)
    """(request, source, the jobs it comes from, time), in order."""
    over: dict[int, float] = field(default_factory=dict)
    """When each task ended, by its id."""

    def sent(self, job: Job) -> None:
        """Record a job that was sent."""
        self.jobs.append(job)

    def answered(self, request: Request, source: str, jobs: Sequence[Job], now: float) -> None:
        """Record an answer."""
        self.answers.append((request, source, tuple(jobs), now))

    def failed(self, request: Request, reason: str) -> None:
        """Fail, because no request of a scene may fail."""
        raise AssertionError(f"{self.title}: request {request.id + 1} failed ({reason})")

    def ended(self, job: Job, now: float) -> None:
        """Record when a job ended."""
        self.over[job.task.id] = now


def play(scene: Scene) -> Course:
    """Run a scene in the simulated engine."""
    scheme = make(scene.scheme, scene.options)
    workers: dict[str, range] = {}
    roles: list[str] = []
    for role, count in scheme.allot(scene.workers).items():
        workers[role] = range(len(roles), len(roles) + count)
        roles += [role] * count
    roles += ["left out"] * (scene.workers - len(roles))
    requests = [Request(number, 0, at / 1000) for number, at in enumerate(scene.arrivals_ms)]
    course = Course(scene.title, scene.slow, roles, requests)

    def drawn(worker: int, request: int, attempt: int, at: float) -> float:
        return SLOW_MS if worker in scene.slow else 0.0

    def expected(task: Task, drawn_ms: float) -> float:
        backup = BACKUP_MS + BACKUP_EACH_MS * len(task.requests)
        return max({"collage": COLLAGE_MS, "backup": backup}.get(task.role, SERVICE_MS), drawn_ms) / 1000

    def tie(request: int, attempt: int) -> float:
        return (request + 0.5) / scene.workers if request < IN_TURN and attempt == 0 else 0.0

    def conduct(transport: SimulatedTransport) -> Conductor:
        return Conductor(scheme, Router(workers), drawn, tie, expected, transport, course)

    simulate_cell(conduct, requests, lambda task: 0.0, math.inf)
    return course


def pictures() -> dict[str, str]:
    """Return the SVG of every scene, by the name of its file."""
    return {f"{name}.svg": draw(play(scene)) for name, scene in SCENES.items()}


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, svg in pictures().items():
        (PICTURES / name).write_text(svg, encoding="utf-8")
        print(PICTURES / name, len(svg))

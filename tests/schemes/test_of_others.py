"""Schemes that users add: their actions are carried out, and their mistakes are named instead of becoming figures."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from command_line import exit_code
from numpy.typing import NDArray
from simulated_cell import simulate

from collagebench import schemes
from collagebench.config import Config, SchemeConfig
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.engine.variants import allotment_of
from collagebench.errors import CollagebenchError, ModelError, UsageError
from collagebench.report.summary import summarise
from collagebench.results.reader import load
from collagebench.schemes.plain import NoRedundancy
from collagebench.schemes.protocol import Action, Answer, Cancel, Fail, Judge, Keep, Request, Scheme, Send, Task, Wake
from collagebench.statistics.validity import judge


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Scheme]], None]:
    """Adds a scheme to the table, under the name `mine`."""
    return lambda scheme: monkeypatch.setitem(schemes.SCHEMES, "mine", scheme)


def simulated(directory: Path) -> dict[str, Any]:
    """Simulate the scheme `mine`; return its entry in the report."""
    config = Config(schemes=(SchemeConfig("mine", "mine"),), runs=2, requests=150, compute_time=0.004)
    experiment.simulate(config, directory, Progress())
    found: dict[str, Any] = summarise([load(directory)])["schemes"][0]
    return found


def test_what_a_scheme_encodes_is_what_is_classified(add: Callable[[type[Scheme]], None], tmp_path: Path) -> None:
    """A scheme that encodes every image as black is right in less than 30 % of cases."""

    class Black(NoRedundancy):
        def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
            return np.zeros_like(np.array(images))

    add(Black)
    assert simulated(tmp_path / "run")["accuracy"]["overall"] < 0.3


class Pairs(Scheme):
    """Puts every two requests into one task for the single."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Request] = []

    def arrived(self, request: Request, now: float) -> list[Action]:
        self._waiting.append(request)
        if len(self._waiting) < 2:
            return []
        pair, self._waiting = self._waiting, []
        return [self._send("single", pair)]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        return [action for request in task.requests for action in self._answer(request, "own", task)]


def test_a_batch_for_the_single_is_classified_image_by_image(
    add: Callable[[type[Scheme]], None], tmp_path: Path
) -> None:
    """Two requests in one task, declared by `batch`, are both classified correctly."""

    class Two(Pairs):
        def batch(self, role: str) -> int:
            return 2

    add(Two)
    found = simulated(tmp_path / "run")
    assert found["accuracy"]["overall"] > 0.95
    assert not found["failed"]


def test_a_batch_that_nobody_knows_of_is_refused(add: Callable[[type[Scheme]], None], tmp_path: Path) -> None:
    """Two requests in one task that `batch` does not declare are an error that names `batch`."""
    add(Pairs)
    with pytest.raises(
        UsageError,
        match=r"put 2 requests into one task for the single model, but its batch\(\) says 1 \(test_of_others.py, line",
    ):
        simulated(tmp_path / "run")


def test_more_workers_than_there_are_is_refused(add: Callable[[type[Scheme]], None], tmp_path: Path) -> None:
    """A scheme that allots more workers than its budget is stopped before anything runs."""

    class Greedy(NoRedundancy):
        def allot(self, workers: int) -> dict[str, int]:
            return {"single": workers + 5}

    add(Greedy)
    with pytest.raises(
        UsageError, match=r"scheme mine needs 15 workers, but its budget is 10: .* \(test_of_o.*, in allot\)"
    ):
        simulated(tmp_path / "run")
    assert not (tmp_path / "run" / "requests.csv").exists()


def test_a_scheme_may_note_how_many_workers_it_has(add: Callable[[type[Scheme]], None], tmp_path: Path) -> None:
    """Every scheme object is asked for its allotment of the actual fleet before it gets events."""

    class Limited(NoRedundancy):
        def allot(self, workers: int) -> dict[str, int]:
            self.noted = workers
            return super().allot(workers)

        def arrived(self, request: Request, now: float) -> list[Action]:
            assert self.noted == 10
            return super().arrived(request, now)

    add(Limited)
    assert not simulated(tmp_path / "run")["failed"]


def slow(worker: int, request: int, attempt: int, at: float) -> float:
    """Draw 1 s for every task."""
    return 1.0


def test_a_source_that_is_none_is_refused_at_once(add: Callable[[type[Scheme]], None]) -> None:
    """An answer from a source that records do not know is refused before it is written."""

    class Copy(NoRedundancy):
        def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
            return self._answer(task.requests[0], "copy", task)

    add(Copy)
    with pytest.raises(
        UsageError, match="the scheme Copy answered from 'copy', which is not a source; sources are own, replica,"
    ):
        simulate("mine", {}, 2, [0.0], slow)


def test_an_answer_from_a_task_that_is_not_served_is_refused(add: Callable[[type[Scheme]], None]) -> None:
    """An answer from a task that has not been served yet is refused."""

    class Hasty(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            sent = self._send("single", (request,))
            return [sent, Answer(request, "own", (sent.task,))]

    add(Hasty)
    with pytest.raises(UsageError, match="answered request 0 from a task that has not been served"):
        simulate("mine", {}, 2, [0.0], slow)


class Faulty(NoRedundancy):
    """A scheme whose reaction to an arrival is a fault."""

    def __init__(self, faults: Callable[[Faulty, Request], Any]) -> None:
        super().__init__()
        self.faults = faults

    def arrived(self, request: Request, now: float) -> list[Action]:
        actions: list[Action] = self.faults(self, request)
        return actions


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        (lambda scheme, request: None, "answered an event with None: it must return a list of actions"),
        (lambda scheme, request: ["a"], "answered an event with 'a', which is not an action"),
        (
            lambda scheme, request: [Answer(request, "own", (Task(9, "single", (request,), 0),))],
            "named a task that it never sent",
        ),
        (lambda scheme, request: [Send(Task(0, "single", (), 0))], "sent a task that is for no request"),
        (
            lambda scheme, request: [scheme._send("singel", (request,))],
            "sent a task to a 'singel' worker, but asked for none in allot",
        ),
        (lambda scheme, request: [Wake(("x",), math.nan)], "asked to be woken at a time that is not a number"),
        (
            lambda scheme, request: [scheme._send("single", (request,), 1)],
            "called an answer to request 0 own, although a further task gave it",
        ),
        (
            lambda scheme, request: [sent := scheme._send("single", (request,)), Keep(sent.task, None)],
            "kept the reply of a task that has not been served",
        ),
        (lambda scheme, request: [Fail(request, "lost")] * 2, "gave up request 0, which has already been answered"),
        (
            lambda scheme, request: [Fail(request, "lost"), scheme._send("single", (request,))],
            "sent a task for request 0, which has already been answered or given up",
        ),
        (lambda scheme, request: [Answer(Request(7, 0, 0.0), "default", ())], "answered request 7, which has not"),
        (
            lambda scheme, request: [Answer(request._replace(arrival=-1.0), "default", ())],
            "answered request 0 with another image or arrival than it came with",
        ),
        (
            lambda scheme, request: [scheme._send("single", (request._replace(image=5),))],
            "sent a task for request 0 with another image or arrival than it came with",
        ),
        (lambda scheme, request: [Answer(request, "own", ())], "answered request 0 from no task, but did not call"),
        (lambda scheme, request: [Fail(request, "")], "gave up request 0 for the reason '': it must be a non-empty"),
        (lambda scheme, request: [scheme._send("single", (request,))] * 2, "sent a second task with the number 0"),
        (
            lambda scheme, request: [Send(Task("a", "single", (request,), 0))],  # type: ignore[arg-type]
            r"answered an event with Send\(.*\), whose task must be a Task of a tuple of Requests",
        ),
        (
            lambda scheme, request: [scheme._send("single", (request,)) for _ in range(2)],
            "sent two single tasks for request 0 with attempt 0 and share 0, which would get the same slowdown",
        ),
        (
            lambda scheme, request: [scheme._send("single", (request,), n) for n in range(2000)],
            "sends tasks without end: 1,005 further ones for 1 requests",
        ),
        (
            lambda scheme, request: [scheme._send("single", (request,), -1)],
            "sent a task with the attempt -1 and the share 0",
        ),
        (
            lambda scheme, request: [scheme._send("single", (request,), share=10**400)],
            r"sent a task with the attempt 0 and the share 10+\.\.\.0+",
        ),
        (
            lambda scheme, request: [Send(Task(10**400, "single", (request,), 0))],
            r"sent a task with the number 10+\.\.\.0+",
        ),
        (lambda scheme, request: [Cancel(Task(5, "single", (request,), 0))], "cancelled a task that it never sent"),
        (
            lambda scheme, request: [Wake("x", "soon")],  # type: ignore[arg-type]
            r"answered an event with Wake\(token='x', at='soon'\), whose at must be a number of seconds",
        ),
        (
            lambda scheme, request: [Judge(request, ())],
            "asked how certain an answer to request 0 is, but does not set `judges`, the role of the replies that it",
        ),
    ],
    ids=[
        "nothing", "no action", "unknown task", "for nobody", "unknown role", "no time", "not its own", "kept early",
        "failed twice", "sent for a settled one", "one to come", "another arrival", "another image", "from nothing",
        "no reason", "sent twice", "no number", "same slowdown", "without end", "below 0", "share", "number",
        "not sent", "no seconds", "judged from nothing",
    ],
)  # fmt: skip
def test_what_a_scheme_must_not_do_is_said_with_its_name(
    add: Callable[[type[Scheme]], None], faults: Callable[[Faulty, Request], Any], sentence: str
) -> None:
    """A forbidden action is refused with the scheme's name and line, instead of becoming a wrong figure."""

    class Mine(Faulty):
        def __init__(self) -> None:
            super().__init__(faults)

    add(Mine)
    with pytest.raises(UsageError, match=rf"^the scheme Mine {sentence}.* \(\w+.py, line \d+, in \w+\)$"):
        simulate("mine", {}, 2, [0.0], slow)


class Twice(NoRedundancy):
    """Answers each request twice, from two tasks, without checking whether it is open."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        return [self._send("single", (request,)), self._send("single", (request,), 1)]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        return [Answer(task.requests[0], "replica" if task.attempt else "own", (task,))]


@pytest.mark.parametrize(
    ("engine", "compute"),
    [
        pytest.param(experiment.run, "real", marks=pytest.mark.processes),
        pytest.param(experiment.run, "emulated", marks=pytest.mark.processes),
        (experiment.simulate, "emulated"),
    ],
    ids=["real", "emulated", "simulated"],
)
def test_both_engines_stop_a_scheme_that_answers_twice(
    add: Callable[[type[Scheme]], None], tmp_path: Path, engine: Callable[..., object], compute: Any
) -> None:
    """Both engines stop a scheme that answers twice, with one sentence; the run has it, and others' whole cells."""
    add(Twice)
    schemes_ = (SchemeConfig("none", "none"), SchemeConfig("mine", "mine"))
    config = Config(schemes=schemes_, workers=2, runs=1, requests=20, time_scale=0.05, compute=compute)
    with pytest.raises(
        UsageError, match=r"^the scheme Twice answered request \d+, which has already been answered or given up .*in re"
    ):
        engine(config, tmp_path / "run", Progress())
    run = load(tmp_path / "run")
    assert run.header["status"] == "failed"
    assert "the scheme Twice answered request" in run.header["error"]
    assert [run.cells.texts["scheme"][int(code)] for code in run.cells["scheme"]] == ["none"]
    assert [run.requests.texts["scheme"][int(code)] for code in run.requests["scheme"]] == ["none"] * 20
    assert run.requests["answered"].all()


class Spoils(NoRedundancy):
    """A scheme that writes into the images it is given."""

    def encode(self, task: Task, images: Sequence[NDArray[np.uint8]], shape: tuple[int, int, int]) -> NDArray[Any]:
        images[0][:] = 0
        return np.array(images)


class SpoilsReplies(NoRedundancy):
    """A scheme that writes into the replies it is given."""

    def decode(self, request: Request, replies: Sequence[tuple[Task, NDArray[np.float32]]]) -> NDArray[np.float32]:
        replies[0][1][:] = 0
        return super().decode(request, replies)


@pytest.mark.parametrize(("scheme", "where"), [(Spoils, "encode"), (SpoilsReplies, "decode")])
def test_a_scheme_cannot_spoil_what_others_are_given(
    add: Callable[[type[Scheme]], None], tmp_path: Path, scheme: type[Scheme], where: str
) -> None:
    """Images and replies, which all schemes share, are read-only: writing into them is an error."""
    add(scheme)
    with pytest.raises(CollagebenchError, match=f"failed in {where}: ValueError: assignment destination is read-only"):
        simulated(tmp_path / "run")


@pytest.mark.parametrize(
    ("hook", "made", "sentence"),
    [
        ("decode", lambda scores: scores[:3], r"decoded an answer as float32 \[3\], but scores are float32 \[10\]"),
        ("decode", lambda scores: scores[np.newaxis], r"decoded an answer as float32 \[1, 10\]"),
        ("decode", lambda scores: scores.astype(np.int64), r"decoded an answer as int64 \[10\]"),
        ("decode", lambda scores: None, "decoded an answer as None"),
        (
            "encode",
            lambda pixels: pixels[0],
            r"encoded a single task as uint8 \[32, 32, 3\], but its model takes uint8",
        ),
        ("encode", lambda pixels: pixels.astype(np.float32), r"encoded a single task as float32 \[1, 32, 32, 3\]"),
        ("encode", lambda pixels: np.repeat(pixels, 2, axis=0), r"encoded a single task as uint8 \[2, 32, 32, 3\]"),
        ("encode", lambda pixels: list(pixels), "encoded a task as .*, which is not an array"),
        ("batch", lambda size: 0, "says 0 for the batch of role 'single': it must be 1 or more"),
        (
            "batch",
            lambda size: 10**400,
            r"says 10+\.\.\.0+ for the batch of role 'single': it must be below 2,147,483,648",
        ),
        ("needs", lambda needs: "grid", "needs 'grid' of role 'single'"),
        ("allot", lambda counts: {"single": "all"}, "allots {'single': 'all'}"),
    ],
)
def test_what_is_no_input_and_no_answer_is_said(
    add: Callable[[type[Scheme]], None], tmp_path: Path, hook: str, made: Callable[[Any], Any], sentence: str
) -> None:
    """A method that returns a wrong shape, type or value is refused with the scheme's name and line."""

    class Mine(NoRedundancy):
        pass

    setattr(Mine, hook, lambda scheme, *what: made(getattr(NoRedundancy, hook)(scheme, *what)))
    add(Mine)
    with pytest.raises(UsageError, match=rf"^the scheme Mine {sentence}.*\(test_of_others.py, line \d+"):
        simulated(tmp_path / "run")


@pytest.mark.parametrize(
    ("counts", "needed", "sentence"),
    [
        ({"single": 9, "collage": 1}, {"gird": 3}, "needs 'gird' of role 'collage', which no .*; did you mean 'grid'?"),
        ({"single": 9, "collage": 1}, {"role": "single"}, "needs 'role' of role 'collage', .*; its traits are code, "),
        ({"single": 9, "collage": 1}, {3: 3}, "needs 3 of role 'collage', which no model has; its traits are code, "),
        ({"single": 9, "magic": 1}, {}, "asks for 'magic' workers, but models have the roles single, coded, backup"),
        ({"single": 9, 3: 1}, {}, "asks for 3 workers, but models have the roles single, coded, backup, collage"),
    ],
    ids=["misspelt", "role", "number", "role of its own", "role that is a number"],
)
def test_what_no_model_can_have_is_said_by_name(
    add: Callable[[type[Scheme]], None], tmp_path: Path, counts: Any, needed: Any, sentence: str
) -> None:
    """A role or a trait that no model can have is refused with the scheme's name, its line, and what there is."""

    class Mine(NoRedundancy):
        def allot(self, workers: int) -> dict[str, int]:
            return dict(counts)

        def needs(self, role: str) -> Any:
            return needed if role == "collage" else {}

    add(Mine)
    with pytest.raises(UsageError, match=rf"^the scheme Mine {sentence}.* \(test_of_others.py, line \d+, in \w+\)$"):
        simulated(tmp_path / "run")


@pytest.mark.parametrize(
    ("role", "needed", "sentence"),
    [
        ("collage", {"grid": 8}, "there is no model for collage grid 8 in .*`collagebench train collage --grid 8` and"),
        ("parity", {}, "holds several models for parity: shapes-parity-k2-addition, "),
    ],
)
def test_a_model_that_is_not_there_is_missed_by_the_scheme_that_needs_it(
    add: Callable[[type[Scheme]], None], tmp_path: Path, role: str, needed: Any, sentence: str
) -> None:
    """The message names a user's scheme and its `needs`, and advises no option that this scheme does not have."""

    class Mine(NoRedundancy):
        def allot(self, workers: int) -> dict[str, int]:
            return {"single": workers - 1, role: 1}

        def needs(self, role: str) -> Any:
            return {} if role == "single" else needed

    add(Mine)
    with pytest.raises(
        ModelError,
        match=rf"^the scheme Mine has no model for its {role} workers \(test_of_others.py, lin"
        rf"e \d+, in needs\): .*{sentence}.*, or let its `needs` ask for a model that is there$",
    ) as caught:
        simulated(tmp_path / "run")
    assert "use --grid" not in str(caught.value)


def test_a_role_without_workers_is_not_there(
    add: Callable[[type[Scheme]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task for a role of which a scheme asks for 0 workers is refused, and one may ask for 0 where none is needed."""

    class Unmanned(NoRedundancy):
        def allot(self, workers: int) -> dict[str, int]:
            return {"single": workers, "magic": 0}

        def arrived(self, request: Request, now: float) -> list[Action]:
            return [self._send("magic" if request.id == 149 else "single", (request,))]

    add(Unmanned)
    with pytest.raises(
        UsageError, match=r"^the scheme Unmanned sent a task to a 'magic' worker, but asked for none in"
    ):
        simulated(tmp_path / "run")
    monkeypatch.setattr(Unmanned, "arrived", NoRedundancy.arrived)
    assert not simulated(tmp_path / "again")["failed"]
    monkeypatch.setattr(Unmanned, "allot", lambda scheme, workers: {"single": 0})
    with pytest.raises(
        UsageError, match=r"the scheme Unmanned allots {'single': 0}: it must say how many workers serve"
    ):
        simulated(tmp_path / "third")


@pytest.mark.parametrize("hook", ["__init__", "allot", "needs", "batch", "encode", "decode"])
def test_an_error_in_any_other_method_is_said_with_its_line(
    add: Callable[[type[Scheme]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str], hook: str
) -> None:
    """An error in any method of a scheme is reported with its line, and the exit code is 1."""

    def broken(*what: Any) -> Any:
        raise KeyError("mine")

    broken.__name__ = hook
    add(type("Mine", (NoRedundancy,), {hook: broken}))
    assert exit_code("simulate", "--scheme", "mine", "--requests", 20, "--runs", 1, "--out", tmp_path / "run") == 1
    assert re.search(
        r"the scheme \w+ failed .*KeyError: 'mine' \(test_of_others.py, line \d+\)", capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("engine", "compute"),
    [pytest.param(experiment.run, "emulated", marks=pytest.mark.processes), (experiment.simulate, "emulated")],
    ids=["live", "simulated"],
)
@pytest.mark.parametrize("after", [0.01, 1e9, math.inf])
def test_a_scheme_that_only_waits_has_an_end(
    add: Callable[[type[Scheme]], None], tmp_path: Path, engine: Callable[..., object], compute: Any, after: float
) -> None:
    """A scheme that never answers and keeps asking to be woken ends one deadline later, on real workers too."""

    class Waiting(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            return [*super().arrived(request, now), Wake("x", now + after)]

        def woke(self, token: Hashable, now: float) -> list[Action]:
            return [Wake("x", now + after)]

        def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
            return []

    add(Waiting)
    config = Config(
        schemes=(SchemeConfig("mine", "mine"),), workers=2, runs=1, requests=10, time_scale=0.05, deadline=0.5,
        compute=compute,
    )  # fmt: skip
    engine(config, tmp_path / "run", Progress())
    assert any("neither answered nor given up" in reason for reason in judge(load(tmp_path / "run")))


@pytest.mark.parametrize("waits", [None, "long", math.nan, -1.0, True, 10**400, math.inf], ids=repr)
def test_what_is_no_time_to_wait_is_refused_before_anything_runs(
    add: Callable[[type[Scheme]], None], tmp_path: Path, waits: Any
) -> None:
    """A scheme's `waits` must be a number of seconds from 0 up, or infinity; anything else is refused with its name."""
    add(type("Mine", (NoRedundancy,), {"waits": waits}))
    if isinstance(waits, (int, float)) and waits > 1:
        assert not simulated(tmp_path / "run")["failed"]
        return
    with pytest.raises(UsageError, match=rf"^the scheme Mine has {waits!r} for its `waits`: it must be a number of"):
        simulated(tmp_path / "run")
    assert not (tmp_path / "run" / "requests.csv").exists()


@pytest.mark.parametrize(
    ("engine", "compute"),
    [pytest.param(experiment.run, "emulated", marks=pytest.mark.processes), (experiment.simulate, "emulated")],
    ids=["live", "simulated"],
)
def test_a_time_to_wait_that_becomes_none_ends_the_run(
    add: Callable[[type[Scheme]], None], tmp_path: Path, engine: Callable[..., object], compute: Any
) -> None:
    """A scheme whose `waits` is spoilt by an event is stopped with its name when the engine needs it, and no run hangs.

    Its last request is open and no worker has a task then, but a wake is pending.
    """

    class Spoilt(NoRedundancy):
        def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
            self.waits = None  # type: ignore[assignment]
            return [Wake("x", now + 0.1)]

    add(Spoilt)
    config = Config(
        schemes=(SchemeConfig("mine", "mine"),), workers=2, runs=1, requests=10, time_scale=0.05, compute=compute
    )
    with pytest.raises(UsageError, match=r"^the scheme Spoilt has None for its `waits`"):
        engine(config, tmp_path / "run", Progress())


@pytest.mark.parametrize("name", ["idle_role", "judges", "waits", "wants_begun"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_an_attribute_that_fails_is_said_with_its_line(
    add: Callable[[type[Scheme]], None], name: str, late: bool
) -> None:
    """An attribute may be a property; if it fails, at the start or in a run, that is an error of the scheme."""

    class Mine(NoRedundancy):
        judges = "single"
        works = late

        def arrived(self, request: Request, now: float) -> list[Action]:
            self.works = False
            return super().arrived(request, now)

        def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
            return [Judge(task.requests[0], (task,)), Wake("x", now + 1.0)]

    def asked(scheme: Mine) -> Any:
        if not scheme.works:
            raise KeyError("mine")
        return getattr(Scheme, name)

    setattr(Mine, name, property(asked))
    add(Mine)
    sentence = rf"^the scheme Mine failed when its `{name}` was asked for: KeyError: 'mine' \(test_of_others.py, line"
    run = partial(simulate, "mine", {}, 2, [0.0], slow) if late else partial(allotment_of, schemes.make("mine", {}), 2)
    with pytest.raises(CollagebenchError, match=sentence):
        run()


@pytest.mark.parametrize("at", [10**400, -(10**400)], ids=["large", "small"])
@pytest.mark.parametrize(
    ("engine", "compute"),
    [pytest.param(experiment.run, "emulated", marks=pytest.mark.processes), (experiment.simulate, "emulated")],
    ids=["live", "simulated"],
)
def test_a_wake_beyond_all_floats_comes_never_or_at_once(
    add: Callable[[type[Scheme]], None], tmp_path: Path, engine: Callable[..., object], compute: Any, at: int
) -> None:
    """A wake at a whole number too large for a float never comes, and one too small comes at once."""
    came = []

    class Far(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            return [*super().arrived(request, now), Wake("x", at)]

        def woke(self, token: Hashable, now: float) -> list[Action]:
            came.append(now)
            return []

    add(Far)
    config = Config(
        schemes=(SchemeConfig("mine", "mine"),), workers=2, runs=1, requests=10, time_scale=0.05, compute=compute
    )
    engine(config, tmp_path / "run", Progress())
    assert np.isfinite(load(tmp_path / "run").requests["latency"]).all()
    assert bool(came) == (at < 0)


class TwoAnswers(NoRedundancy):
    """A scheme that answers a request twice at once."""

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        (request,) = task.requests
        return self._answer(request, "own", task) + self._answer(request, "own", task)


class TooLate(NoRedundancy):
    """A scheme that finds only in an event that it was used in a wrong way."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        raise UsageError("too late to say this")


class Divides(NoRedundancy):
    """A scheme that divides by 0."""

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        return [Wake("x", now / 0)]


@pytest.mark.parametrize(
    ("scheme", "sentence"),
    [
        (TwoAnswers, r"the scheme TwoAnswers failed .* replied: KeyError: 0 \(test_of_others.py, line \d+\); COLL"),
        (
            TooLate,
            r"the scheme TooLate failed .* arrived: UsageError: too late to say this \(test_of_others.py, line \d+",
        ),
        (Divides, r"the scheme Divides failed .* replied: ZeroDivisionError: .* \(test_of_others.py, line \d+\); COLL"),
    ],
)
def test_an_error_inside_a_scheme_is_said_with_its_name_and_line(
    add: Callable[[type[Scheme]], None], scheme: type[Scheme], sentence: str
) -> None:
    """An error inside a scheme is reported with its name and line, in one line, and not as an unexpected error."""
    add(scheme)
    with pytest.raises(CollagebenchError, match=sentence) as caught:
        simulate("mine", {}, 2, [0.0], slow)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


class Unfinished(NoRedundancy):
    """A scheme whose constructor forgets that of its base class."""

    def __init__(self, number: int = 1) -> None:
        self.number = number


class ShortOfAnArgument(NoRedundancy):
    """A scheme whose `replied` lacks a parameter."""

    def replied(self, task: Task, now: float) -> list[Action]:  # type: ignore[override]
        return []


class Static(NoRedundancy):
    """A scheme whose `idle` takes the object itself for the role."""

    @staticmethod
    def idle(role: str) -> list[Action]:  # type: ignore[override]
        return []


class Deaf(Scheme):
    """A scheme that does not say what it does with replies."""

    def arrived(self, request: Request, now: float) -> list[Action]:
        return [self._send("single", (request,))]


@pytest.mark.parametrize("name", ["idle_role", "judges"])
def test_a_role_that_was_not_asked_for_is_blamed_on_the_class(
    add: Callable[[type[Scheme]], None], tmp_path: Path, name: str
) -> None:
    """An `idle_role` or `judges` of which there are no workers is refused with the line of the user's class."""

    class Mine(NoRedundancy):
        pass

    line = inspect.getsourcelines(Mine)[1]
    for role in ("backup", 3, ["single"]):
        setattr(Mine, name, role)
        add(Mine)
        with pytest.raises(
            UsageError, match=rf"^the scheme Mine has .* for its {name}, .* \(test_of_others.py, line {line}\)$"
        ):
            simulated(tmp_path / "run")


@pytest.mark.parametrize(
    ("scheme", "sentence"),
    [
        (Unfinished, r"must call super\(\).__init__\(\) first in its __init__ \(.*, line \d+, in __init__\)$"),
        (
            ShortOfAnArgument,
            r"defines replied\(self, task, now\), but it must be replied\(self, task, now, missing\) \(.*, in replied",
        ),
        (Static, r"defines idle\(role\), but it must be idle\(self, role, now\) \(.*, in idle\)$"),
        (Scheme, "does not define `arrived`, which every scheme must"),
        (Deaf, r"does not define `replied`, which every scheme must \(test_of_others.py, line \d+\)$"),
    ],
)
def test_what_every_scheme_has_is_missed_when_it_is_made(
    add: Callable[[type[Scheme]], None], scheme: type[Scheme], sentence: str
) -> None:
    """A scheme without its ledger, without a method that it must have, or with wrong parameters is refused at once."""
    add(scheme)
    with pytest.raises(UsageError, match=f"^the scheme {scheme.__name__} {sentence}"):
        schemes.make("mine", {})


@pytest.mark.parametrize("hook", ["__init__", "allot", "arrived"])
def test_a_scheme_cannot_end_the_command(add: Callable[[type[Scheme]], None], tmp_path: Path, hook: str) -> None:
    """`sys.exit` in any method of a scheme is an error of the scheme, and not the end of the command without a word."""

    def leaves(*what: Any) -> None:
        sys.exit(3)

    add(type("Mine", (NoRedundancy,), {hook: leaves}))
    with pytest.raises(CollagebenchError, match=r"^the scheme \w+ failed .*: SystemExit: 3 \(test_of_others.py, line"):
        simulated(tmp_path / "run")


@pytest.mark.parametrize("hook", ["__init__", "allot"])
def test_what_a_scheme_says_about_its_options_is_said_as_it_is(
    add: Callable[[type[Scheme]], None], tmp_path: Path, hook: str
) -> None:
    """A UsageError of the constructor, or of `allot`, is the whole message, since it is for who chose the options."""

    def refuses(*what: Any) -> None:
        raise UsageError("--quiet-below must be 0 or more, not -1")

    refuses.__name__ = hook
    add(type("Mine", (NoRedundancy,), {hook: refuses}))
    with pytest.raises(UsageError, match=r"^--quiet-below must be 0 or more, not -1$"):
        simulated(tmp_path / "run")


def test_where_an_error_came_from_is_shown_to_who_asks(
    add: Callable[[type[Scheme]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With COLLAGEBENCH_TRACEBACK the traceback stands before the sentence, and the exit code is the same."""
    add(TwoAnswers)
    command = ["simulate", "--scheme", "mine", "--requests", "20", "--runs", "1", "--compute-time", "0.004"]
    said = []
    for number in range(2):
        assert exit_code(*command, "--out", tmp_path / str(number)) == 1
        said.append(capsys.readouterr().err)
        monkeypatch.setenv("COLLAGEBENCH_TRACEBACK", "1")
    brief, whole = said
    assert brief.startswith("collagebench: the scheme TwoAnswers failed")
    assert brief.count("\n") == 1
    assert "in _settle" in whole
    assert whole.endswith(brief)


@pytest.mark.parametrize("event", ["begun", "judged", "idle"])
def test_an_event_that_is_answered_with_nothing_is_named_whichever_it_is(
    add: Callable[[type[Scheme]], None], event: str
) -> None:
    """A rarely used event that is answered with None is refused as well."""

    class Mine(NoRedundancy):
        wants_begun = event == "begun"
        idle_role = "single" if event == "idle" else None
        judges = "single" if event == "judged" else None

        def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
            return [Judge(task.requests[0], (task,))] if event == "judged" else super().replied(task, now, missing)

    setattr(Mine, event, lambda scheme, *told: None)
    add(Mine)
    with pytest.raises(UsageError, match="the scheme Mine answered an event with None: it must return a list"):
        simulate("mine", {}, 2, [0.0], slow)


def test_a_scheme_that_wakes_itself_at_one_time_for_ever_is_stopped(add: Callable[[type[Scheme]], None]) -> None:
    """A scheme that keeps waking itself at the same time is stopped, since simulated time would never pass."""

    class Sleepless(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            return [*super().arrived(request, now), Wake(("again",), now)]

        def woke(self, token: Hashable, now: float) -> list[Action]:
            return [Wake(("again",), now)]

    add(Sleepless)
    with pytest.raises(
        UsageError, match=r"the scheme Sleepless was woken 100,000 times at the same time \(.*, in woke\)"
    ):
        simulate("mine", {}, 2, [0.0], slow)


def test_a_scheme_may_wake_itself_as_long_as_the_cell_lasts(add: Callable[[type[Scheme]], None]) -> None:
    """A cell ends once all is answered and served, whatever wakes are pending; until then it can be interrupted."""

    class Ticking(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            return [*super().arrived(request, now), Wake(("tick",), now + 1e-5)]

        def woke(self, token: Hashable, now: float) -> list[Action]:
            return [Wake(("tick",), now + 1e-5)]

    add(Ticking)
    heard: list[int] = []
    ledger = simulate("mine", {}, 2, [0.0], slow, advance=heard.append)
    assert ledger.latency == {0: 1.0}
    assert len(heard) >= 9
    assert set(heard) == {0}


def test_requests_that_a_scheme_forgets_are_its_own_fault(add: Callable[[type[Scheme]], None], tmp_path: Path) -> None:
    """Requests that a scheme neither answers nor gives up make a run INVALID, as a bug in the scheme."""

    class Forgetful(NoRedundancy):
        def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
            return []

    add(Forgetful)
    simulated(tmp_path / "run")
    (reason,) = judge(load(tmp_path / "run"))
    assert reason.startswith("mine: ")
    assert "neither answered nor given up" in reason
    assert "a bug in the scheme" in reason


def test_a_scheme_that_never_uses_an_idle_worker_does_not_hang(add: Callable[[type[Scheme]], None]) -> None:
    """A scheme that is asked again and again what an idle worker should do, and only asks for wakes, is stopped."""

    class Idler(NoRedundancy):
        idle_role = "single"

        def idle(self, role: str, now: float) -> list[Action]:
            return [Wake("later", now + 1)]

    add(Idler)
    with pytest.raises(UsageError, match="was told 1,000 times of an idle single worker"):
        simulate("mine", {}, 2, [0.0], slow)


@pytest.mark.parametrize("role", ["backup", ["single"]], ids=["unknown", "list"])
def test_an_idle_role_that_changes_must_be_one_of_allot(add: Callable[[type[Scheme]], None], role: Any) -> None:
    """A scheme that sets its `idle_role` to a role without workers in an event is stopped with the method's line."""

    class Changing(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            self.idle_role = role
            return super().arrived(request, now)

    add(Changing)
    with pytest.raises(UsageError, match=r"^the scheme Changing has .* for its idle_role, but .* \(.*, in arrived\)$"):
        simulate("mine", {}, 2, [0.0], slow)


def test_options_may_be_choices_and_truths(add: Callable[[type[Scheme]], None]) -> None:
    """A `Literal` option takes its values only, a `bool` only booleans, and a number no boolean."""

    class Choosy(NoRedundancy):
        def __init__(self, mode: Literal["lt", "mds"] = "lt", fast: bool = False, copies: int = 1) -> None:
            super().__init__()

    assert str(inspect.signature(Choosy).parameters["fast"].annotation) == "bool"
    add(Choosy)
    schemes.make("mine", {"mode": "mds", "fast": True, "copies": 2})
    for wrong in ({"mode": "rs"}, {"mode": True}, {"fast": "yes"}, {"copies": True}):
        with pytest.raises(UsageError, match="cannot be"):
            schemes.make("mine", wrong)


def test_shares_of_a_group_on_one_worker_are_slow_each_for_itself(add: Callable[[type[Scheme]], None]) -> None:
    """Two tasks of one request and attempt with different shares get different draws on one worker."""

    class Shares(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            return [self._send("single", (request,), share=share) for share in range(2)]

    add(Shares)
    asked: list[tuple[int, int, int]] = []

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        asked.append((worker, request, attempt))
        return 1.0

    simulate("mine", {}, 1, [0.0], draw)
    assert len(set(asked)) == 2


def test_a_retry_takes_the_slow_worker_if_no_other_is_up() -> None:
    """If the other worker is down, a reissued request goes to the same worker again instead of failing."""
    ledger = simulate("reissue", {"reissue_after": 0.5}, 2, [0.0, 0.1], slow, crashes=[(0.05, 9.0, 1)])
    assert not ledger.failures
    assert set(ledger.latency) == {0, 1}


@pytest.mark.parametrize("lets_go", [True, False])
def test_a_reply_kept_for_requests_to_come_answers_one_of_them_or_ends_with_the_run(
    add: Callable[[type[Scheme]], None], lets_go: bool
) -> None:
    """A kept reply may answer later requests, and one that is never released is not an unfinished task."""

    class Memory(NoRedundancy):
        """Answers all later requests from the very first reply."""

        first: Task | None = None

        def arrived(self, request: Request, now: float) -> list[Action]:
            sent = super().arrived(request, now)
            if self.first is None:
                return sent
            return [*sent, *self._answer(request, "replica", self.first), *self._done(request)]

        def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
            if not self._open(task.requests[0]):
                return []
            self.first = task
            return [*super().replied(task, now, missing), Keep(task, None)]

        def _done(self, request: Request) -> list[Action]:
            return [Keep(self.first, ())] if lets_go and request.id == 2 and self.first else []

    add(Memory)
    ledger = simulate("mine", {}, 2, [0.0, 5.0, 6.0], lambda worker, request, attempt, at: 1.0)
    assert ledger.source == {0: "own", 1: "replica", 2: "replica"}
    assert [job.task.id for job in ledger.answers[2]] == [0]
    assert ledger.jobs[0].outcome == "used"


def test_an_error_without_words_is_its_kind_and_its_line(add: Callable[[type[Scheme]], None], tmp_path: Path) -> None:
    """An exception without a message is reported with the event, its type and its line."""

    class Mine(NoRedundancy):
        def arrived(self, request: Request, now: float) -> list[Action]:
            raise NotImplementedError

    add(Mine)
    with pytest.raises(
        CollagebenchError, match=r"failed when it was told arrived: NotImplementedError \(test_of_others"
    ):
        simulated(tmp_path / "run")

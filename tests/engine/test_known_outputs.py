"""The cache of single models' outputs, for later commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from collagebench import zoo
from collagebench.engine import evaluation
from collagebench.engine.evaluation import Evaluator, Images
from collagebench.engine.known_outputs import digest, keep, kept
from collagebench.engine.router import Job
from collagebench.schemes import make
from collagebench.schemes.protocol import Request, Task

MODEL = zoo.find(zoo.load(), "single", dataset="shapes")
PIXELS = np.random.default_rng(0).integers(0, 256, (8, *MODEL.image), dtype=np.uint8)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use and return a home directory without a cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def outputs(evaluator: Evaluator) -> np.ndarray:
    """Evaluate a task for each image; return the outputs [images, classes]."""
    tasks = [Task(i, "single", (Request(i, i, 0.0),), 0) for i in range(len(PIXELS))]
    jobs = [Job(task, 0, 0.0, 0.0, 0.0) for task in tasks]
    evaluator.evaluate(make("none", {}), {"single": MODEL}, jobs)
    return np.concatenate([job.outputs for job in jobs if job.outputs is not None])


def evaluator() -> Evaluator:
    """Return a new evaluator, as each command has."""
    return Evaluator(Images(np.arange(len(PIXELS)), PIXELS), threads=1)


def test_a_second_command_asks_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs that took long enough are cached; a second evaluator has the same bits without opening a model."""
    monkeypatch.setattr(evaluation, "WORTH_KEEPING", 0.0)
    first = evaluator()
    found = outputs(first)
    first.keep()
    monkeypatch.setattr(evaluation, "session", None)
    assert np.array_equal(outputs(evaluator()), found)


def test_what_took_no_time_is_not_kept(home: Path) -> None:
    """Outputs that took little time, as of a few images, are not cached."""
    quick = evaluator()
    outputs(quick)
    quick.keep()
    assert not list(home.iterdir())


def test_outputs_are_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second `keep` of an evaluator stores only what was computed since the first."""
    monkeypatch.setattr(evaluation, "WORTH_KEEPING", 0.0)
    stored: list[int] = []
    monkeypatch.setattr(evaluation, "keep", lambda model, outputs: stored.append(len(outputs)))
    one = evaluator()
    one.classify(MODEL, [0, 1])
    one.keep()
    one.classify(MODEL, [1, 2])
    one.keep()
    one.keep()
    assert stored == [2, 1]


def test_what_others_kept_stays() -> None:
    """A second `keep` adds its outputs to those that are cached."""
    rows = np.eye(2, *MODEL.output, dtype=np.float32)
    keep(MODEL, {digest(PIXELS[0]): rows[:1]})
    keep(MODEL, {digest(PIXELS[1]): rows[1:]})
    found = kept(MODEL)
    assert [found[digest(image)].tolist() for image in PIXELS[:2]] == [rows[:1].tolist(), rows[1:].tolist()]


def another_compression(content: bytes) -> bytes:
    """Return a ZIP archive whose directory names an unknown compression."""
    at = content.index(b"PK\x01\x02")
    return content[: at + 10] + b"\x63\x00" + content[at + 12 :]


def encrypted(content: bytes) -> bytes:
    """Return a ZIP archive whose directory says that its files are encrypted."""
    at = content.index(b"PK\x01\x02")
    return content[: at + 8] + b"\x01\x00" + content[at + 10 :]


@pytest.mark.parametrize(
    "spoil",
    [lambda content: b"", lambda content: b"no archive", lambda content: content[:-40], another_compression, encrypted],
    ids=["empty", "no archive", "truncated", "another compression", "encrypted"],
)
def test_a_damaged_file_counts_as_empty(home: Path, spoil: Callable[[bytes], bytes]) -> None:
    """A damaged cache file counts as empty, and the model is evaluated again."""
    keep(MODEL, {digest(PIXELS[0]): np.zeros((1, *MODEL.output), np.float32)})
    (path,) = home.rglob("*.npz")
    path.write_bytes(spoil(path.read_bytes()))
    assert kept(MODEL) == {}
    assert outputs(evaluator()).shape == (len(PIXELS), *MODEL.output)


def test_a_cache_that_cannot_be_written_is_no_error(home: Path) -> None:
    """If the cache's directory cannot be made, nothing is kept and no error is raised."""
    (home / ".cache").write_text("")
    keep(MODEL, {digest(PIXELS[0]): np.zeros((1, *MODEL.output), np.float32)})
    assert kept(MODEL) == {}


def test_images_differ_by_shape_and_content() -> None:
    """Images of the same bytes in another shape, or with one bit changed, have different digests."""
    image = np.zeros((2, 4, 3), np.uint8)
    other = image.copy()
    other[0, 0, 0] = 1
    assert len({digest(image), digest(image.reshape(4, 2, 3)), digest(other)}) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"digests": np.zeros((1, 15), np.uint8)},
        {"digests": np.zeros((2, 16), np.uint8)},
        {"digests": np.zeros((1, 16), np.int8)},
        {"outputs": np.zeros((1, MODEL.output[0] + 1), np.float32)},
        {"outputs": np.zeros((1, *MODEL.output), np.float64)},
    ],
)
def test_a_file_of_something_else_counts_as_empty(home: Path, changed: dict[str, np.ndarray]) -> None:
    """A cache file with arrays of another shape or type than this model's counts as empty."""
    keep(MODEL, {digest(PIXELS[0]): np.zeros((1, *MODEL.output), np.float32)})
    (path,) = home.rglob("*.npz")
    whole = {"digests": np.zeros((1, 16), np.uint8), "outputs": np.zeros((1, *MODEL.output), np.float32)}
    np.savez(path, **whole)
    assert len(kept(MODEL)) == 1
    np.savez(path, **{**whole, **changed})
    assert kept(MODEL) == {}


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is filled up to its limit; outputs that would exceed it are not added."""
    rows = np.eye(2, *MODEL.output, dtype=np.float32)
    monkeypatch.setattr("collagebench.engine.known_outputs.MOST_BYTES", rows[:1].nbytes)
    keep(MODEL, {digest(PIXELS[0]): rows[:1]})
    keep(MODEL, {digest(PIXELS[1]): rows[1:]})
    assert kept(MODEL).keys() == {digest(PIXELS[0])}

"""Teachers: what they say is kept, is the same live and beforehand, and is averaged over several."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from quick_training import ARCHITECTURE, LAYERS, RECIPE  # noqa: E402
from tones import Tones  # noqa: E402
from whole_epochs import batches  # noqa: E402

from collagebench.errors import OutputError, UsageError  # noqa: E402
from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.training import checkpoint as checkpoints  # noqa: E402
from collagebench.training.batches import shift_and_mirror  # noqa: E402
from collagebench.training.loop import train  # noqa: E402
from collagebench.training.teacher import ensemble, kept_logits, kept_rounds, open_teacher  # noqa: E402


def test_a_teacher_that_was_asked_beforehand_says_what_it_would_say_live(tmp_path: Path) -> None:
    """The stored logits of each round are those of the pixels that a student is shown, and teach it as well.

    They are reused the second time.
    """
    tones = Tones()
    path = tmp_path / "tones-single.pt"
    single = Architecture("single", 2, (8, 8), **LAYERS)
    network = train(single, RECIPE, tones, path).restored()
    teacher, digest = open_teacher(path, tones.classes, (8, 8))
    tones.labels = 1 - tones.labels
    recipe = replace(
        RECIPE, epochs=6, teacher=digest, teacher_sees="inputs", mix=1.0, crop=1, cutout=3, rounds=2, batch=70
    )
    rounds = kept_rounds(teacher, digest, tones, tmp_path, recipe, lambda *_: None)
    assert rounds.shape == (2, 588, 2), "the held-out images are not asked about"
    used = np.flatnonzero(np.arange(600) % 50)
    images, labels = torch.from_numpy(tones.load(used)), torch.from_numpy(tones.labels[used])
    for epoch in range(3):
        for batch in batches(images, labels, ARCHITECTURE, recipe, epoch):
            with torch.no_grad():
                wanted = network(batch.pixels.flatten(0, 1)).numpy()
            there = batch.there.flatten().numpy()
            said = rounds[batch.views, batch.images].reshape(-1, 2)
            assert np.abs(said - wanted)[there].max() < 0.05, "bfloat16 has three digits"
    last = train(ARCHITECTURE, replace(recipe, batch=8), tones, tmp_path / "m.pt", rounds=rounds)
    assert last.log[-1]["held_out_accuracy"] < 0.1, "the labels are wrong, the teacher is right"
    (kept,) = tmp_path.glob("*-rounds-*.npy")
    np.save(kept, rounds + 1)
    assert np.array_equal(kept_rounds(teacher, digest, tones, tmp_path, recipe, lambda *_: None), rounds + 1)


def test_several_teachers_teach_their_mean(tmp_path: Path) -> None:
    """Two teachers, live or stored, teach like one that gives the mean of their logits."""
    tones, teachers = Tones(), []
    single = Architecture("single", 2, (8, 8), **LAYERS)
    for seed in (1, 2):
        train(single, replace(RECIPE, seed=seed, epochs=1), tones, tmp_path / f"{seed}.pt")
        teachers.append(open_teacher(tmp_path / f"{seed}.pt", tones.classes, (8, 8)))
    recipe = replace(RECIPE, epochs=2, teacher="0" * 64, teacher_sees="inputs", mix=0.5, crop=1, rounds=2)
    said = [kept_rounds(*teacher, tones, tmp_path, recipe, lambda *_: None) for teacher in teachers]
    both = ensemble(said)
    assert both.dtype == np.float16
    assert np.abs(both - (said[0].astype(float) + said[1]) / 2).max() < 0.01
    assert np.abs(said[0] - said[1]).max() > 0.5, "they differ"
    live = [teacher.restored() for teacher, _ in teachers if isinstance(teacher, checkpoints.Checkpoint)]
    ends = [
        train(ARCHITECTURE, recipe, tones, tmp_path / "m.pt", **{key: value}).log[-1]["loss"]
        for key, value in (("live", live), ("rounds", both), ("rounds", said[0]))
    ]
    assert ends[0] == pytest.approx(ends[1], rel=0.02)
    assert ends[2] != pytest.approx(ends[1], rel=0.05), "one of them teaches something else"


HUGE = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,)}".ljust(117)
    + b"\n"
)
"""The beginning of a file of logits that says that it holds more numbers than any memory."""


@pytest.mark.parametrize("sees", ["image", "shifts"])
def test_a_teachers_logits_are_kept(tmp_path: Path, sees: str) -> None:
    """Each view of each image has the teacher's logits, which are stored and reused unless the file is damaged."""
    tones = Tones(40)
    path = tmp_path / "tones-single.pt"
    single = Architecture("single", 2, (8, 8), **LAYERS)
    recipe = replace(RECIPE, epochs=1, crop=1, teacher_sees=sees)
    last = train(single, replace(recipe, teacher_sees="image"), tones, path)
    teacher, digest = open_teacher(path, tones.classes, (8, 8))
    first = kept_logits(teacher, digest, tones, tmp_path, recipe, lambda done, total, line: None)
    images = torch.from_numpy(tones.load(np.arange(40)))
    assert first.shape == (2 if sees == "image" else 18, 40, 2)
    for mirrored, row, column in np.ndindex(2, 3, 3):
        seen = shift_and_mirror(images, torch.arange(40), *torch.tensor([[row], [column], [mirrored]]), 1)
        with torch.no_grad():
            wanted = last.restored()(seen).numpy()
        if sees == "shifts" or (row, column) == (1, 1):
            view = recipe.view(row, column, mirrored)
            assert np.abs(first[view] - wanted).max() < 0.05, "bfloat16 has three digits"
    (kept,) = tmp_path.glob("*.npy")
    np.save(kept, first + 1)
    assert np.array_equal(kept_logits(teacher, digest, tones, tmp_path, recipe, lambda *_: None), first + 1)
    zipped = tmp_path / "several.npz"
    np.savez(zipped, first)
    for content in (kept.read_bytes()[:100], b"PK\x03\x04", zipped.read_bytes(), HUGE):
        kept.write_bytes(content)
        assert np.array_equal(kept_logits(teacher, digest, tones, tmp_path, recipe, lambda *_: None), first)
    for make in (os.mkfifo, os.mkdir):
        kept.unlink()
        make(kept)
        with pytest.raises(OutputError, match=rf"{kept} is not a regular file: remove it"):
            kept_logits(teacher, digest, tones, tmp_path, recipe, lambda *_: None)


def test_a_teacher_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A collage is refused as a teacher, and so is a single of other classes."""
    train(ARCHITECTURE, replace(RECIPE, epochs=1), Tones(), tmp_path / "c.pt")
    with pytest.raises(UsageError, match="is a collage"):
        open_teacher(tmp_path / "c.pt", Tones.classes, (8, 8))
    train(Architecture("single", 2, (8, 8), **LAYERS), replace(RECIPE, epochs=1), Tones(), tmp_path / "s.pt")
    with pytest.raises(UsageError, match="train a single on them first"):
        open_teacher(tmp_path / "s.pt", ("a", "b", "c"), (8, 8))

"""What a training step sees: collages as they are sent live, blanks as partial groups have them, labels that fit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench.coding.mosaic import mosaic  # noqa: E402
from collagebench.coding.parity import add, concatenate  # noqa: E402
from collagebench.errors import DataError, UsageError  # noqa: E402
from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.training.batches import (  # noqa: E402
    IGNORED,
    assemble,
    batches,
    blank_cells,
    cut_out,
    paste,
    shift_and_mirror,
    steps,
)
from collagebench.training.recipe import Recipe  # noqa: E402


def architecture(role: str = "single", **fields: object) -> Architecture:
    """Return an architecture for 8x8 images."""
    return Architecture(role, 10, (8, 8), **fields)


def numbered(n: int, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return n images, each all of one value, its number from 1 up, which is also its label."""
    labels = np.arange(1, n + 1)
    return np.broadcast_to(labels[:, None, None, None].astype(np.uint8), (n, size, size, 3)).copy(), labels


@pytest.mark.parametrize("grid", [2, 3, 4, 5])
def test_pasting_equals_the_live_mosaic(grid: int) -> None:
    """Many collages pasted at once have not one pixel other than the live encoder's, blanks included."""
    rng = np.random.default_rng(grid)
    cells = grid * grid
    images = rng.integers(1, 256, size=(3 * cells, 8, 6, 3), dtype=np.uint8)
    blanked, labels = blank_cells(images, np.zeros(3 * cells, np.int64), cells, 1.0, rng)
    filled = (labels != IGNORED).reshape(3, cells)
    for k, made in enumerate(paste(blanked, grid)):
        group = [images[k * cells + c] if filled[k, c] else None for c in range(cells)]
        assert np.array_equal(made, mosaic(group, grid, (8 * grid, 6 * grid)))


def test_smaller_collages_are_the_live_mosaics_too() -> None:
    """Scaled down to a canvas, they have not one pixel other than the live encoder's, blanks included."""
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, size=(2 * 9, 8, 8, 3), dtype=np.uint8)
    images[-3:] = 0
    made = assemble(images, architecture("collage", grid=3, canvas=(20, 16)))
    assert made.shape == (2, 20, 16, 3)
    assert np.array_equal(made[0], mosaic(list(images[:9]), 3, (20, 16)))
    assert np.array_equal(made[1], mosaic(list(images[9:15]), 3, (20, 16)))


@pytest.mark.parametrize(("k", "code"), [(2, "addition"), (3, "addition"), (2, "concatenation"), (4, "concatenation")])
def test_parities_equal_the_live_ones(k: int, code: str) -> None:
    """Many parities made at once have not one pixel other than the live encoder's, of partial groups too."""
    rng = np.random.default_rng(k)
    images = rng.integers(256, size=(3 * k, 8, 8, 3), dtype=np.uint8)
    images[-1] = 0  # the last group is one image short
    made = assemble(images, architecture("parity", k=k, code=code))
    for group, parity in enumerate(made):
        full = list(images[k * group : k * group + k])
        there = full[:-1] if group == 2 else full
        live = add(there) if code == "addition" else concatenate(there, k)
        assert parity.dtype == live.dtype
        assert np.array_equal(parity, live)


def test_blanks_follow_a_uniform_number_of_first_images() -> None:
    """A collage with blanks keeps its first m images, every m from 1 to all equally often."""
    rng = np.random.default_rng(0)
    images = np.full((9 * 6000, 1, 1, 3), 7, np.uint8)
    blanked, labels = blank_cells(images, np.ones(len(images), np.int64), 9, 1.0, rng)
    filled = (labels != IGNORED).reshape(-1, 9)
    counts = filled.sum(1)
    assert (filled == (np.arange(9) < counts[:, None])).all()
    assert ((blanked.reshape(-1, 9, 3) == 7).all(-1) == filled).all()
    shares = np.bincount(counts, minlength=10)[1:] / 6000
    assert np.abs(shares - 1 / 9).max() < 0.02


def test_the_asked_share_of_collages_has_blanks() -> None:
    """With a share of 0 all collages are full, with 0.5 about (1 - 1/9) / 2 have blanks."""
    images, labels = np.ones((9 * 4000, 1, 1, 3), np.uint8), np.ones(9 * 4000, np.int64)
    _, full = blank_cells(images, labels, 9, 0.0, np.random.default_rng(0))
    assert (full != IGNORED).all()
    _, half = blank_cells(images, labels, 9, 0.5, np.random.default_rng(0))
    assert (half.reshape(-1, 9)[:, -1] == IGNORED).mean() == pytest.approx(4 / 9, abs=0.03)


@pytest.mark.parametrize("grid", [None, 2])
def test_an_epoch_uses_each_image_at_most_once_with_its_label(grid: int | None) -> None:
    """Images keep their labels wherever they are pasted, none comes twice, and only a last partial batch drops."""
    images, labels = numbered(100)
    recipe = Recipe(dataset="numbers", batch=6, blanks=0.0, flip=True)
    side = grid or 1
    seen: list[int] = []
    for batch in batches(images, labels, architecture("collage" if grid else "single", grid=grid), recipe, epoch=0):
        assert batch.inputs.shape == (6, 8 * side, 8 * side, 3)
        assert batch.labels.shape == (6, side * side)
        assert (batch.inputs[:, ::8, ::8, 0].reshape(6, -1) == batch.labels).all()
        assert (labels[batch.images] == batch.labels).all()
        seen += batch.labels.flatten().tolist()
    assert len(seen) == len(set(seen)) == 96


def test_epochs_differ_and_repeat() -> None:
    """The same seed and epoch give the same batches, another epoch or seed others."""
    images, labels = numbered(64)

    def first(seed: int, epoch: int) -> bytes:
        recipe = Recipe(dataset="numbers", seed=seed, batch=4)
        return next(iter(batches(images, labels, architecture("collage", grid=2), recipe, epoch))).inputs.tobytes()

    assert first(0, 1) == first(0, 1)
    assert len({first(0, 0), first(0, 1), first(1, 0)}) == 3


def test_shifting_moves_by_no_more_than_asked() -> None:
    """A bright pixel in the middle is found within the shift of its place, in every direction."""
    images = np.zeros((500, 9, 9, 3), np.uint8)
    images[:, 4, 4] = 255
    shifted = shift_and_mirror(images, 2, np.zeros(500, bool), np.random.default_rng(0))
    rows, columns = np.nonzero(shifted[..., 0])[1:]
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}


def test_an_image_is_mirrored_in_every_second_epoch() -> None:
    """About half of the images are mirrored in one epoch, just the others in the next; without flips none ever is."""
    images, labels = numbered(100)
    images[:, :, 0] = 0

    def turned(epoch: int, flip: bool = True) -> dict[int, bool]:
        recipe = Recipe(dataset="numbers", batch=100, flip=flip)
        (batch,) = batches(images, labels, architecture(), recipe, epoch)
        dark = (batch.inputs[:, 0, 7, 0] == 0).astype(int)
        assert (dark == batch.mirrored[:, 0]).all(), "the batch says which are mirrored"
        return dict(zip(batch.labels[:, 0].tolist(), dark.tolist(), strict=True))

    first, second, third = turned(0), turned(1), turned(2)
    assert 35 < sum(first.values()) < 65
    assert all(first[label] != second[label] for label in first)
    assert first == third
    assert not any(turned(0, flip=False).values())


def test_few_images_make_one_smaller_batch_and_too_few_an_error() -> None:
    """Fewer images than a batch train in one batch; fewer than a collage has cells are refused."""
    images, labels = numbered(10)
    (batch,) = batches(images, labels, architecture("collage", grid=2), Recipe(dataset="numbers"), 0)
    assert len(batch.inputs) == 2
    with pytest.raises(DataError, match="3 training images do not fill one collage of 4 cells"):
        steps(3, 4, 16)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 0},
        {"threads": 0},
        {"seed": -1},
        {"rate": 0.0},
        {"blanks": 2.0},
        {"label_smoothing": 1.0},
        {"ema": 1.0},
        {"cutout": -1},
        {"weight_decay": -1.0},
        {"minutes": 0.0},
    ],
)
def test_recipes_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """No epochs, no batch, no thread, no learning rate, and shares or sizes out of range are usage errors."""
    with pytest.raises(UsageError):
        Recipe(dataset="numbers", **wrong)


def test_the_rate_rises_and_falls_in_straight_lines() -> None:
    """It reaches its peak after the share of the steps that is its warm-up, and nothing at the end."""
    recipe = Recipe(dataset="numbers", rate=0.5, warmup=0.2)
    rates = [recipe.rate_at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.5 / 20)
    assert max(rates) == 0.5 == rates[20]
    assert rates[60] == pytest.approx(0.25)
    assert 0 < rates[99] == pytest.approx(0.5 / 80)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    shares = [recipe.rate_after((step + 1) / 100) for step in range(100)]
    assert shares == pytest.approx(rates, abs=0.5 / 80 + 1e-9)
    assert recipe.rate_after(0.0) == recipe.rate_after(1.0) == recipe.rate_after(1.5) == 0


def test_cutout_hides_one_square_that_may_reach_over_the_border() -> None:
    """Every image loses one grey square, whole or cut at the border, anywhere in it; the rest stays as it was."""
    images = np.zeros((400, 9, 7, 3), np.uint8)
    hidden = cut_out(images, 4, np.random.default_rng(0)) == 128
    assert (hidden.all(-1) == hidden.any(-1)).all(), "all colours alike"
    rows, columns = hidden[..., 0].any(2), hidden[..., 0].any(1)
    assert (hidden[..., 0] == rows[:, :, None] & columns[:, None]).all()
    assert set(rows.sum(1).tolist()) == set(columns.sum(1).tolist()) == {2, 3, 4}
    assert (rows.mean(0) > 0.2).all()
    assert (columns.mean(0) > 0.2).all()
    assert not images.any(), "the images themselves are left alone"


def test_cutout_is_drawn_anew_in_every_epoch_and_nothing_else_changes_without() -> None:
    """With a side of 0 the batches are those of a recipe that never heard of it; else grey is in other places."""
    images, labels = numbered(64)
    one = architecture()

    def inputs(epoch: int, **fields: int) -> np.ndarray:
        (batch,) = batches(images, labels, one, Recipe(dataset="numbers", batch=64, flip=False, **fields), epoch)
        return batch.inputs[np.argsort(batch.labels[:, 0])]

    assert np.array_equal(inputs(0, cutout=0), inputs(0))
    places = [inputs(epoch, cutout=4) == 128 for epoch in (0, 0, 1)]
    assert np.array_equal(places[0], places[1])
    assert not np.array_equal(places[0], places[2])

"""What a training step gets: collages as in a live run, blanks as in partial groups, and matching labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from whole_epochs import batches  # noqa: E402

from collagebench.coding.mosaic import mosaic  # noqa: E402
from collagebench.coding.parity import add, concatenate  # noqa: E402
from collagebench.errors import DataError, UsageError  # noqa: E402
from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.training.batches import (  # noqa: E402
    IGNORED,
    alter,
    assemble,
    cut_out,
    order,
    paste,
    shift_and_mirror,
    steps,
)
from collagebench.training.recipe import Recipe  # noqa: E402


def architecture(role: str = "single", **fields: object) -> Architecture:
    """Return an architecture for 8x8 images."""
    return Architecture(role, 10, (8, 8), **fields)


def numbered(n: int, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Return n images that are filled with their number, from 1 up, which is also their label."""
    labels = torch.arange(1, n + 1)
    return labels[:, None, None, None].to(torch.uint8).repeat(1, size, size, 3), labels


def blanked(collages: int, share: float) -> np.ndarray:
    """Return which images are present in 3x3 collages of which a share has blanks: bool [collages, 9]."""
    recipe = Recipe(dataset="numbers", blanks=share)
    return order(9 * collages, collages, architecture("collage", grid=3), recipe, 0)[1].reshape(-1, 9) == 1


@pytest.mark.parametrize("grid", [2, 3, 4, 5])
def test_pasting_equals_the_live_mosaic(grid: int) -> None:
    """Collages that are pasted together equal those of the live encoder in every pixel, blanks included."""
    rng = np.random.default_rng(grid)
    cells = grid * grid
    images = rng.integers(1, 256, size=(3 * cells, 8, 6, 3), dtype=np.uint8)
    images[cells + 2 : 2 * cells] = 0
    for k, made in enumerate(paste(torch.from_numpy(images), grid)):
        group = [images[k * cells + c] if k != 1 or c < 2 else None for c in range(cells)]
        assert np.array_equal(made.numpy(), mosaic(group, grid, (8 * grid, 6 * grid)))


def test_smaller_collages_are_the_live_mosaics_too() -> None:
    """Collages scaled down to a canvas equal those of the live encoder in every pixel, blanks included."""
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, size=(2 * 9, 8, 8, 3), dtype=np.uint8)
    images[-3:] = 0
    made = assemble(torch.from_numpy(images), architecture("collage", grid=3, canvas=(20, 16))).numpy()
    assert made.shape == (2, 20, 16, 3)
    assert np.array_equal(made[0], mosaic(list(images[:9]), 3, (20, 16)))
    assert np.array_equal(made[1], mosaic(list(images[9:15]), 3, (20, 16)))


@pytest.mark.parametrize(("k", "code"), [(2, "addition"), (3, "addition"), (2, "concatenation"), (4, "concatenation")])
def test_parities_equal_the_live_ones(k: int, code: str) -> None:
    """Parities that are made together equal those of the live encoder in every pixel, also of partial groups."""
    rng = np.random.default_rng(k)
    images = rng.integers(256, size=(3 * k, 8, 8, 3), dtype=np.uint8)
    images[-1] = 0  # the last group is one image short
    made = assemble(torch.from_numpy(images), architecture("parity", k=k, code=code)).numpy()
    for group, parity in enumerate(made):
        full = list(images[k * group : k * group + k])
        there = full[:-1] if group == 2 else full
        live = add(there) if code == "addition" else concatenate(there, k)
        assert parity.dtype == live.dtype
        assert np.array_equal(parity, live)


def test_blanks_follow_a_uniform_number_of_first_images() -> None:
    """A collage with blanks keeps its first m images, every m from 1 to all equally often."""
    filled = blanked(6000, 1.0)
    counts = filled.sum(1)
    assert (filled == (np.arange(9) < counts[:, None])).all()
    shares = np.bincount(counts, minlength=10)[1:] / 6000
    assert np.abs(shares - 1 / 9).max() < 0.02


def test_the_asked_share_of_collages_has_blanks() -> None:
    """With a share of 0 all collages are full; with 0.5 about (1 - 1/9) / 2 have blanks."""
    assert blanked(4000, 0.0).all()
    assert 1 - blanked(4000, 0.5)[:, -1].mean() == pytest.approx(4 / 9, abs=0.03)


def test_a_blank_is_black_and_has_no_label() -> None:
    """A blank cell is black and has no label; all others are shown and labelled."""
    images, labels = numbered(64)
    recipe = Recipe(dataset="numbers", batch=4, blanks=1.0)
    for batch in batches(images, labels, architecture("collage", grid=2), recipe, epoch=0):
        cells = batch.inputs[:, ::8, ::8, 0].reshape(4, -1)
        assert ((cells == 0) == (batch.labels == IGNORED)).all()
        assert (batch.labels == IGNORED).any()
        assert (batch.labels[:, 0] != IGNORED).all()


@pytest.mark.parametrize("grid", [None, 2])
def test_an_epoch_uses_each_image_at_most_once_with_its_label(grid: int | None) -> None:
    """Images keep their labels wherever they are pasted, none occurs twice, and only a last partial batch drops out."""
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
    """The same seed and epoch give the same batches; another epoch or seed gives others."""
    images, labels = numbered(64)

    def first(seed: int, epoch: int) -> bytes:
        recipe = Recipe(dataset="numbers", seed=seed, batch=4)
        return (
            next(iter(batches(images, labels, architecture("collage", grid=2), recipe, epoch))).inputs.numpy().tobytes()
        )

    assert first(0, 1) == first(0, 1)
    assert len({first(0, 0), first(0, 1), first(1, 0)}) == 3


def test_shifting_moves_by_no_more_than_asked_and_mirrors_afterwards() -> None:
    """A bright pixel is found where the shift puts it, in every direction, or where the mirror then puts it."""
    images = torch.zeros((1, 9, 9, 3), dtype=torch.uint8)
    images[0, 4, 4] = 255
    rows, columns, mirrored = (part.flatten() for part in torch.meshgrid(*map(torch.arange, (5, 5, 2)), indexing="ij"))
    shifted = shift_and_mirror(images, torch.zeros(50, dtype=torch.int64), rows, columns, mirrored, 2)
    _, found_rows, found_columns = torch.nonzero(shifted[..., 0], as_tuple=True)
    assert torch.equal(found_rows, 6 - rows)
    assert torch.equal(found_columns, torch.where(mirrored == 1, 2 + columns, 6 - columns))


def test_a_border_shows_the_image_itself_mirrored() -> None:
    """Shifted images equal those cut from NumPy's reflecting padding."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(4, 6, 5, 3), dtype=np.uint8)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    rows, columns = rng.integers(5, size=(2, 4))
    wanted = [padded[i, rows[i] : rows[i] + 6, columns[i] : columns[i] + 5] for i in range(4)]
    arguments = map(torch.from_numpy, (np.arange(4), rows, columns, np.zeros(4)))
    assert np.array_equal(shift_and_mirror(torch.from_numpy(images), *arguments, 2).numpy(), wanted)


def test_the_view_that_a_batch_names_is_the_one_that_it_shows() -> None:
    """Every view has its own number, a batch shows the views that it names, and the plain view is the image itself."""
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(64, 8, 8, 3), dtype=np.uint8))
    recipe = Recipe(dataset="numbers", batch=64, crop=1, teacher_sees="shifts")
    views = list(np.ndindex(2, 3, 3))
    assert [recipe.view(row, column, mirrored) for mirrored, row, column in views] == list(range(recipe.views))
    assert views[recipe.plain] == (0, 1, 1)
    (batch,) = batches(images, torch.zeros(64, dtype=torch.int64), architecture(), recipe, epoch=0)
    assert len(set(batch.views.flatten().tolist())) > 9
    for shown, image, view in zip(batch.inputs, batch.images[:, 0], batch.views[:, 0], strict=True):
        mirrored, row, column = (torch.tensor([place]) for place in views[view])
        assert torch.equal(shift_and_mirror(images, image[None], row, column, mirrored, 1)[0], shown)
    (batch,) = batches(images, torch.zeros(64, dtype=torch.int64), architecture(), Recipe("n", batch=64, crop=1), 0)
    assert set(batch.views.flatten().tolist()) == {0, 1}


def test_an_image_is_mirrored_in_every_second_epoch() -> None:
    """About half of the images are mirrored in one epoch and the others in the next; without flips none is."""
    images, labels = numbered(100)
    images[:, :, 0] = 0

    def turned(epoch: int, flip: bool = True) -> dict[int, bool]:
        recipe = Recipe(dataset="numbers", batch=100, flip=flip)
        (batch,) = batches(images, labels, architecture(), recipe, epoch)
        dark = (batch.inputs[:, 0, 7, 0] == 0).long()
        assert (dark == batch.views[:, 0]).all(), "the batch says which are mirrored"
        return dict(zip(batch.labels[:, 0].tolist(), dark.tolist(), strict=True))

    first, second, third = turned(0), turned(1), turned(2)
    assert 35 < sum(first.values()) < 65
    assert all(first[label] != second[label] for label in first)
    assert first == third
    assert not any(turned(0, flip=False).values())


def test_few_images_make_one_smaller_batch_and_too_few_an_error() -> None:
    """Fewer images than a batch make one smaller batch; fewer than a collage has cells are refused."""
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
        {"muon": -0.1},
        {"muon": 1.5},
        {"warmup": 1.0},
        {"cutout": -1},
        {"weight_decay": -1.0},
        {"minutes": 0.0},
        {"every": 0},
        {"teacher_sees": "nothing"},
        {"mix": 1.5},
        {"cutmix": -0.1},
        {"mix": 0.6, "cutmix": 0.5},
        {"mix": 0.5, "teacher": "0"},
        {"cutmix": 0.5, "teacher": "0", "teacher_sees": "shifts"},
        {"distillation": 1.1},
        {"temperature": 0.0},
        {"rounds": -1},
        {"rounds": 5, "teacher": "0"},
        {"rounds": 5, "teacher_sees": "inputs"},
    ],
)
def test_recipes_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """Recipes without epochs, batch, threads or rate, or with values out of range, are usage errors."""
    with pytest.raises(UsageError):
        Recipe(dataset="numbers", **wrong)


def test_the_rate_rises_and_falls_in_straight_lines() -> None:
    """The rate rises linearly to its peak during the warm-up, and falls linearly to 0 at the end."""
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
    """Each image loses one grey square at a random place, cut off at the border, and nothing else changes."""
    images, labels = torch.zeros((400, 8, 8, 3), dtype=torch.uint8), torch.zeros(400, dtype=torch.int64)
    recipe = Recipe(dataset="numbers", batch=400, cutout=4)
    (batch,) = batches(images, labels, architecture(), recipe, epoch=0)
    hidden = (batch.inputs == 128).numpy()
    assert (hidden.all(-1) == hidden.any(-1)).all(), "all colours alike"
    rows, columns = hidden[..., 0].any(2), hidden[..., 0].any(1)
    assert (hidden[..., 0] == rows[:, :, None] & columns[:, None]).all()
    assert set(rows.sum(1).tolist()) == set(columns.sum(1).tolist()) == {2, 3, 4}
    assert (rows.mean(0) > 0.2).all()
    assert (columns.mean(0) > 0.2).all()
    assert not images.any(), "the images themselves are left alone"
    one = cut_out(images[:1], torch.tensor([-2]), torch.tensor([3]), 4)[0, :, :, 0]
    assert torch.equal(torch.nonzero(one), torch.cartesian_prod(torch.arange(2), torch.arange(3, 7)))


def test_mixed_images_are_weighted_means() -> None:
    """About the share asked for is mixed with another image, at a known ratio of any value; the rest is unchanged."""
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(400, 8, 8, 3), dtype=np.uint8))
    recipe = Recipe("n", batch=400, teacher="0", teacher_sees="inputs", flip=False)
    labels = torch.arange(400)
    (plain,) = batches(images, labels, architecture(), recipe, 0)
    (mixed,) = batches(images, labels, architecture(), replace(recipe, mix=0.5), 0)
    same = (mixed.inputs == plain.inputs).flatten(1).all(1)
    assert torch.equal(mixed.own[:, 0] == 1, same), "a mix of 255 to 1 parts is not what it was, either"
    assert torch.equal(mixed.labels, mixed.images)
    assert 150 < same.sum() < 250
    assert torch.equal(mixed.pixels[:, 0], mixed.inputs)
    others = torch.from_numpy(alter(400, (8, 8), replace(recipe, mix=0.5), 0)[6])[mixed.images[:, 0]]
    assert len(others.unique()) == 400
    assert torch.equal(mixed.others[:, 0], others)
    a, b, made = (x.double() for x in (plain.inputs[~same], images[others][~same], mixed.inputs[~same]))
    own = ((made - b) * (a - b)).flatten(1).sum(1) / (a - b).square().flatten(1).sum(1)
    assert own.min() < 0.1 < 0.9 < own.max()
    assert (mixed.own[~same, 0] - own).abs().max() < 0.01
    weights = (own * 256).round()[:, None, None, None] / 256
    assert (made - (a * weights + b * (1 - weights))).abs().max() < 1.1


def test_a_rectangle_of_another_image_has_its_part_of_the_label() -> None:
    """About the share asked for shows another image in a rectangle of any size and place, whose area is known."""
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(800, 8, 16, 3), dtype=np.uint8))
    recipe = Recipe("n", batch=800, crop=1, cutmix=0.5)
    wide = Architecture("single", 10, (8, 16))
    (plain,) = batches(images, torch.arange(800), wide, replace(recipe, cutmix=0.0), 0)
    (cut,) = batches(images, torch.arange(800), wide, recipe, 0)
    theirs = plain.inputs[torch.argsort(plain.images[:, 0])][cut.others[:, 0]]
    shown = (cut.inputs != plain.inputs).any(-1)
    assert torch.equal(cut.inputs, torch.where(shown[..., None], theirs, plain.inputs)), "altered as it is itself"
    rows, columns = shown.any(2), shown.any(1)
    assert (shown == rows[:, :, None] & columns[:, None]).all()
    unlike = (cut.others != cut.labels)[:, 0]
    assert (cut.own[:, 0] - (1 - shown.float().mean((1, 2))))[unlike].abs().max() < 1e-6
    assert 300 < (cut.own < 1).sum() < 450
    heights = rows.sum(1)[rows.any(1)]
    assert set(heights.tolist()) == set(range(1, 9))
    assert ((columns.sum(1)[rows.any(1)] - 2 * heights).abs() <= 1).all(), "in the proportions of the image"
    for where in (rows, columns):
        assert (where.float().mean(0) > 0.1).all()


def test_cutout_is_drawn_anew_in_every_epoch_and_nothing_else_changes_without() -> None:
    """A cutout of side 0 changes nothing; otherwise the grey squares move from epoch to epoch."""
    images, labels = numbered(64)
    one = architecture()

    def inputs(epoch: int, **fields: int) -> np.ndarray:
        (batch,) = batches(images, labels, one, Recipe(dataset="numbers", batch=64, flip=False, **fields), epoch)
        return batch.inputs[torch.argsort(batch.labels[:, 0])].numpy()

    assert np.array_equal(inputs(0, cutout=0), inputs(0))
    places = [inputs(epoch, cutout=4) == 128 for epoch in (0, 0, 1)]
    assert np.array_equal(places[0], places[1])
    assert not np.array_equal(places[0], places[2])


def test_rounds_come_again_in_another_order_and_are_the_same_for_every_role() -> None:
    """After as many epochs as rounds an image looks the same again, in another order, for a collage as for a single."""
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(64, 8, 8, 3), dtype=np.uint8))
    recipe = Recipe(
        "n", batch=64, crop=2, cutout=3, mix=0.3, cutmix=0.3, blanks=0.0, rounds=3, teacher="0", teacher_sees="inputs"
    )

    def shown(epoch: int, recipe: Recipe, **fields: int) -> tuple[list[int], np.ndarray]:
        role = "collage" if fields else "single"
        (batch,) = batches(images, torch.zeros(64, dtype=torch.int64), architecture(role, **fields), recipe, epoch)
        assert (batch.views == epoch % 3).all()
        order = batch.images.flatten()
        return order.tolist(), batch.pixels.flatten(0, 1)[torch.argsort(order)].numpy()

    looks = [shown(epoch, recipe) for epoch in range(4)]
    assert looks[0][0] != looks[3][0]
    assert np.array_equal(looks[0][1], looks[3][1])
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert (looks[one][1] != looks[other][1]).any((1, 2, 3)).mean() > 0.9
    collage = shown(1, replace(recipe, batch=16), grid=2)
    assert np.array_equal(collage[1], looks[1][1])

"""Accuracy by role, from models whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colours import colour_models, coloured

from collagebench import zoo
from collagebench.engine.evaluation import session
from collagebench.errors import DataError
from collagebench.measurement.accuracy import Sample, by_cell, decoded, draw, silent, singles, with_blanks
from collagebench.workload.imagefolder import ImageFolder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zoo.Model]:
    """Return the models of colours by name."""
    return {model.name: model for model in zoo.load(colour_models(tmp_path_factory.mktemp("models")))}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Return 50 of 60 images."""
    return draw(ImageFolder(coloured(tmp_path_factory.mktemp("images"))), 50)


def test_a_sample_is_shuffled_always_the_same_and_no_larger_than_the_dataset(tmp_path: Path) -> None:
    """A sample has each image at most once, in a random order that is always the same, and only chosen images."""
    images = ImageFolder(coloured(tmp_path, 4))
    some, again, all_ = draw(images, 5), draw(images, 5), draw(images, 99)
    assert np.array_equal(some.pixels, again.pixels)
    assert some.labels.tolist() == all_.labels.tolist()[:5]
    assert np.bincount(all_.labels).tolist() == [4, 4, 4]
    assert all_.labels.tolist() != sorted(all_.labels.tolist())
    few = draw(images, 99, np.array([1, 5, 9]))
    assert sorted(few.labels.tolist()) == [0, 1, 2]
    with pytest.raises(DataError, match="no images"):
        draw(images, 5, np.array([], dtype=np.int64))


def test_every_image_is_asked_about_in_every_cell(models: dict[str, zoo.Model], sample: Sample) -> None:
    """For a collage that is wrong in its last cell only, just that cell is wrong, for all of 48 images."""
    model = models["colours-collage-2x2"]
    asked = []
    right = by_cell(session(model), model, sample, asked.append)
    assert right.shape == (48, 4)
    assert right.mean(axis=0).tolist() == [1, 1, 1, 0]
    assert sum(asked) == 48


def test_an_image_stands_once_in_every_cell_beside_changing_neighbours(models: dict[str, zoo.Model]) -> None:
    """Each of nine images is in each cell once, and next to varying neighbours."""
    seen: list[np.ndarray] = []

    class Watched:
        """A session that reads each cell's image number from a mosaic."""

        def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            """Record the numbers."""
            cells = inputs["image"][:, 1::4, 1::4, 0].reshape(-1, 9)
            seen.extend(cells)
            return [np.zeros((len(cells), 9, 3), np.float32)]

    model = replace(models["colours-collage-2x2"], grid=3, input=(12, 12, 3))
    pixels = np.repeat(np.arange(9, dtype=np.uint8), 48).reshape(9, 4, 4, 3)
    by_cell(Watched(), model, Sample(pixels, np.zeros(9, np.int64)))
    assert len(seen) == 9
    assert all(sorted(column) == list(range(9)) for column in np.transpose(seen).tolist())
    assert len({(int(cells[place]), int(cells[place + 1])) for cells in seen for place in (0, 3, 6)}) > 9


@pytest.mark.parametrize(("blanks", "groups"), [(1, 16), (2, 25), (3, 50)])
def test_blank_cells_are_the_last_and_count_for_nothing(
    models: dict[str, zoo.Model], sample: Sample, blanks: int, groups: int
) -> None:
    """The last cells are left blank and not counted: with the wrong cell blank, all others are right."""
    model = models["colours-collage-2x2"]
    right = with_blanks(session(model), model, sample, blanks)
    assert right.shape == (groups, 4 - blanks)
    assert right.all()


@pytest.mark.parametrize("code", ["addition", "concatenation"])
def test_an_exact_parity_decodes_every_answer(models: dict[str, zoo.Model], sample: Sample, code: str) -> None:
    """If the parity's output is exactly the sum of the single's, every lost answer is decoded rightly."""
    single, parity = models["colours-single"], models[f"colours-parity-k2-{code}"]
    own = singles(session(single), single, sample)
    right = decoded(session(parity), parity, sample, own)
    assert right.shape == (25, 2)
    assert right.all()


def test_an_answer_is_decoded_by_the_outputs_of_the_others(models: dict[str, zoo.Model], sample: Sample) -> None:
    """If the single's output for one image is far off, only the other image of its parity is decoded wrongly."""
    single, parity = models["colours-single"], models["colours-parity-k2-addition"]
    own = singles(session(single), single, sample)
    own[6] += 1e6 * np.eye(3)[sample.labels[7]]
    right = decoded(session(parity), parity, sample, own)
    assert np.argwhere(~right).tolist() == [[3, 1]]


def test_too_few_images_for_one_input_are_an_error(sample: Sample) -> None:
    """Three images for groups of four raise a DataError that says so."""
    with pytest.raises(DataError, match="3 images are too few, because 4 go into one"):
        Sample(sample.pixels[:3], sample.labels[:3]).groups(4)


def test_cells_without_a_box_count_as_wrong_and_are_counted(models: dict[str, zoo.Model]) -> None:
    """For a detection head that finds only the first of four cells, the other three count as silent and wrong."""

    class Half:
        """A session that finds one box, of the second class, in the first cell of every mosaic."""

        def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            """Return the boxes, of which only one is sure."""
            boxes = np.full((len(inputs["image"]), 5, 5 + 3), -9.0, np.float32)
            boxes[:, :, :4] = 2, 2, 4, 4
            boxes[:, 2, 4] = boxes[:, 2, 6] = 9
            return [boxes]

    model = replace(models["colours-collage-2x2"], head="detection", boxes=5)
    seen = Sample(np.zeros((12, 4, 4, 3), np.uint8), np.ones(12, np.int64))
    assert silent(Half(), model, seen).tolist() == [[False, True, True, True]] * 3
    assert with_blanks(Half(), model, seen, 0).tolist() == [[True, False, False, False]] * 3
    assert by_cell(Half(), model, seen).mean(axis=0).tolist() == [1, 0, 0, 0]

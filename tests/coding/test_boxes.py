"""Boxes become answers by the published algorithm, and a cell without a box has no answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.coding.boxes import answers, cell_boxes, overlaps
from collagebench.coding.cells import NO_ANSWER, classes

SIZE = (90, 60)
"""Height and width of a mosaic; cells of a 3x3 one are 30 pixels high and 20 wide."""


def logit(probability: float) -> float:
    """Return the logit of a probability."""
    return math.log(probability / (1 - probability))


def box(
    x: float,
    y: float,
    width: float = 20,
    height: float = 30,
    kind: int = 0,
    sure: float = 0.9,
    probability: float = 0.8,
) -> list[float]:
    """Return one box around (x, y) as a model of three classes gives it."""
    kinds = [logit(probability if k == kind else 0.1) for k in range(3)]
    return [x, y, width, height, logit(sure), *kinds]


def answered(*boxes: list[float]) -> list[int]:
    """Return the class of each of nine cells."""
    outputs = np.array([boxes], np.float32).reshape(1, -1, 8)
    return classes(answers(outputs, 3, SIZE))[0].tolist()


def only(**cells: int) -> list[int]:
    """Return nine answers: those given as `c0` to `c8`, and NO_ANSWER for the other cells."""
    return [cells.get(f"c{cell}", NO_ANSWER) for cell in range(9)]


def test_a_box_answers_for_the_cell_that_it_covers_most() -> None:
    """A box answers for the cell that it overlaps most; cells without a box have no answer."""
    assert answered(box(30, 45, kind=2)) == only(c4=2)
    assert answered(box(38, 52, kind=1)) == only(c4=1)
    assert answered(box(42, 45, kind=1)) == only(c5=1)
    assert answered(box(10, 75), box(50, 15, kind=1)) == only(c6=0, c2=1)


@pytest.mark.parametrize("wrong", [{"sure": 0.29}, {"probability": 0.29}])
def test_what_is_not_sure_enough_is_dropped(wrong: dict[str, float]) -> None:
    """A box with an objectness or a probability of at most 0.3 is dropped; with 0.31 for both it answers."""
    assert answered(box(30, 45, **wrong)) == only()
    assert answered(box(30, 45, sure=0.31, probability=0.31)) == only(c4=0)


def test_the_surest_box_of_a_cell_names_its_class() -> None:
    """Of two classes in one cell, the one with the larger objectness x probability wins, in either order."""
    weak, strong = box(30, 45, kind=0, sure=0.9, probability=0.5), box(30, 45, kind=1, sure=0.6, probability=0.8)
    assert answered(weak, strong) == answered(strong, weak) == only(c4=1)


def test_suppression_is_among_boxes_of_one_class() -> None:
    """A box that overlaps a surer one is suppressed if it has the same class, and answers if it has another.

    Two boxes as large as 1.4 cells, half a cell from each other, overlap by about 0.47.
    """
    first, second = box(25, 45, width=28, sure=0.95), box(35, 45, width=28, sure=0.9)
    assert overlaps(*(np.array([[x - 14, 30.0, x + 14, 60.0]]) for x in (25, 35)))[0, 0] == pytest.approx(18 / 38)
    assert answered(first, second) == only(c4=0)
    aside = [box(20, 45, width=40, sure=0.9), box(32, 45, width=40, sure=0.8)]
    assert answered(*aside) == only(c3=0)
    aside[1] = box(32, 45, width=40, sure=0.8, kind=1)
    assert answered(*aside) == only(c3=0, c4=1)


@pytest.mark.parametrize(
    "strange",
    [
        box(-40, 45),
        box(30, 400),
        box(30, 45, width=0),
        box(30, 45, width=-5),
        box(30, 45, width=1e-30),
        [math.nan, *box(30, 45)[1:]],
        [*box(30, 45)[:2], math.inf, *box(30, 45)[3:]],
        [*box(30, 45)[:7], math.nan],
    ],
)
def test_what_is_no_box_in_the_picture_makes_no_answer(strange: list[float]) -> None:
    """Boxes outside the picture, without an area, or with a number that is not finite answer for no cell."""
    assert answered(strange) == only()
    assert answered(strange, box(10, 15, kind=2)) == only(c0=2)


def test_scores_are_shown_for_the_classes_that_were_seen() -> None:
    """A cell's row has the best score of each class with a box there, and 0 for others; without a box it is NaN."""
    both = [box(30, 45, kind=0, sure=0.9, probability=0.5), box(30, 45, kind=1, sure=0.6, probability=0.8)]
    rows = answers(np.array([both], np.float32), 3, SIZE)
    assert rows.dtype == np.float32
    assert rows[0, 4] == pytest.approx([0.45, 0.48, 0], abs=1e-6)
    assert np.isnan(np.delete(rows[0], 4, axis=0)).all()


def test_a_batch_without_boxes_and_an_empty_batch() -> None:
    """Without boxes no cell has an answer; without mosaics there are no rows."""
    assert np.isnan(answers(np.zeros((2, 0, 8), np.float32), 3, SIZE)).all()
    assert answers(np.zeros((0, 5, 8), np.float32), 3, SIZE).shape == (0, 9, 3)


def test_cells_tile_the_mosaic() -> None:
    """Cells are row-major, touch each other and fill the picture, whole pixels or not."""
    cells = cell_boxes(3, (416, 416))
    assert cells[5].tolist() == pytest.approx([416 * 2 / 3, 416 / 3, 416, 416 * 2 / 3])
    assert ((cells[:, 2:] - cells[:, :2]).prod(1)).sum() == pytest.approx(416**2)
    assert overlaps(cells, cells) == pytest.approx(np.eye(9), abs=1e-12)


def score(box: Sequence[float]) -> float:
    """Return a box's objectness x its best class's probability; tests avoid ties, which rounding would decide."""
    objectness, *probabilities = [1 / (1 + math.exp(-value)) for value in box[4:]]
    return objectness * max(probabilities)


def plainly(boxes: list[list[float]], grid: int, size: tuple[int, int]) -> list[int]:
    """Return the answers of one mosaic by the algorithm in plain steps, one box after another."""

    def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        wide = min(a[2], b[2]) - max(a[0], b[0])
        high = min(a[3], b[3]) - max(a[1], b[1])
        if wide <= 0 or high <= 0:
            return 0.0
        area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
        return wide * high / (area - wide * high)

    found = []
    for x, y, width, height, *logits in boxes:
        objectness, *probabilities = [1 / (1 + math.exp(-value)) for value in logits]
        best = max(probabilities)
        if objectness > 0.3 and best > 0.3:
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            found.append((objectness * best, probabilities.index(best), corners))
    found.sort(key=lambda each: -each[0])
    kept: list[tuple[float, int, tuple[float, ...]]] = []
    for each in found:
        if all(other[1] != each[1] or iou(other[2], each[2]) <= 0.45 for other in kept):
            kept.append(each)
    best_of: dict[int, tuple[float, int]] = {}
    high, wide = size[0] / grid, size[1] / grid
    for score, kind, corners in kept:
        shares = []
        for cell in range(grid * grid):
            row, column = divmod(cell, grid)
            shares.append(iou(corners, (column * wide, row * high, (column + 1) * wide, (row + 1) * high)))
        cell = shares.index(max(shares))
        if max(shares) > 0 and score > best_of.get(cell, (0.0, 0))[0]:
            best_of[cell] = (score, kind)
    return [best_of[cell][1] if cell in best_of else NO_ANSWER for cell in range(grid * grid)]


@given(
    st.integers(2, 5),
    st.lists(
        st.tuples(
            st.floats(-20, 120, width=32),
            st.floats(-20, 120, width=32),
            st.floats(1, 80, width=32),
            st.floats(1, 80, width=32),
            *[st.floats(-3, 5, width=32)] * 4,
        ),
        max_size=25,
        unique_by=lambda each: round(score(each), 9),
    ),
)
def test_answers_are_those_of_the_plain_algorithm(grid: int, boxes: list[tuple[float, ...]]) -> None:
    """Any boxes give the same answers as the algorithm in plain steps."""
    outputs = np.array([boxes], np.float32).reshape(1, -1, 8)
    assert classes(answers(outputs, grid, (97, 101)))[0].tolist() == plainly([[*b] for b in boxes], grid, (97, 101))

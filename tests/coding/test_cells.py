"""The decoder of cells gives each cell a class or NO_ANSWER."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.coding.cells import NO_ANSWER, classes


@given(st.lists(st.integers(0, 9), min_size=1, max_size=36))
def test_largest_logit(labels: list[int]) -> None:
    """Each cell gets the class of its own largest logit, whatever the other cells have."""
    logits = np.random.default_rng(0).uniform(-5, 5, (len(labels), 10)).astype(np.float32)
    logits[np.arange(len(labels)), labels] = 6
    answers = classes(logits)
    assert answers.tolist() == labels
    assert answers.dtype == np.int64


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_no_answer(broken: float) -> None:
    """A logit that is not a finite number leaves its own cell without an answer, and no other."""
    logits = np.eye(9, 10, dtype=np.float32)
    logits[4, 7] = broken
    assert classes(logits).tolist() == [0, 1, 2, 3, NO_ANSWER, 5, 6, 7, 8]
    assert NO_ANSWER < 0, "or it would be a class, and right where that is the label"


def test_batch() -> None:
    """A batch of collages is decoded like each collage alone, and an empty batch is no error."""
    logits = np.random.default_rng(1).standard_normal((5, 9, 10)).astype(np.float32)
    assert (classes(logits) == [classes(collage) for collage in logits]).all()
    assert classes(logits[:0]).shape == (0, 9)


def test_tie() -> None:
    """Of equal logits the lowest class wins, so that an answer never depends on chance."""
    assert classes(np.zeros((4, 3), np.float32)).tolist() == [0, 0, 0, 0]

"""From the outputs of a collage model back to one answer a cell."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

NO_ANSWER: Final = -1
"""Stands where a class would, for a cell that the model has no answer for."""


def classes(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class of each cell: the largest logit's index, or NO_ANSWER where a logit is not a finite number.

    Shapes: [..., cells, classes] to [..., cells]; cells in row-major order. Ties go to the lowest class.

    A head with one classifier a cell answers for every cell. One that detects boxes does not: a cell that no box was
    given to gets NO_ANSWER as well, never a class made up for it.
    """
    answers: NDArray[np.int64] = logits.argmax(axis=-1).astype(np.int64, copy=False)
    return np.where(np.isfinite(logits).all(axis=-1), answers, NO_ANSWER)

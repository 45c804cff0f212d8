"""Turn the outputs of a collage model into one class per cell."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

NO_ANSWER: Final = -1
"""The class of a cell for which the model has no answer."""


def classes(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class of each cell: the index of its largest logit, or NO_ANSWER if one of its logits is not finite.

    Shapes: [..., cells, classes] to [..., cells]; cells in row-major order. Ties go to the lowest class.

    A grid head answers for every cell. A detection head does not: a cell to which no box belongs is all NaN, and gets
    NO_ANSWER too.
    """
    answers: NDArray[np.int64] = logits.argmax(axis=-1).astype(np.int64, copy=False)
    return np.where(np.isfinite(logits).all(axis=-1), answers, NO_ANSWER)

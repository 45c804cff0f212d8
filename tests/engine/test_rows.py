"""Outputs of any kind of model become one row of scores for each request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from collagebench import zoo
from collagebench.engine.conductor import _missing
from collagebench.engine.evaluation import rows, session
from collagebench.engine.router import Job
from collagebench.errors import ModelError
from collagebench.schemes.protocol import Request, Task

MODELS = zoo.load()
GRID = zoo.find(MODELS, "collage", dataset="shapes", grid=2)
CLASSES = len(GRID.classes)


def test_batches_and_grids_are_rows_as_they_are() -> None:
    """The outputs of a single's batch and of a collage's cells are their rows, unchanged."""
    outputs = np.arange(4 * CLASSES, dtype=np.float32).reshape(4, CLASSES)
    assert np.array_equal(rows(outputs, zoo.find(MODELS, "single", dataset="shapes")), outputs)
    assert np.array_equal(rows(outputs[np.newaxis], GRID), outputs)


def test_boxes_are_decoded_and_a_cell_without_one_is_missing() -> None:
    """If one of two boxes is sure, its cell has that class, and the collage's other requests have no answer."""
    model = replace(GRID, head="detection", boxes=2)
    height, width, _ = model.input
    outputs = np.full((1, 2, 5 + CLASSES), -9.0, np.float32)
    outputs[0, :, :4] = 0.75 * width, 0.25 * height, 0.5 * width, 0.5 * height
    outputs[0, 1, 4] = outputs[0, 1, 5 + 3] = 9.0
    found = rows(outputs, model)
    assert found.shape == (4, CLASSES)
    assert found[1].argmax() == 3
    task = Task(0, "collage", tuple(Request(10 + k, k, 0.0) for k in range(3)), attempt=0)
    job = Job(task, 0, 0.0, 0.0, 0.0)
    job.outputs = found
    assert _missing(job) == (10, 12)


def test_a_model_whose_output_is_not_what_its_manifest_says_is_refused() -> None:
    """A grid model whose manifest says that it has a detection head is refused when opened, and the reverse."""
    detection = zoo.find(MODELS, "collage", dataset="shapes", grid=3, head="detection")
    session(GRID)
    session(detection)
    with pytest.raises(ModelError, match="where its manifest says"):
        session(replace(GRID, head="detection", boxes=432))
    with pytest.raises(ModelError, match="where its manifest says"):
        session(replace(detection, head="grid", boxes=None))

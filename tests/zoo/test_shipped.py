"""The models that are shipped: whole, small, by the contract, and as good as their manifest says."""

from __future__ import annotations

import json
from math import sqrt

import numpy as np
import onnxruntime
import pytest

from collagebench import zoo
from collagebench.coding.mosaic import mosaic
from collagebench.workload.dataset import open_dataset

MODELS = zoo.load()
SHAPES = [model for model in MODELS if model.dataset == "shapes"]


def opened(model: zoo.Model) -> onnxruntime.InferenceSession:
    """Load a shipped model on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(zoo.verified(model), options, providers=["CPUExecutionProvider"])


def name(model: zoo.Model) -> str:
    """Return what a test of this model is called."""
    return model.name


def test_the_generated_images_have_a_single_and_three_collages() -> None:
    """For shapes there are a single and collages of 2x2, 3x3 and 4x4."""
    assert sorted((model.role, model.grid or 0) for model in SHAPES) == [
        ("collage", 2),
        ("collage", 3),
        ("collage", 4),
        ("single", 0),
    ]


def test_every_model_file_is_in_the_manifest() -> None:
    """No file is shipped that the manifest does not name, and none is missing."""
    assert {path.name for path in zoo.SHIPPED.glob("*.onnx")} == {model.file for model in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_a_model_is_what_its_manifest_says(model: zoo.Model) -> None:
    """Input, output, role, grid, classes and recipe in the file are those in the manifest."""
    session = opened(model)
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    answers = [len(model.classes)] if model.grid is None else [model.grid**2, len(model.classes)]
    assert (image.name, image.type, tuple(image.shape[1:])) == ("image", "tensor(uint8)", model.input)
    assert (logits.name, logits.type, logits.shape[1:]) == ("logits", "tensor(float)", answers)
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert facts["collagebench.role"] == model.role
    assert facts["collagebench.grid"] == model.grid
    assert facts["collagebench.dataset"] == model.dataset
    assert tuple(facts["collagebench.classes"]) == model.classes
    assert facts["collagebench.accuracy"] == model.accuracy
    assert facts["collagebench.recipe"] == model.recipe
    assert model.bytes < 1_500_000


@pytest.mark.parametrize("model", SHAPES, ids=name)
@pytest.mark.parametrize("blank", [False, True], ids=["full", "with-blanks"])
def test_a_model_is_as_good_as_its_manifest_says(model: zoo.Model, blank: bool) -> None:
    """On 720 test images the accuracy is the manifest's within four standard errors; blank cells make it no worse."""
    shapes = open_dataset("shapes")
    images, labels = shapes.load(np.arange(720)), shapes.labels[:720]
    cells = model.grid**2 if model.grid else 1
    filled = max(cells // 2, 1) if blank else cells
    session, right = opened(model), []
    for start in range(0, 720, cells):
        group = list(images[start : start + filled])
        x = mosaic(group, model.grid, model.input[:2]) if model.grid else group[0]
        answers = session.run(["logits"], {"image": x[None]})[0].reshape(cells, -1)[:filled].argmax(1)
        right += (answers == labels[start : start + filled]).tolist()
    error = sqrt(model.accuracy * (1 - model.accuracy) / len(right))
    assert np.mean(right) > model.accuracy - 4 * error - 0.005
    if not blank:
        assert np.mean(right) < model.accuracy + 4 * error + 0.005


def test_a_collage_costs_accuracy() -> None:
    """The more images share one inference, the fewer are classified rightly; none beats the single."""
    accuracy = [zoo.find(MODELS, "single", dataset="shapes").accuracy]
    accuracy += [zoo.find(MODELS, "collage", dataset="shapes", grid=grid).accuracy for grid in (2, 3, 4)]
    assert accuracy == sorted(accuracy, reverse=True)
    assert accuracy[0] > 0.95

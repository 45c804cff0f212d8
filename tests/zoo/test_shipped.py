"""The shipped models: complete, small, with the right inputs and outputs, and as accurate as the manifest says."""

from __future__ import annotations

import json
from functools import cache
from math import sqrt

import numpy as np
import onnxruntime
import pytest

from collagebench import zoo
from collagebench.coding.cells import classes
from collagebench.coding.mosaic import mosaic
from collagebench.coding.parity import add, concatenate, recover
from collagebench.engine.evaluation import scores
from collagebench.workload.dataset import open_dataset

MODELS = zoo.load()
SHAPES = [model for model in MODELS if model.dataset == "shapes"]


@cache
def opened(name: str) -> onnxruntime.InferenceSession:
    """Load a shipped model on one thread."""
    (model,) = (model for model in MODELS if model.name == name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(zoo.verified(model), options, providers=["CPUExecutionProvider"])


def name(model: zoo.Model) -> str:
    """Return a model's name, for the names of tests."""
    return model.name


def kinds(dataset: str) -> set[str]:
    """Return the names of a dataset's models, without the dataset's name."""
    return {model.name.removeprefix(f"{dataset}-") for model in MODELS if model.dataset == dataset}


def test_all_images_have_a_model_for_every_scheme() -> None:
    """Shapes and CIFAR-10 each have single, coded, backup, five collage and four parity models."""
    collages = {"collage-2x2", "collage-3x3", "collage-3x3-detection", "collage-4x4", "collage-5x5"}
    parities = {"parity-k2-addition", "parity-k2-concatenation", "parity-k3-addition", "parity-k4-addition"}
    for dataset in ("shapes", "cifar10"):
        assert kinds(dataset) == {"single", "coded", "backup", *collages, *parities}


def test_every_model_file_is_in_the_manifest() -> None:
    """The shipped files are exactly those in the manifest."""
    assert {path.name for path in zoo.SHIPPED.glob("*.onnx")} == {model.file for model in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_a_model_is_what_its_manifest_says(model: zoo.Model) -> None:
    """A file's input, output and metadata, such as role, classes and recipe, are those in the manifest."""
    session = opened(model.name)
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    kind = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[model.dtype]
    assert (image.name, image.type, tuple(image.shape[1:])) == ("image", kind, model.input)
    assert (logits.name, logits.type, tuple(logits.shape[1:])) == ("logits", "tensor(float)", model.output)
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert facts["collagebench.role"] == model.role
    assert facts["collagebench.grid"] == model.grid
    assert (facts.get("collagebench.k"), facts.get("collagebench.code")) == (model.k, model.code)
    assert facts["collagebench.dataset"] == model.dataset
    assert tuple(facts["collagebench.classes"]) == model.classes
    assert facts["collagebench.accuracy"] == model.accuracy
    assert facts["collagebench.recipe"] == model.recipe


def test_all_models_together_are_small() -> None:
    """The files that a wheel carries take less than 25 MB."""
    assert sum(model.bytes for model in MODELS) < 25_000_000


def answers(model: zoo.Model, group: np.ndarray) -> np.ndarray:
    """Return the class that a model gives to each image of a group [n, height, width, 3]."""
    session = opened(model.name)

    def logits(inputs: np.ndarray) -> np.ndarray:
        return session.run(["logits"], {"image": inputs.astype(model.dtype)})[0]

    if model.grid:
        made = mosaic(list(group), model.grid, model.input[:2])[None]
        return classes(scores(logits(made), model)[0, : len(group)])
    if not model.k:
        return logits(group).argmax(1)
    made = add(list(group)) if model.code == "addition" else concatenate(list(group), model.k)
    own = opened(zoo.find(MODELS, "single", dataset=model.dataset).name).run(["logits"], {"image": group})[0]
    parity = logits(made[None])[0]
    return np.array([recover(parity, np.delete(own, k, 0)).argmax() for k in range(len(group))])


@pytest.mark.parametrize("model", SHAPES, ids=name)
@pytest.mark.parametrize("blank", [False, True], ids=["full", "with-blanks"])
def test_a_model_is_as_good_as_its_manifest_says(model: zoo.Model, blank: bool) -> None:
    """On 720 images accuracy is within 4 standard errors + 0.5 points of the manifest's; blanks do not lower it."""
    shapes = open_dataset("shapes")
    images, labels = shapes.load(np.arange(720)), shapes.labels[:720]
    together = model.grid**2 if model.grid else model.k or 16
    filled = max(together // 2, 1) if blank else together
    right = []
    for start in range(0, 720, together):
        group = images[start : start + filled]
        right += (answers(model, group) == labels[start : start + len(group)]).tolist()
    error = sqrt(model.accuracy * (1 - model.accuracy) / len(right))
    assert np.mean(right) > model.accuracy - 4 * error - 0.005
    if not blank:
        assert np.mean(right) < model.accuracy + 4 * error + 0.005


def test_a_collage_costs_accuracy() -> None:
    """The more images a collage has, the lower is its accuracy in the manifest, and the single's is the highest."""
    accuracy = [zoo.find(MODELS, "single", dataset="shapes").accuracy]
    accuracy += [zoo.find(MODELS, "collage", dataset="shapes", grid=grid).accuracy for grid in (2, 3, 4)]
    assert accuracy == sorted(accuracy, reverse=True)
    assert accuracy[0] > 0.95

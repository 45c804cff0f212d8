"""The work of `collagebench evaluate`: find models and images, measure, and return plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from collagebench import zoo
from collagebench.engine.evaluation import session
from collagebench.errors import ModelError, UsageError
from collagebench.measurement.accuracy import Sample, draw
from collagebench.measurement.appraisal import Report, appraise, as_json
from collagebench.measurement.coded import Code, approxifer, tune
from collagebench.results.environment import capture
from collagebench.terms import ROLES
from collagebench.workload.dataset import HELD_OUT, Dataset, open_dataset
from collagebench.workload.imagefolder import ImageFolder
from collagebench.zoo.seen import seen_in_training, taught_by_another

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What to measure."""

    dataset: str = "shapes"
    data: Path | None = None
    download: bool = False
    models: Path | None = None
    """A directory with a manifest; None for the shipped models."""
    roles: tuple[str, ...] = ()
    """Only models of these roles; all roles if empty."""
    grid: int | None = None
    """Only collages with this many cells along one side; None for all."""
    images: int = 2000
    split: str = "test"
    """`test`, or `train` for the images that training holds out of the training images."""
    code: Code = field(default_factory=Code)


def evaluate(asked: Evaluation, report: Report) -> dict[str, Any]:
    """Measure the requested models of the dataset's classes on its images.

    Raises:
        ModelError: no model fits, or a file is missing or damaged.
        DataError: the images cannot be read or are too few.
        UsageError: the dataset is unknown, or its options contradict each other.
    """
    images = _Images(asked)
    known = _fitting(asked, images.dataset)
    chosen = _chosen(asked, known)
    entries = appraise(chosen, known, images.sample_of, asked.code, report)
    warnings = [*images.warnings(chosen), taught_by_another(chosen, known)]
    return images.facts(chosen[0]) | {"warnings": [one for one in warnings if one], "models": entries}


def tuned(asked: Evaluation, report: Report) -> dict[str, Any]:
    """Tune NeRCC's smoothing for the `coded` model; raises the errors of `evaluate`."""
    images = _Images(asked)
    model = zoo.find(_fitting(asked, images.dataset), "coded")
    runner, sample, code = session(model, threads=0), images.sample_of(model), asked.code
    found = tune(runner, sample, code, report)
    return images.facts(model) | {
        "tuned": {
            "model": model.name,
            "k": code.k,
            "s": code.s,
            "smooth_encode": found.smooth_encode,
            "smooth_decode": found.smooth_decode,
            "accuracy": as_json(found.accuracy),
            "unsmoothed": as_json(found.unsmoothed),
            "approxifer": as_json(approxifer(runner, sample, code)),
            "tried": [
                {"smooth_encode": lam_e, "smooth_decode": lam_d, "accuracy": accuracy}
                for lam_e, lam_d, accuracy in found.tried
            ],
        }
    }


class _Images:
    """The images to measure on, in the size that each model was trained for."""

    def __init__(self, asked: Evaluation) -> None:
        self._asked = asked
        self.dataset = self._open(None)
        if asked.split == "train" and isinstance(self.dataset, ImageFolder) and self.dataset.split is None:
            raise UsageError(
                f"{asked.data} is not divided into train/ and test/, so it is not known which images training held "
                "out; name the directory that holds both"
            )
        self._samples: dict[tuple[int, int], Sample] = {}

    def _open(self, size: tuple[int, int] | None) -> Dataset:
        return open_dataset(self._asked.dataset, self._asked.data, self._asked.split, size, self._asked.download)

    def sample_of(self, model: zoo.Model) -> Sample:
        """Return the sample to measure a model on."""
        height, width, _ = model.image
        if (height, width) not in self._samples:
            self._samples[height, width] = draw(self._open((height, width)), self._asked.images, self._among())
        return self._samples[height, width]

    def _among(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        indices = np.arange(len(self.dataset))
        return indices[indices % HELD_OUT == 0] if self._asked.split == "train" else indices

    def warnings(self, models: Sequence[zoo.Model]) -> list[str]:
        """Return warnings about accuracies that are measured on training images."""
        sizes = sorted({model.image[:2] for model in models})
        return [seen for size in sizes if (seen := seen_in_training(models, self._open(size)))]

    def facts(self, model: zoo.Model) -> dict[str, Any]:
        """Return the facts about the images and the machine."""
        return {
            "schema": SCHEMA,
            "dataset": self._asked.dataset,
            "split": self._asked.split,
            "images": len(self.sample_of(model).labels),
            "images_available": len(self._among()),
            "environment": capture(),
        }


def _fitting(asked: Evaluation, dataset: Dataset) -> list[zoo.Model]:
    return zoo.fitting(zoo.load(asked.models or zoo.SHIPPED), dataset.classes)


def _chosen(asked: Evaluation, known: Sequence[zoo.Model]) -> list[zoo.Model]:
    """Return the requested models; raise ModelError for a role or grid that no model has."""
    names = ", ".join(model.name for model in known)
    for role in asked.roles:
        if not any(model.role == role for model in known):
            raise ModelError(f"no model for {asked.dataset} has the role {role}; there are: {names}")
    if asked.grid is not None and not any(model.grid == asked.grid for model in known):
        raise ModelError(f"no collage for {asked.dataset} has {asked.grid} cells along a side; there are: {names}")
    chosen = [
        model
        for model in known
        if (not asked.roles or model.role in asked.roles) and (asked.grid is None or model.grid in (None, asked.grid))
    ]
    return sorted(chosen, key=lambda model: (ROLES.index(model.role), model.grid or 0, model.k or 0, model.name))

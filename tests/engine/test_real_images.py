"""The shipped CIFAR-10 models on real images, if a folder of them is given."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from collagebench.cli.resolve import resolve
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.report.summary import summarise
from collagebench.results.reader import load

CIFAR10 = os.environ.get("COLLAGEBENCH_CIFAR10", "")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not CIFAR10, reason="COLLAGEBENCH_CIFAR10 names no folder of real images"),
]


@pytest.mark.parametrize("engine", [experiment.run, experiment.simulate], ids=["live", "simulated"])
def test_real_images_are_classified_about_as_well_as_the_models_claim(tmp_path: Path, engine: object) -> None:
    """On test images, accuracy is within 6 points of the manifest's for the single, and 15 for the collage."""
    config = resolve(
        {
            "dataset": "imagefolder", "data": Path(CIFAR10), "schemes": ("none", "collage"), "workers": 5,
            "runs": 1, "requests": 400, "time_scale": 0.1, "utilisation": 0.4,
        }
    )  # fmt: skip
    engine(config, tmp_path / "run", Progress())  # type: ignore[operator]
    none, collage = summarise([load(tmp_path / "run")])["schemes"]
    header = json.loads((tmp_path / "run" / "run.json").read_text())
    claimed = {model["role"]: model["accuracy"] for model in header["models"]}
    assert none["accuracy"]["overall"] == pytest.approx(claimed["single"], abs=0.06)
    by_source = collage["accuracy"]["by_source"]
    assert by_source["own"] == pytest.approx(claimed["single"], abs=0.06)
    assert by_source["collage"] == pytest.approx(claimed["collage"], abs=0.15)

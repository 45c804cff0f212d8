"""Measurements of a directory's models: their ratios to other models, and the progress of the work."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from colours import colour_models, coloured

from collagebench import zoo
from collagebench.measurement.accuracy import Sample, draw
from collagebench.measurement.appraisal import appraise, single_of
from collagebench.measurement.coded import Code
from collagebench.workload.dataset import open_dataset
from collagebench.workload.imagefolder import ImageFolder

IMAGES = 45
CODE = Code(2, 1)


def silent(done: int, total: int, line: str) -> None:
    """Ignore the progress."""


def shipped(*names: str) -> list[zoo.Model]:
    """Return shipped models by name."""
    return [model for model in zoo.load() if model.name in names]


@pytest.fixture(scope="module")
def shapes() -> Sample:
    """Return some shapes."""
    return draw(open_dataset("shapes", None, "test", (32, 32), False), IMAGES)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[zoo.Model], Sample]:
    """Return a model of each role for images in three colours, and sixty such images."""
    images = ImageFolder(coloured(tmp_path_factory.mktemp("images")))
    return zoo.load(colour_models(tmp_path_factory.mktemp("models"))), draw(images, 60)


def test_the_single_beside_which_a_model_stands_is_of_its_dataset_and_of_floats() -> None:
    """A model is compared with the float32 single of its dataset if there is one, and with none of another dataset."""
    (single,) = shipped("shapes-single")
    (backup, other) = shipped("shapes-backup", "cifar10-backup")[::-1]
    quick = replace(single, name="a-single", precision="int8")
    later = replace(single, name="shapes-single-later")
    assert backup.dataset == "shapes"
    assert single_of(backup, [quick, later, single, backup]) is single
    assert single_of(backup, [quick, backup]) is quick
    assert single_of(other, [quick, single, other]) is None


def test_a_batch_of_backups_stands_beside_the_collages_of_its_kind(shapes: Sample) -> None:
    """A batch of nine on each backup is compared with the 3x3 collages of its dataset and precision.

    It is so even for collages that were not asked for, and every ratio is of two times from the same measurement.
    """
    single, backup, collage, smaller = (
        shipped(f"shapes-{name}")[0] for name in ("single", "backup", "collage-3x3", "collage-2x2")
    )
    backups = [backup, replace(backup, name="shapes-backup-int8", precision="int8")]
    collages = [collage, replace(collage, name="shapes-collage-3x3-int8", precision="int8")]
    strange = [replace(one, dataset="others", name=f"others-{one.role}") for one in (single, collage)]
    asked: set[str] = set()

    def sample_of(model: zoo.Model) -> Sample:
        asked.add(model.dataset)
        return shapes

    chosen = [*backups, collages[0]]
    found = {
        one["name"]: one
        for one in appraise(chosen, [single, smaller, *collages, *chosen[:2], *strange], sample_of, CODE, silent)
    }
    assert asked == {"shapes"}
    assert list(found) == [model.name for model in chosen]
    floats, ints = (found[model.name] for model in backups)
    base = floats["latency_s"] / floats["latency_ratio"]  # the time of the single, which was not asked for
    for one in found.values():
        assert one["latency_ratio"] == pytest.approx(one["latency_s"] / base)
    for one in (floats, ints):
        assert one["batch"]["images"] == 9
        assert one["batch"]["latency_ratio"] == pytest.approx(one["batch"]["latency_s"] / base)
        assert one["batch"]["latency_s"] > 2 * one["latency_s"]
    assert floats["batch"]["latency_s"] != ints["batch"]["latency_s"]
    beside = floats["batch"]["latency_s"] / found["shapes-collage-3x3"]["latency_s"]
    assert floats["batch"]["collages"] == {"shapes-collage-3x3": pytest.approx(beside)}
    assert list(ints["batch"]["collages"]) == ["shapes-collage-3x3-int8"]
    assert found["shapes-collage-3x3"]["batch"] is None
    (alone,) = appraise([backup], [single, collage, backup], sample_of, CODE, silent)
    assert list(alone["batch"]["collages"]) == ["shapes-collage-3x3"]


def test_only_a_detection_head_is_asked_how_often_it_has_no_answer(shapes: Sample) -> None:
    """The share of missing answers is measured for a detection head, in every cell, and is None for a grid."""
    models = shipped("shapes-collage-3x3", "shapes-collage-3x3-detection")
    totals: set[int] = set()
    grid, detection = appraise(models, models, lambda model: shapes, CODE, lambda done, total, line: totals.add(total))
    passes = 1 + sum(1 / filled for filled in range(1, 9))
    assert totals == {round(IMAGES * (models[0].macs * passes + models[1].macs * (passes + 1 / 9)))}
    assert grid["no_answer"] is None
    assert detection["no_answer"]["images"] == IMAGES
    assert 0 <= detection["no_answer"]["value"] < 0.2
    assert (detection["latency_ratio"], detection["head"]) == (None, "detection")


def test_a_parity_without_a_single_has_no_accuracy(colours: tuple[list[zoo.Model], Sample]) -> None:
    """Without a single to decode its answers, a parity has a latency but neither an accuracy nor a reason for it."""
    models, sample = colours
    (parity,) = [model for model in models if model.name == "colours-parity-k2-addition"]
    (found,) = appraise([parity], [parity], lambda model: sample, CODE, silent)
    assert (found["accuracy"], found["not_evaluated"], found["latency_ratio"]) == (None, None, None)
    assert found["latency_s"] > 0


@pytest.mark.parametrize("roles", [None, ("parity",)], ids=["all", "a parity, by a single that nobody asked for"])
def test_what_is_done_grows_to_all_that_there_is(
    colours: tuple[list[zoo.Model], Sample], roles: tuple[str, ...] | None
) -> None:
    """Progress, counted in operations, grows up to the total for the accuracies, and again for the latencies."""
    models, sample = colours
    chosen = [model for model in models if roles is None or model.role in roles]
    told: list[tuple[int, int, str]] = []
    appraise(chosen, models, lambda model: sample, CODE, lambda *one: told.append(one))
    assert len({total for _, total, _ in told}) == 1
    total = told[0][1]
    accuracy = [done for done, _, line in told if line != "latency"]
    timing = [done for done, _, line in told if line == "latency"]
    for some in (accuracy, timing):
        assert all(one <= other for one, other in pairwise(some))
        assert some[-1] == total
    assert accuracy[0] > 0
    assert timing[0] == round(total / len(timing))
    if roles is None:
        # 60 images once each in single and backup, half as many inputs in each parity; in a 2x2 collage in every cell,
        # and with 1, 2 and 3 cells filled; coded: once as they are, and in three shares for two images by either code.
        inputs = 60 * (1 + 1 + 2 / 2 + (1 + 1 + 1 / 2 + 1 / 3) + (1 + 2 * 3 / 2))
        assert total == pytest.approx(48 * inputs)
        assert accuracy[-2] < total

"""`collagebench train` and `export` as a user types them, from images in a folder to a manifest that a run reads."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import exit_code
from natural_processes import until
from PIL import Image
from test_standard_streams import unread

from collagebench import zoo
from collagebench.cli.train import usual_threads
from collagebench.results.environment import cores
from collagebench.workload.dataset import fingerprint
from collagebench.workload.imagefolder import ImageFolder

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "onnx", "onnxscript"))
train_extra = pytest.mark.skipif(not HAS_TORCH, reason="needs the train extra")


def tones(directory: Path, counts: dict[str, int], names: tuple[str, str] = ("bright", "dark")) -> Path:
    """Write a split imagefolder of noisy 16x16 images: bright ones and dark ones."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for name, level in zip(names, (150, 0), strict=True):
            folder = directory / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = (level + rng.integers(100, size=(16, 16, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{k:03}.png")
    return directory


LAYERS = ("--stem", 4, "--stride", 2, "--widths", 8, "--depths", 1)
SMALL = ("--as", "tones", "--epochs", 2, *LAYERS, "--batch", 4, "--rate", 0.1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the data and the output of four trainings: a single, a 2x2 collage, a parity and a backup."""
    data = tones(tmp_path_factory.mktemp("data"), {"train": 100, "test": 30})
    out = tmp_path_factory.mktemp("models")
    begun = ("collage", "--grid", 2, "--start", out / "tones-backup.pt")
    turned = ("backup", "--muon", 0.1, "--warmup", 0)
    for role in (("single",), turned, begun, ("parity", "--k", 2)):
        assert exit_code("train", *role, *SMALL, "--data", data, "--out", out) == 0
    return data, out


@pytest.fixture(scope="module")
def exported(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the data and a directory of the four checkpoints and the five models that they were exported to."""
    data, out = trained
    models = shutil.copytree(out, tmp_path_factory.mktemp("exported") / "models")
    assert exit_code("export", "--data", data, "--out", models) == 0
    return data, models


def part_of(models: Path, directory: Path, *names: str) -> Path:
    """Copy some of the exported models, without their checkpoints, into a new directory, and return it."""
    directory.mkdir()
    kept = [model for model in zoo.load(models) if model.name in names]
    for model in kept:
        shutil.copy(model.path, directory)
    zoo.save(kept, directory)
    return directory


@train_extra
@pytest.mark.train
def test_one_asking_serves_all_roles(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """With --rounds the single's outputs are computed once, and collage, parity and backup share the file of them."""
    data, out = trained
    asked = ("--single", out / "tones-single.pt", "--teacher-sees", "inputs", "--rounds", 2, "--mix", 0.5)
    told = {}
    for role in ("collage", "parity", "backup"):
        assert exit_code("train", role, *SMALL, *asked, "--data", data, "--out", tmp_path) == 0
        (kept,) = tmp_path.glob("*-rounds-*.npy")
        told[role] = (kept.stat().st_mtime_ns, np.load(kept).shape)
    assert len(set(told.values())) == 1
    assert told["backup"][1] == (2, 196, 2)


@train_extra
@pytest.mark.train
def test_a_collage_learns_from_several_singles_and_a_parity_from_one(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two --single teach a collage, whose recipe has both checksums; a parity, which estimates one, refuses them."""
    data, out = trained
    other = tmp_path / "other"
    assert exit_code("train", "single", *SMALL, "--seed", 1, "--data", data, "--out", other) == 0
    both = ("--single", out / "tones-single.pt", "--single", other / "tones-single.pt")
    sees = ("--teacher-sees", "inputs", "--rounds", 2)
    assert exit_code("train", "collage", *SMALL, *both, *sees, "--data", data, "--out", tmp_path) == 0
    assert len(list(tmp_path.glob("*-rounds-*.npy"))) == 2
    from collagebench.training.checkpoint import load

    taught = load(tmp_path / "tones-collage-3x3.pt").recipe.teacher or ""
    assert taught.split("+") == sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in both[1::2])
    capsys.readouterr()
    assert exit_code("train", "parity", *SMALL, *both, "--data", data, "--out", tmp_path) == 2
    assert capsys.readouterr().err.endswith("a parity estimates the outputs of one single; name only one --single\n")


@train_extra
@pytest.mark.train
def test_a_parity_may_have_layers_of_its_own(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """A parity has the layers that its options name, and those of its single if they name none."""
    from collagebench.training.checkpoint import load

    data, out = trained
    asked = ("train", "parity", *SMALL[:4], "--data", data, "--single", out / "tones-single.pt")
    for name, layers, stem, widths in (
        ("own", ("--stem", 8, "--stride", 2, "--widths", "16,32", "--depths", "0,1"), 8, (16, 32)),
        ("whitened", ("--layers", "whitened", "--widths", 8, "--depths", 0), 24, (8,)),
        ("alike", (), 4, (8,)),
    ):
        assert exit_code(*asked, *layers, "--out", tmp_path / name) == 0
        found = load(tmp_path / name / "tones-parity-k2-addition.pt").architecture
        assert (found.stem, found.widths) == (stem, widths)


@train_extra
@pytest.mark.train
def test_from_a_folder_of_images_to_a_manifest(exported: tuple[Path, Path]) -> None:
    """Four trainings and one export make five models, whose files and metadata agree with the manifest."""
    data, out = exported
    assert {file.name for file in out.iterdir()} >= {"tones-single.pt", "tones-single.csv", "tones-collage-2x2.pt"}
    models = zoo.load(out)
    assert [model.name for model in models] == [
        "tones-backup",
        "tones-coded",
        "tones-collage-2x2",
        "tones-parity-k2-addition",
        "tones-single",
    ]
    parity = zoo.find(models, "parity", k=2, code="addition")
    assert (parity.dtype, parity.accuracy_images) == ("float32", 60)
    single_file = (out / "tones-single.pt").read_bytes()
    assert parity.recipe["teacher"] == hashlib.sha256(single_file).hexdigest()
    backup_file = (out / "tones-backup.pt").read_bytes()
    assert zoo.find(models, "collage").recipe["start"] == hashlib.sha256(backup_file).hexdigest()
    recipes = [zoo.find(models, role).recipe for role in ("backup", "single")]
    assert [(recipe["muon"], recipe["warmup"]) for recipe in recipes] == [(0.1, 0), (0, 0.2)]
    assert zoo.find(models, "coded").dtype == "float32"
    assert zoo.find(models, "coded").accuracy == zoo.find(models, "single").accuracy
    collage = zoo.find(models, "collage", dataset="tones", grid=2)
    single = zoo.find(models, "single", dataset="tones")
    assert (collage.input, collage.image, collage.grid) == ((32, 32, 3), (16, 16, 3), 2)
    assert single.classes == ("bright", "dark")
    assert single.accuracy > 0.9
    assert single.accuracy_images == 60
    assert single.recipe["seed"] == 0
    assert single.recipe["epochs"] == 2
    assert str(data) not in (out / zoo.MANIFEST).read_text()

    import onnxruntime

    for model in models:
        session = onnxruntime.InferenceSession(zoo.verified(model), providers=["CPUExecutionProvider"])
        facts = session.get_modelmeta().custom_metadata_map
        assert json.loads(facts["collagebench.role"]) == model.role
        assert json.loads(facts["collagebench.grid"]) == model.grid
        assert json.loads(facts["collagebench.classes"]) == list(model.classes)
        assert json.loads(facts["collagebench.accuracy"]) == model.accuracy
        inside = json.loads(facts["collagebench.recipe"])  # all but a digest that is another after each training
        assert inside | {"checkpoint": model.recipe["checkpoint"]} == model.recipe
        assert "checkpoint" not in inside


@train_extra
@pytest.mark.train
@pytest.mark.processes
def test_an_export_whose_lines_nobody_reads_is_whole(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """A single and its coded twin are exported although standard output's reader is gone before the first line."""
    data, out = trained
    words = ("export", "--data", data, "--checkpoint", out / "tones-single.pt", "--out", "own")
    assert unread(shlex.join(map(str, words)), tmp_path) == (0, "")
    assert [model.name for model in zoo.load(tmp_path / "own")] == ["tones-coded", "tones-single"]


@train_extra
@pytest.mark.train
def test_a_collage_with_a_detection_head_from_training_to_a_run(
    exported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A collage with a detection head is trained, exported, evaluated with its share of unanswered cells, and run."""
    data, models = exported
    out = part_of(models, tmp_path / "models", "tones-single")
    assert exit_code("train", "collage", "--grid", 2, "--head", "detection", *SMALL, "--data", data, "--out", out) == 0
    assert (out / "tones-collage-2x2-detection.pt").exists()
    assert exit_code("export", "--data", data, "--out", out) == 0
    model = zoo.find(zoo.load(out), "collage", grid=2, head="detection")
    assert (model.name, model.boxes, model.output) == ("tones-collage-2x2-detection", 192, (192, 7))
    options = ("--data", data, "--models", out)
    capsys.readouterr()
    assert exit_code("evaluate", "collage", *options, "--format", "json") == 0
    (measured,) = json.loads(capsys.readouterr().out)["models"]
    assert measured["head"] == "detection"
    assert measured["no_answer"]["images"] == 60
    assert exit_code("evaluate", "collage", *options) == 0
    assert "of the cells (95 % range" in " ".join(capsys.readouterr().out.split())
    small_run = ("--scheme", "collage", "--grid", 2, "--workers", 3, "--requests", 20, "--runs", 1, "--rate", 50)
    run = tmp_path / "run"
    assert exit_code("simulate", *options, *small_run, "--head", "detection", "--out", run) in (0, 4)
    names = {model["name"] for model in json.loads((run / "run.json").read_text())["models"]}
    assert names == {"tones-single", "tones-collage-2x2-detection"}
    capsys.readouterr()
    assert exit_code("simulate", *options, *small_run) == 1
    assert "collage grid 2 head grid" in capsys.readouterr().err
    assert exit_code("simulate", *options, *small_run, "--head", "eyes") == 2
    assert "--head must be grid or detection, not 'eyes'" in capsys.readouterr().err


@train_extra
@pytest.mark.train
def test_images_of_mixed_sizes_and_a_collage_that_is_scaled_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--size resizes all images to one size, --input scales the collage down, and a simulation uses the same sizes."""
    data, out = tones(tmp_path / "data", {"train": 60, "test": 20}), tmp_path / "models"
    for k, path in enumerate(sorted(data.rglob("*.png"))):
        with Image.open(path) as image:
            small = image.resize((16 + k % 5, 20 - k % 3))
        small.save(path)
    asked = (*SMALL, "--size", 24, "--data", data, "--out", out)
    assert exit_code("train", "single", *asked) == 0
    assert exit_code("train", "collage", *asked, "--grid", 3, "--input", 44) == 0
    assert exit_code("export", "--data", data, "--out", out) == 0
    collage = zoo.find(zoo.load(out), "collage")
    assert (collage.input, collage.image, collage.recipe["canvas"]) == ((44, 44, 3), (24, 24, 3), [44, 44])
    options = ("--data", data, "--models", out, "--out", tmp_path / "run")
    few = ("--scheme", "collage", "--workers", 3, "--requests", 20, "--runs", 1, "--rate", 50)
    assert exit_code("simulate", *options, *few) in (0, 4)
    capsys.readouterr()
    for arguments, words in ((("--size", 0), "--size must be a number"), (("--input", 42), "choose another --input")):
        assert exit_code("train", "collage", *asked, "--grid", 2, *arguments) == 2
        assert words in capsys.readouterr().err


@train_extra
@pytest.mark.train
def test_an_exported_single_teaches_as_its_checkpoint_does(
    exported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--single takes an exported single without its checkpoint; any other file is refused in one sentence.

    The single is known by the checkpoint that it was exported from.
    """
    data, models = exported
    out = part_of(models, tmp_path / "models", "tones-single", "tones-coded")
    sha256 = hashlib.sha256((models / "tones-single.pt").read_bytes()).hexdigest()
    asked = (*SMALL, "--data", data, "--out", out, "--single")
    model = out / "tones-single.onnx"
    assert exit_code("train", "backup", *asked, model) == 0
    assert exit_code("train", "parity", *asked, model) == 0
    (kept,) = out.glob("tones-single-*-logits.npy")
    assert kept.name == f"tones-single-{sha256[:12]}-{fingerprint(ImageFolder(data, 'train'))[:12]}-logits.npy"
    logits = np.load(kept)
    assert logits.shape == (2, 200, 2)
    assert (logits[0].argmax(1) == np.arange(200) // 100).mean() > 0.9, "bright ones come first"
    assert exit_code("export", "parity", "--data", data, "--out", out, "--single", model) == 0
    assert zoo.find(zoo.load(out), "parity").recipe["teacher"] == sha256
    (out / "stray.onnx").write_bytes(b"")
    capsys.readouterr()
    for single, code, words in (
        (out / "stray.onnx", 1, "does not list a model stray.onnx"),
        (out / "tones-coded.onnx", 2, "is a coded"),
        (tmp_path / "tones-single.onnx", 1, "holds no manifest.json"),
    ):
        assert exit_code("train", "collage", *asked, single) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


@train_extra
@pytest.mark.train
def test_a_single_that_was_only_exported_teaches_what_is_trained_beside_it(
    exported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a checkpoint in --out, the exported single teaches, unless --no-distil; the last line says which."""
    data, models = exported
    out = part_of(models, tmp_path / "models", "tones-single")
    asked = (*SMALL, "--data", data, "--out", out)
    for role, *more in (("backup",), ("parity",), ("collage", "--grid", 3)):
        capsys.readouterr()
        assert exit_code("train", role, *more, *asked) == 0
        assert f", learnt from {out / 'tones-single.onnx'}\n" in capsys.readouterr().out
    assert exit_code("export", "parity", "--data", data, "--out", out) == 0
    for name in ("tones-backup.pt", "tones-backup.csv"):
        (out / name).unlink()
    capsys.readouterr()
    assert exit_code("train", "backup", *asked, "--no-distil") == 0
    said = capsys.readouterr().out
    assert re.search(r": 2 epochs, \d+\.\d% of the 4 held-out training images, learnt from labels alone\n$", said)


@train_extra
@pytest.mark.train
def test_a_single_of_another_size_is_met_by_bringing_images_to_its(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the single takes images of another size, the error names the --size to use, and with that training works."""
    data, out = trained
    asked = ("train", "backup", *SMALL, "--data", data, "--single", out / "tones-single.pt", "--out", tmp_path)
    assert exit_code(*asked, "--size", 24) == 2
    assert "takes images of 16x16 pixels, but these are 24x24; train with --size 16" in (capsys.readouterr().err)
    assert exit_code(*asked, "--size", 16) == 0


@train_extra
@pytest.mark.train
def test_exporting_again_replaces_one_model_and_keeps_the_others(
    exported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export of one role replaces that model in the manifest and keeps the others."""
    data, models = exported
    out = shutil.copytree(models, tmp_path / "models")
    names = [model.name for model in zoo.load(out)]
    for role in ("single", "collage"):
        capsys.readouterr()
        assert exit_code("export", role, "--data", data, "--out", out) == 0
        assert "of 60 test images" in capsys.readouterr().out
        assert [model.name for model in zoo.load(out)] == names


@train_extra
@pytest.mark.train
def test_quantised_models_lie_beside_their_originals(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--int8 adds a quantised model for each role but coded, prints its loss of accuracy; --precision int8 uses it.

    No parity learns from a quantised single.
    """
    data, out = trained
    models = tmp_path / "models"
    models.mkdir()
    for path in out.glob("*.pt"):
        (models / path.name).write_bytes(path.read_bytes())
    assert exit_code("export", "--int8", "--data", data, "--out", models) == 0
    shown = capsys.readouterr().out
    found = {model.name: model for model in zoo.load(models)}
    small = {name.removesuffix("-int8"): model for name, model in found.items() if model.precision == "int8"}
    assert set(small) == {"tones-backup", "tones-collage-2x2", "tones-parity-k2-addition", "tones-single"}
    for name, model in small.items():
        assert model.name == f"{name}-int8"
        assert (model.role, model.input, model.macs) == (found[name].role, found[name].input, found[name].macs)
        assert f"{100 * (model.accuracy - found[name].accuracy):+.2f} points from float32" in shown
    assert small["tones-single"].accuracy > 0.9
    single = models / "tones-single-int8.onnx"
    assert exit_code("train", "parity", *SMALL, "--k", 3, "--data", data, "--out", models, "--single", single) == 2
    assert f"{single} is quantised, and the float32 single decodes" in capsys.readouterr().err
    options = ("--data", data, "--models", models)
    small_run = (
        "--scheme",
        "none",
        "--workers",
        2,
        "--requests",
        20,
        "--runs",
        1,
        "--stragglers",
        "none",
        "--rate",
        50,
    )
    for precision, name in (((), "tones-single"), (("--precision", "int8"), "tones-single-int8")):
        run = tmp_path / name
        assert exit_code("simulate", *options, *small_run, *precision, "--out", run) in (0, 4)
        assert [model["name"] for model in json.loads((run / "run.json").read_text())["models"]] == [name]
    capsys.readouterr()
    assert exit_code("simulate", *options, *small_run, "--precision", "int4") == 2
    assert "--precision must be float32 or int8" in capsys.readouterr().err
    assert exit_code("evaluate", "single", *options, "--format", "json") == 0
    measured = json.loads(capsys.readouterr().out)["models"]
    assert [(model["precision"], model["accuracy"]["value"]) for model in measured] == [
        (found[name].precision, found[name].accuracy) for name in ("tones-single", "tones-single-int8")
    ]
    assert measured[0]["latency_ratio"] == 1


@train_extra
@pytest.mark.train
def test_a_finished_training_is_neither_repeated_nor_overwritten(
    trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --resume an existing checkpoint is refused; with it, and the same options, nothing is left to do."""
    data, out = trained
    before = (out / "tones-single.pt").read_bytes()
    again = ("train", "single", *SMALL, "--data", data, "--out", out)
    assert exit_code(*again) == 2
    assert "add --resume" in capsys.readouterr().err
    assert exit_code(*again, "--resume") == 0
    assert exit_code(*again, "--resume", "--seed", 7) == 2
    assert "begun with seed 0, not 7; to resume it, add --seed 0" in capsys.readouterr().err
    (out / "tones-single.csv").unlink()
    assert exit_code(*again, "--resume") == 0
    assert len((out / "tones-single.csv").read_text().splitlines()) == 3, "the log is what the checkpoint holds"
    assert exit_code(*again, "--resume", "--threads", 3) == 2
    assert re.search(r"begun with threads \d, not 3; to resume it, add --threads \d$", capsys.readouterr().err)
    assert exit_code(*again, "--resume", "--single", out / "tones-single.pt") == 2
    assert re.search(
        r"begun with teacher None, not [0-9a-f]{12}; to resume it, add --no-distil", capsys.readouterr().err
    )
    assert exit_code(*again, "--resume", "--size", 8) == 2
    assert "begun with image [16, 16], not [8, 8]; to resume it, add --size 16\n" in capsys.readouterr().err
    assert exit_code(*again, "--resume", "--depths", 2) == 2
    assert "begun with depths [1], not [2]; to resume it, add --depths 1\n" in capsys.readouterr().err
    assert (out / "tones-single.pt").read_bytes() == before


@train_extra
@pytest.mark.train
@pytest.mark.parametrize(("part", "nothing"), [("log", []), ("optimizer", {})])
def test_a_checkpoint_without_what_goes_on_is_not_gone_on_with(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str, nothing: object
) -> None:
    """A checkpoint without its log or its optimizer's state cannot be resumed, and one sentence says so."""
    import torch

    data, out = trained
    content = torch.load(out / "tones-single.pt", weights_only=True)
    torch.save(content | {part: nothing}, tmp_path / "tones-single.pt")
    assert exit_code("train", "single", *SMALL, "--data", data, "--out", tmp_path, "--resume") == 1
    said = capsys.readouterr().err
    assert f"tones-single.pt holds no {part}, without which its training cannot continue" in said
    assert said.count("\n") == 1


@train_extra
@pytest.mark.train
def test_other_images_are_not_gone_on_with(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training does not resume on other images of the same classes, and the single's outputs are computed anew."""
    data, trained_out = trained
    other = tones(tmp_path / "other", {"train": 100, "test": 2})
    moved = other / "train" / "dark" / "000.png"
    moved.replace(other / "train" / "bright" / "moved.png")
    out = tmp_path / "models"
    out.mkdir()
    for name in ("tones-single.pt", "tones-single.csv"):
        (out / name).write_bytes((trained_out / name).read_bytes())
    assert exit_code("train", "single", *SMALL, "--data", other, "--out", out, "--resume") == 2
    assert "; to resume it, use the images that it was begun with\n" in capsys.readouterr().err
    for images, times in ((data, 1), (other, 2)):
        asked = (*SMALL, "--data", images, "--out", out)
        assert exit_code("train", "backup", *asked) == 0
        assert len(list(out.glob("*-logits.npy"))) == times
        (out / "tones-backup.pt").unlink()
        (out / "tones-backup.csv").unlink()


@train_extra
@pytest.mark.train
def test_somebodys_log_is_not_overwritten(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """A file with the log's name that has no checkpoint beside it is not overwritten."""
    data, _ = trained
    log = tmp_path / "tones-single.csv"
    log.write_text("precious")
    assert exit_code("train", "single", *SMALL, "--data", data, "--out", tmp_path) == 2
    assert log.read_text() == "precious"


@train_extra
@pytest.mark.train
def test_a_budget_counts_from_the_beginning(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If --minutes is over before the first step, training ends with 2 and says how long the preparation took."""
    data, out = trained
    asked = ("train", "backup", *SMALL, "--data", data, "--single", out / "tones-single.pt", "--out", tmp_path)
    assert exit_code(*asked, "--minutes", 1e-4) == 2
    assert (
        "--minutes 0.0001 ended before the first step: reading all images and asking a single about them took 0."
        in capsys.readouterr().err
    )
    assert not (tmp_path / "tones-backup.pt").exists()


def told_to_stop(number: signal.Signals, words: tuple[object, ...], when: Callable[[], object]) -> tuple[int, str, str]:
    """Run the command line in a process, send it a signal once `when` is true; return exit code, output and errors."""
    command = [sys.executable, "-m", "collagebench", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(when, "it has begun", 180)
        process.send_signal(number)
        out, err = process.communicate(timeout=180)
    finally:
        process.kill()
    return process.returncode, out, err


@train_extra
@pytest.mark.train
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_told_to_stop_says_what_is_kept(
    trained: tuple[Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    """After SIGINT or SIGTERM, training ends with 130, names the checkpoint and says how to continue."""
    data, _ = trained
    words = ("train", "single", *SMALL, "--epochs", 100000, "--data", data, "--out", tmp_path)
    code, out, err = told_to_stop(number, words, (tmp_path / "tones-single.csv").exists)
    assert (code, out) == (130, "")
    path = tmp_path / "tones-single.pt"
    assert err == f"collagebench: interrupted; {path} holds what was learnt: continue with --resume\n"


@train_extra
@pytest.mark.train
def test_an_export_that_is_told_to_stop_says_so(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """After SIGTERM an export ends with 130 and one line, and the manifest lists the models exported before."""
    data, out = trained
    for path in out.glob("*.pt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    words = ("export", "--data", data, "--out", tmp_path)
    code, _, err = told_to_stop(signal.SIGTERM, words, (tmp_path / zoo.MANIFEST).exists)
    assert (code, err) == (130, "collagebench: interrupted\n")
    assert zoo.load(tmp_path)


@train_extra
@pytest.mark.train
def test_export_refuses_what_does_not_fit(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing or damaged checkpoint, missing data and other classes are refused in one sentence each."""
    data, out = trained
    other = tones(tmp_path / "other", {"test": 3, "train": 3}, ("cat", "dog"))
    (tmp_path / "bad.pt").write_text("no checkpoint")
    for arguments, code, words in (
        (("--out", tmp_path / "nothing"), 1, "it has: none"),
        (("--out", out, "--grid", 5, "--data", data), 1, "tones-collage-2x2, tones-parity-k2-addition, tones-single"),
        (("--out", out), 2, "give its --data DIR"),
        (("--out", out, "--data", other), 2, "knows bright, dark, but"),
        (("--checkpoint", tmp_path / "bad.pt", "--out", out), 1, "bad.pt is damaged"),
        (("--checkpoint", tmp_path / "no.pt", "--out", out), 1, "there is no checkpoint"),
        (
            ("backup", "--checkpoint", out / "tones-single.pt", "--out", out),
            1,
            "is of tones-single, not of what",
        ),
    ):
        assert exit_code("export", *arguments) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


@train_extra
@pytest.mark.train
def test_a_place_for_no_models_is_known_before_anything_is_exported(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no manifest can be written, or no directory can be, an export or a training ends in one sentence."""
    data, out = trained
    (tmp_path / zoo.MANIFEST).mkdir()
    nowhere = tmp_path / ("l" * 300)
    for arguments, words in (
        (("export", "--checkpoint", out / "tones-single.pt", "--out", tmp_path), "manifest.json cannot be written"),
        (("export", "--out", nowhere), "llll"),
        (("train", "backup", *SMALL, "--out", nowhere), "(File name too long); choose another "),
    ):
        assert exit_code(*arguments, "--data", data) == 1
        said = capsys.readouterr().err
        assert words in said
        assert "unexpected" not in said
        assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [zoo.MANIFEST]


@train_extra
@pytest.mark.train
def test_a_model_that_cannot_be_measured_stops_no_other(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If there are too few test images for the collage, the others are exported and the error names its checkpoint."""
    _, out = trained
    few = tones(tmp_path / "few", {"train": 3, "test": 1})
    for path in out.glob("*.pt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert exit_code("export", "--data", few, "--out", tmp_path) == 1
    assert capsys.readouterr().err == (
        f"collagebench: {tmp_path / 'tones-collage-2x2.pt'}: 2 images are too few, because 4 go into one input or "
        "group; use more images\n"
    )
    assert {model.role for model in zoo.load(tmp_path)} == {"backup", "coded", "parity", "single"}


@train_extra
@pytest.mark.train
def test_parities_of_another_single_are_no_longer_listed(
    exported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exporting another single under an old name removes the old one's parities from the manifest."""
    data, models = exported
    out = part_of(models, tmp_path / "models", "tones-single", "tones-coded", "tones-parity-k2-addition")
    shutil.copy(models / "tones-single.pt", out)
    assert exit_code("export", "single", "--data", data, "--out", out) == 0
    assert {model.role for model in zoo.load(out)} == {"coded", "parity", "single"}
    (out / "tones-single.pt").unlink()
    assert exit_code("train", "single", *SMALL, "--seed", 7, "--data", data, "--out", out) == 0
    capsys.readouterr()
    assert exit_code("export", "single", "--data", data, "--out", out) == 0
    parity = out / "tones-parity-k2-addition.onnx"
    assert (
        f"{parity}: no longer listed, as it was trained with another single; train it again" in capsys.readouterr().out
    )
    assert {model.role for model in zoo.load(out)} == {"coded", "single"}


@train_extra
@pytest.mark.train
def test_a_parity_beside_another_single_is_told_apart(
    exported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A parity is not exported beside a single that it did not learn from.

    If a manifest lists both all the same, evaluate and simulate warn, unless the single's checkpoint is unknown.
    """
    data, exports = exported
    own = part_of(exports, tmp_path / "own", "tones-single", "tones-parity-k2-addition")
    other = tmp_path / "other"
    assert exit_code("train", "single", *SMALL, "--seed", 7, "--data", data, "--out", other) == 0
    assert exit_code("export", "single", "--data", data, "--out", other) == 0
    parity = ("--data", data, "--checkpoint", exports / "tones-parity-k2-addition.pt")
    capsys.readouterr()
    assert exit_code("export", *parity, "--out", other) == 2
    said = capsys.readouterr().err
    assert "was trained with another single than" in said
    assert said.count("\n") == 1
    mixed = [model for model in zoo.load(own) if model.role == "parity"]
    for model in mixed:
        (other / model.file).write_bytes(model.path.read_bytes())
    zoo.save([*zoo.load(other), *mixed], other)
    silent = tmp_path / "silent"
    silent.mkdir()
    for model in zoo.load(other):
        (silent / model.file).write_bytes(model.path.read_bytes())
    without = [
        replace(model, recipe={key: value for key, value in model.recipe.items() if key != "checkpoint"})
        for model in zoo.load(other)
    ]
    zoo.save(without, silent)
    words = "tones-parity-k2-addition learnt from another single than tones-single, which decodes the answers"
    few = ("--scheme", "parity", "--workers", 3, "--requests", 20, "--runs", 1, "--rate", 50)
    for models, times in ((other, 1), (own, 0), (silent, 0)):
        capsys.readouterr()
        asked = ("--data", data, "--models", models)
        assert exit_code("evaluate", "parity", *asked, "--format", "json") == 0
        said = capsys.readouterr()
        assert said.err.count(words) == len(json.loads(said.out)["warnings"]) == times
        assert exit_code("simulate", *few, *asked, "--out", tmp_path / f"run-{models.name}") in (0, 4)
        assert " ".join(capsys.readouterr().out.split()).count(words) == times


@train_extra
@pytest.mark.train
def test_test_images_calibrate_nothing(exported: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """With a folder of test images alone, --int8, --split train and --tune are refused."""
    data, models = exported
    folder = ("--data", data / "test")
    assert exit_code("export", "backup", "--int8", *folder, "--out", models) == 2
    assert "--int8 is calibrated on training images, but" in capsys.readouterr().err
    for more in (("single", "--split", "train"), ("coded", "--tune", "--coded-k", 2)):
        asked = (*folder, "--models", models)
        assert exit_code("evaluate", *more, *asked) == 2
        assert "so it is not known which images training held out" in capsys.readouterr().err


@train_extra
@pytest.mark.train
def test_measured_on_what_it_was_trained_on_a_model_is_told_apart(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model exported, evaluated or simulated on its own training images brings one warning; on others, none."""
    data, out = trained
    words = "tones-single was trained on these very images, so its accuracy says little about other images"
    checkpoint = ("--checkpoint", out / "tones-single.pt", "--out", tmp_path)
    few = ("--scheme", "none", "--workers", 2, "--requests", 20, "--runs", 1, "--stragglers", "none", "--rate", 50)
    for part, times in ((data / "train", 1), (data / "test", 0), (data, 0)):
        assert exit_code("export", "single", "--data", part, *checkpoint) == 0
        assert capsys.readouterr().err.count(words) == times
        asked = ("--data", part, "--models", tmp_path)
        assert exit_code("evaluate", "single", *asked, "--format", "json") == 0
        said = capsys.readouterr()
        assert said.err.count(words) == len(json.loads(said.out)["warnings"]) == times
        assert exit_code("simulate", *few, *asked, "--out", tmp_path / part.name) in (0, 4)
        assert " ".join(capsys.readouterr().out.split()).count(words) == times
    assert exit_code("evaluate", "single", "--split", "train", *asked, "--format", "json") == 0
    assert not json.loads(capsys.readouterr().out)["warnings"], "these were kept out"


@train_extra
@pytest.mark.train
def test_a_cut_file_of_answers_is_made_again(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """If the file of the single's outputs is empty or truncated, it is made again with the same contents."""
    data, out = trained
    asked = ("train", "backup", *SMALL, "--single", out / "tones-single.pt", "--data", data)
    for size in (0, -8):
        there = tmp_path / str(size)
        assert exit_code(*asked, "--out", there) == 0
        (kept,) = there.glob("*-logits.npy")
        whole = kept.read_bytes()
        kept.write_bytes(whole[:size])
        for path in there.glob("*-backup.*"):
            path.unlink()
        assert exit_code(*asked, "--out", there) == 0
        assert kept.read_bytes() == whole


@train_extra
@pytest.mark.train
def test_a_class_without_an_image_to_learn_from_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the only image of a class is held out, training ends with 1 and names the class."""
    data = tones(tmp_path, {"train": 1, "test": 1})
    assert exit_code("train", "single", *SMALL, "--data", data, "--out", tmp_path / "out") == 1
    assert "class bright has no image left to learn from" in capsys.readouterr().err


@train_extra
@pytest.mark.train
def test_train_refuses_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Impossible trainings and corrupt images are refused in one sentence each."""
    data = tones(tmp_path / "data", {"train": 6, "test": 2})
    (data / "train" / "dark" / "003.png").write_bytes(b"no image")
    (tmp_path / "file").write_text("")
    late = tones(tmp_path / "late", {"train": 60, "test": 2})
    (late / "test" / "dark" / "001.png").write_bytes(b"no image")
    tones(tmp_path / "apart", {"train": 2}, ("bright", "cat"))
    tones(tmp_path / "apart", {"test": 2})
    folder = ("--widths", 4, "--depths", 0, "--epochs", 1, "--out", tmp_path / "out")
    file = zoo.SHIPPED / "shapes-single.onnx"
    for arguments, code, words in (
        (("collage", "--grid", 17), 2, "2 to 16 cells"),
        (("single", "--grid", 2), 2, "drop --grid"),
        (("single", "--epochs", 0), 2, "--epochs must be a number from 1 up, not 0"),
        (("single", "--threads", 9**9), 2, "--threads must be a number from 1 to 1024"),
        (("single", "--seed", 10**20), 2, "the seed must be a whole number from 0 to 2^63 - 1"),
        (("single", "--crop", -1), 2, "--crop must be a number of pixels from 0 up, not -1"),
        (("single", "--crop", 32), 2, "--crop 32 is too large a shift for images of 32 pixels"),
        (("single", "--cutout", 33), 2, "--cutout 33 is larger than images of 32 pixels"),
        (("parity", "--single", file, "--temperature", 3), 2, "this training learns from only one"),
        (("single", "--no-distil", "--single", file), 2, "drop --single"),
        (("parity", "--no-distil"), 2, "drop --no-distil"),
        (("single", "--temperature", 3), 2, "this training learns from only one"),
        (("single", "--teacher-sees", "inputs"), 2, "there is none; drop it, or add --single"),
        (("backup", "--single", file, "--label-smoothing", 0.2), 2, "add --no-distil"),
        (("parity", "--single", file, "--k", 0), 2, "use --k"),
        (("single", *folder, "--data", data, "--as", "shapes"), 2, "the name shapes is taken by the bundled dataset"),
        (("single", *folder, "--data", tmp_path / "apart"), 2, "class folder cat is only in"),
        (("single", "--dataset", "shapes", "--data", data), 2, "drop --data"),
        (("single", *folder, "--dataset", "imagefolder"), 2, "needs --data"),
        (("single", *folder, "--data", data / "train"), 2, "train/ and test/"),
        (("single", *folder, "--data", data), 1, "train/dark/003.png cannot be read"),
        (("single", *folder, "--data", tmp_path / "late"), 1, "test/dark/001.png cannot be read"),
        (("single", "--as", "../up"), 2, "not a valid name"),
        (("single", "--as", "a" * 200), 2, "at most 100"),
        (("single", "--as", "mine"), 2, "shapes already has a name"),
        (("single", "--blanks", 0.5), 2, "but a single has only one"),
        (("collage", "--distil", "--out", tmp_path / "none"), 2, "learns from a single, but there is none"),
        (
            ("collage", "--head", "detection", "--single", file, "--temperature", 3),
            2,
            "not used when boxes are learnt",
        ),
        (("single", *folder, "--data", data, "--size", 10**9), 2, "--size must be a number of pixels from 1 to 16384"),
        (("single", "--network", "torch.nn:Identity", "--std", "nan", 1, 1), 2, "three numbers above 0"),
        (("single", "--network", "torch.nn:Identity", "--mean", "inf", 1, 1), 2, "three numbers, such as 0.5"),
        (("single", "--network", "torch.nn:Identity", "--mean", 124, 116, 104), 2, "divide them by 255"),
        (("single", "--widths", "8,x"), 2, "is not a list of whole numbers"),
        (("single", "--widths", "8,8"), 2, "2 widths and 3 depths"),
        (("single", "--single", tmp_path / "s.pt"), 1, "there is no checkpoint"),
        (("single", "--mix", 0.5, "--cutmix", 0.6), 2, "shares that add up to at most 1, not 0.5 and 0.6"),
        (("single", "--rounds", 9), 2, "rounds are asked of a teacher"),
        (("collage", "--single", file, "--teacher-sees", "inputs"), 2, "is not a checkpoint (.pt)"),
        (("single", "--k", 2), 2, "drop --k"),
        (("parity", "--out", tmp_path / "none"), 1, "there is no checkpoint"),
        (("backup", "--single", tmp_path / "none.pt"), 1, "there is no checkpoint"),
        (("single", "--out", tmp_path / "file"), 1, "cannot create the directory"),
        (("single", "--out", "/proc"), 1, "cannot be written"),
    ):
        assert exit_code("train", *arguments) == code, arguments
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_without_the_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without torch, train and export end with 1 and the command that installs it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for arguments in (("train", "single"), ("export",)):
        assert exit_code(*arguments) == 1
        said = capsys.readouterr().err
        assert "pip install 'collagebench[train]'" in said
        assert said.count("\n") == 1


@pytest.mark.parametrize(("given", "threads"), [("1", 1), ("3,2", 3), ("", cores()), ("0", cores()), ("many", cores())])
def test_training_has_the_threads_that_omp_num_threads_allows(
    given: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --threads, a training has the first number of OMP_NUM_THREADS, or else a thread per core."""
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert usual_threads() == threads


@pytest.mark.parametrize("verb", ["train", "export"])
def test_help_imports_no_torch(verb: str) -> None:
    """The help of train and export imports none of torch, onnx, onnxruntime and PIL."""
    code = (
        "import sys; from collagebench.cli import cli\n"
        f"cli.main(['{verb}', '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'PIL'} & set(sys.modules), 'heavy imports'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert "--out" in done.stdout

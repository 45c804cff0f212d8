"""The manifest: what is written is read again, and files or fields that are wrong are refused by name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from full_disk import files_limited_to

from collagebench import zoo
from collagebench.errors import ModelError, OutputError
from collagebench.zoo.advice import some_of

CONTENT = b"not really a network"


def model(
    directory: Path, name: str, role: str = "single", grid: int | None = None, dataset: str = "cats"
) -> zoo.Model:
    """Write a file of CONTENT, and return the manifest's entry for it."""
    (directory / f"{name}.onnx").write_bytes(CONTENT)
    return zoo.Model(
        name=name,
        role=role,
        grid=grid,
        dataset=dataset,
        classes=("tabby", "tiger"),
        input=(16, 16, 3),
        image=(16, 16, 3),
        file=f"{name}.onnx",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        bytes=len(CONTENT),
        parameters=5,
        macs=7,
        accuracy=0.75,
        accuracy_images=100,
        recipe={"seed": 3},
        directory=directory,
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Loading a saved manifest gives the same models."""
    models = [model(tmp_path, "one"), model(tmp_path, "nine", "collage", 3)]
    zoo.save(models, tmp_path)
    assert zoo.load(tmp_path) == models
    assert zoo.verified(models[0]) == CONTENT


def test_of_two_heads_the_grid_is_meant_unless_it_is_said(tmp_path: Path) -> None:
    """Without a head given, a collage with a grid is found first; one with a detection head is found by its head."""
    grid = model(tmp_path, "nine", "collage", 3)
    boxes = replace(model(tmp_path, "nine-detection", "collage", 3), head="detection", boxes=432)
    assert (grid.head, model(tmp_path, "one").head) == ("grid", None)
    assert (grid.output, boxes.output) == ((9, 2), (432, 7))
    assert zoo.find([grid, boxes], "collage", grid=3) is grid
    assert zoo.find([grid, boxes], "collage", grid=3, head="detection") is boxes
    assert zoo.find([boxes], "collage", grid=3) is boxes
    zoo.save([grid, boxes], tmp_path)
    assert zoo.load(tmp_path) == [grid, boxes]
    old = json.loads((tmp_path / "manifest.json").read_text())
    for entry in old["models"]:
        del entry["head"], entry["boxes"]
    (tmp_path / "manifest.json").write_text(json.dumps(old))
    assert [found.head for found in zoo.load(tmp_path)] == ["grid", "grid"]


def test_a_model_is_found_by_role_dataset_and_grid(tmp_path: Path) -> None:
    """The one fitting model is returned; if none or several fit, a ModelError lists the models."""
    models = [
        model(tmp_path, "cats-single"),
        model(tmp_path, "cats-collage-2x2", "collage", 2),
        model(tmp_path, "cats-collage-3x3", "collage", 3),
        model(tmp_path, "dogs-single", dataset="dogs"),
    ]
    assert zoo.find(models, "single", dataset="cats") is models[0]
    assert zoo.find(models, "collage", dataset="cats", grid=3) is models[2]
    with pytest.raises(ModelError, match="cats-single, dogs-single"):
        zoo.find(models, "single")
    with pytest.raises(ModelError, match=r"no model for collage dataset cats grid 4 in .*cats-collage-2x2"):
        zoo.find(models, "collage", dataset="cats", grid=4)


def test_a_model_of_float32_is_meant_unless_another_precision_is_asked_for(tmp_path: Path) -> None:
    """A float32 model is preferred to a quantised one, which is found by its precision, or if it is the only one."""
    full = model(tmp_path, "cats-single")
    small = replace(model(tmp_path, "cats-single-int8"), precision="int8")
    assert zoo.find([small, full], "single") is full
    assert zoo.find([small, full], "single", precision="int8") is small
    assert zoo.find([small], "single") is small
    with pytest.raises(ModelError, match="no model for single precision int8"):
        zoo.find([full], "single", precision="int8")
    zoo.save([full, small], tmp_path)
    assert zoo.load(tmp_path) == [full, small]


def test_a_file_that_was_cut_or_changed_is_refused(tmp_path: Path) -> None:
    """A model file that is truncated, changed or missing raises a ModelError that says which."""
    good = model(tmp_path, "one")
    good.path.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError, match="truncated"):
        zoo.verified(good)
    good.path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelError, match="sha256"):
        zoo.verified(good)
    good.path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        zoo.verified(good)
    with pytest.raises(ModelError, match="cannot be read"):
        zoo.verified(replace(good, file="elsewhere.onnx"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"is not a manifest of models \(line 1 is not JSON\)"),
        (
            "[]",
            r"is not a manifest of models: it must be an object, not \[\]; correct it there, or delete the file and ",
        ),
        (json.dumps({"schema": 99, "models": []}), "upgrade collagebench"),
        (json.dumps({"schema": 1}), "is not a manifest of models: 'models' is missing"),
        (json.dumps({"schema": "1", "models": []}), 'schema must be a whole number from 1 up, not "1"'),
        (json.dumps({"schema": 1, "models": {}}), "models must be a list, not {}"),
        (json.dumps({"schema": 1, "models": ["x"]}), r'models\[0\] must be an object, not "x"'),
        (json.dumps({"schema": 1, "models": [{"name": "x"}]}), "is not a manifest of models: 'role' of x is missing"),
        (json.dumps({"schema": 1, "models": [], "by": "\ud800"}), "its text is not valid Unicode"),
        ("[" * 100_000, "its brackets are nested too deeply"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_named(tmp_path: Path, text: str, words: str) -> None:
    """Broken, foreign and newer manifests raise ModelErrors that say what is wrong."""
    (tmp_path / zoo.MANIFEST).write_text(text)
    with pytest.raises(ModelError, match=words):
        zoo.load(tmp_path)


def test_of_two_models_for_the_same_one_is_found_once_the_other_file_is_gone(tmp_path: Path) -> None:
    """Of two singles, the error says to delete one's file, and that helps; without any file there is another error."""
    zoo.save([model(tmp_path, "one"), model(tmp_path, "other"), model(tmp_path, "nine", "collage", 3)], tmp_path)
    with pytest.raises(ModelError) as several:
        zoo.find(zoo.load(tmp_path), "single")
    assert str(several.value) == (
        f"{tmp_path} holds several models for single: one, other; delete the files of all but one, or export the "
        "others into another --out"
    )
    (tmp_path / "other.onnx").unlink()
    (tmp_path / "nine.onnx").unlink()
    assert [found.name for found in zoo.load(tmp_path)] == ["one", "nine"]  # no other model replaces the collage
    assert zoo.find(zoo.load(tmp_path), "single").name == "one"
    (tmp_path / "one.onnx").unlink()
    with pytest.raises(ModelError) as gone:
        zoo.find(zoo.load(tmp_path), "single")
    assert str(gone.value) == (
        f"the files of all models for single in {tmp_path} are missing: one.onnx, other.onnx; export one of them again"
    )


def test_a_file_whose_name_is_too_long_is_not_there(tmp_path: Path) -> None:
    """A file name that is too long for any file system raises a ModelError, as for a missing file."""
    odd = replace(model(tmp_path, "one"), file="x" * 5000)
    assert not odd.is_there
    with pytest.raises(ModelError, match="cannot be read"):
        zoo.verified(odd)


def missing(models: list[zoo.Model], role: str, **traits: object) -> str:
    """Return the commands that are advised if there is no such model."""
    with pytest.raises(ModelError) as refused:
        zoo.find(models, role, **traits)
    return str(refused.value).partition("; make one with ")[2]


def test_a_missing_model_is_made_by_the_commands_that_are_printed(tmp_path: Path) -> None:
    """The advised commands name images and directory as far as they are known, and leave out default options."""
    folder = tmp_path / "my models"
    folder.mkdir()
    out = f"--out '{folder}'"
    cats = [model(folder, "cats-single"), model(folder, "cats-collage-2x2", "collage", 2)]
    images = "--data DATA --as cats --size 16"
    assert missing(cats, "collage", grid=3, head="grid") == (
        f"`collagebench train collage --grid 3 {images} {out}` and `collagebench export --data DATA {out}`, or use "
        "--grid 2, which exists"
    )
    assert missing(cats, "collage", grid=3, head="detection") == (
        f"`collagebench train collage --grid 3 --head detection {images} {out}` and "
        f"`collagebench export --data DATA {out}`"
    )
    assert missing(cats, "single", precision="int8") == f"`collagebench export --int8 --data DATA {out}`"
    plain = [replace(each, dataset="imagefolder", image=(16, 20, 3)) for each in cats]
    assert missing(plain, "coded") == (
        f"`collagebench train single --data DATA {out}` and `collagebench export --data DATA {out}`"
    )
    public = [replace(each, dataset="cifar10") for each in cats]
    assert missing(public, "parity", k=3, code="addition") == (
        f"`collagebench train parity --k 3 --code addition --dataset cifar10 {out}` and `collagebench export {out}`"
    )
    mixed = [cats[0], public[1]]
    assert (
        missing(mixed, "backup") == f"`collagebench train backup --dataset NAME {out}` and `collagebench export {out}`"
    )
    shipped = [found for found in zoo.load() if found.dataset == "shapes"]
    assert missing(shipped, "collage", grid=6, head="grid") == (
        "`collagebench train single`, `collagebench train collage --grid 6` and `collagebench export`, and use "
        "--models models, or use --grid 2, 3, 4 or 5, which exist"
    )


@pytest.mark.parametrize(
    ("role", "traits", "why"),
    [
        ("parity", {"k": 3, "code": "concatenation"}, "concatenation takes 2 or 4 images"),
        ("parity", {"k": 9, "code": "addition"}, "a parity input stands for 2 to 8 images"),
        ("collage", {"grid": 17}, "a collage has 2 to 16 cells along a side"),
    ],
)
def test_for_a_model_that_cannot_exist_no_command_is_advised(role: str, traits: dict[str, Any], why: str) -> None:
    """For a model that `train` would refuse to make, the message says why instead of how."""
    with pytest.raises(ModelError, match=f"such a model cannot exist: {why}") as raised:
        zoo.find(zoo.load(), role, dataset="shapes", **traits)
    assert "collagebench train" not in str(raised.value)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (
            ("lion", "tabby"),
            "2 classes of this dataset (lion, tabby); those for cats do not know 'lion', but 'tiger'; ",
        ),
        (
            ("tabby", "tiger", "lion"),
            "3 classes of this dataset (tabby, tiger, lion); those for cats do not know 'lion'; ",
        ),
        (("tiger",), "1 class of this dataset (tiger); those for cats also know 'tabby'; "),
        (
            ("tiger", "tabby"),
            "2 classes of this dataset (tiger, tabby); those for cats know them in another order, 'tabby' where it has "
            "'tiger'; ",
        ),
        (tuple("abcde"), "5 classes of this dataset (a, b, c, d, …); those for cats do not know 'a', but 'tabby'; "),
    ],
    ids=str,
)
def test_classes_that_no_model_knows_are_named(tmp_path: Path, classes: tuple[str, ...], words: str) -> None:
    """The error names the first class that differs from the models with most classes in common, or another order."""
    birds = replace(model(tmp_path, "birds"), dataset="birds", classes=("wren", "robin", "tit"))
    with pytest.raises(ModelError) as refused:
        zoo.fitting([model(tmp_path, "one"), birds], classes)
    assert str(refused.value) == (
        f"no model in {tmp_path} knows the {words}it has models for: birds (3 classes); cats (2 classes); train and "
        "export some, and name their directory with --models"
    )


PARITY = {"role": "parity", "k": 2, "code": "addition"}
COLLAGE = {"role": "collage", "grid": 2, "input": [32, 32, 3]}


def test_of_many_classes_the_first_that_differ_are_named() -> None:
    """Of a thousand classes a message names those that the other thousand lack, or the first four."""
    many = tuple(f"n{number:03}" for number in range(1000))
    assert some_of(many, many[:-1]) == "n999"
    assert some_of(many, many) == some_of(many, ("dog",)) == "n000, n001, n002, n003, …"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"macs": -5}, "macs of one must be a whole number from 1 up, not -5"),
        ({"macs": 0}, "macs of one must be a whole number from 1 up, not 0"),
        ({"macs": True}, "macs of one must be a whole number from 1 up, not true"),
        ({"role": "teacher"}, 'role of one must be one of single, coded, backup, collage, parity, not "teacher"'),
        ({"name": 5}, "name of models[0] must be a non-empty string, not 5"),
        ({"classes": ["tabby", "tabby"]}, "classes of one must be a list of strings that are all different"),
        ({"classes": []}, "classes of one must be a list of strings that are all different, not []"),
        ({"classes": "tabby"}, 'classes of one must be a list of strings that are all different, not "tabby"'),
        ({"image": [64, 64, 3]}, "image of one must be [16, 16, 3] as its input for a single, not [64, 64, 3]"),
        ({"image": [-1, 40, 3]}, "image of one must be height and width from 1 up and 3 channels, such as"),
        ({"input": [16, 16, 1]}, "input of one must be height and width from 1 up and 3 channels"),
        ({"input": [16, 16]}, "input of one must be height and width from 1 up and 3 channels"),
        ({"bytes": "16013"}, 'bytes of one must be a whole number from 0 up, not "16013"'),
        ({"accuracy": 1.5}, "accuracy of one must be a number from 0 to 1, not 1.5"),
        ({"recipe": None}, "recipe of one must be an object, not null"),
        ({"precision": "int4"}, 'precision of one must be one of float32, int8, not "int4"'),
        ({"maks": 7}, "one has a field 'maks' that no model has"),
        ({"grid": 2}, "grid of one must be null without a collage, not 2"),
        ({"k": 2}, "k of one must be null without a parity, not 2"),
        ({"boxes": 5}, "boxes of one must be null without a detection head, not 5"),
        ({**COLLAGE, "grid": "2"}, 'grid of one must be a whole number from 2 to 16 for a collage, not "2"'),
        ({**COLLAGE, "grid": None}, "grid of one must be a whole number from 2 to 16 for a collage, not null"),
        ({**COLLAGE, "head": "hydra"}, 'head of one must be one of grid, detection for a collage, not "hydra"'),
        ({**COLLAGE, "head": "detection"}, "boxes of one must be a whole number from 1 up for a detection head"),
        ({**COLLAGE, "boxes": 5}, "boxes of one must be null without a detection head, not 5"),
        ({**PARITY, "k": None}, "k of one must be a whole number from 2 to 8 for a parity, not null"),
        ({**PARITY, "code": None}, "code of one must be one of addition, concatenation for a parity, not null"),
        ({**PARITY, "code": "concatenation", "k": 3}, "k of one must be 2 or 4 for a parity by concatenation, not 3"),
    ],
    ids=str,
)
def test_a_field_that_was_changed_by_hand_is_refused_by_name(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    """An impossible value in a manifest raises a ModelError with the file, the model, the field and what to do."""
    zoo.save([model(tmp_path, "one")], tmp_path)
    path = tmp_path / zoo.MANIFEST
    manifest = json.loads(path.read_text())
    manifest["models"][0].update(changed)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError) as refused:
        zoo.load(tmp_path)
    assert str(refused.value).startswith(f"{path}: {words}")
    assert str(refused.value).endswith("; correct it there, or delete the file and export the models again")


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    """A manifest with two models of one name raises a ModelError, even if their roles differ."""
    zoo.save([model(tmp_path, "one"), model(tmp_path, "one", "backup")], tmp_path)
    with pytest.raises(ModelError, match=r"manifest\.json lists two models with the name one; correct it there"):
        zoo.load(tmp_path)


@pytest.mark.parametrize("lost", [("head", "boxes"), ("head", "boxes", "precision", "k", "code"), ("recipe",)])
def test_an_older_manifest_is_still_read(tmp_path: Path, lost: tuple[str, ...]) -> None:
    """Fields that older versions did not write have the values that they implied then."""
    models = [model(tmp_path, "nine", "collage", 3), model(tmp_path, "one")]
    zoo.save(models, tmp_path)
    path = tmp_path / zoo.MANIFEST
    manifest = json.loads(path.read_text())
    for entry in manifest["models"]:
        for field in lost:
            del entry[field]
    path.write_text(json.dumps(manifest))
    assert zoo.load(tmp_path) == [replace(m, recipe={}) if lost == ("recipe",) else m for m in models]


def test_a_directory_without_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    """A directory without a manifest raises a ModelError that names the command which makes one."""
    with pytest.raises(ModelError, match="collagebench export"):
        zoo.load(tmp_path)


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A new manifest that does not fit on the disk raises an OutputError; the old one stays, and no part is left."""
    zoo.save([model(tmp_path, "one")], tmp_path)
    before = (tmp_path / zoo.MANIFEST).read_bytes()
    with files_limited_to(100), pytest.raises(OutputError, match=r"manifest\.json cannot be written"):
        zoo.save([model(tmp_path, "one"), model(tmp_path, "two")], tmp_path)
    assert (tmp_path / zoo.MANIFEST).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "one.onnx", "two.onnx"]

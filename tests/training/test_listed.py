"""What an export adds to a manifest, and what it removes."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from colours import MODELS, colour_models
from full_disk import files_limited_to

from collagebench import zoo
from collagebench.claims import let_go, locked
from collagebench.errors import OutputError
from collagebench.statistics.accuracy import Share

onnx = pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train


def export_again(model: zoo.Model) -> zoo.Model:
    """List a model in the manifest of its directory again, as an export does."""
    from collagebench.training.export import listed

    return listed(model, onnx.load(MODELS / "colours.onnx"), Share(60, 60))


def test_an_export_lists_no_model_whose_file_is_gone(tmp_path: Path) -> None:
    """An export removes models from the manifest whose files were deleted, and keeps all others."""
    directory = colour_models(tmp_path)
    single = zoo.find(zoo.load(directory), "single")
    names = [model.name for model in zoo.load(directory)]
    (directory / "backup.onnx").unlink()
    assert [model.name for model in zoo.load(directory)] == names  # it is still listed
    export_again(single)
    assert [model.name for model in zoo.load(directory)] == sorted({*names} - {"colours-backup"})


def test_one_of_two_singles_that_was_deleted_can_be_exported_again(tmp_path: Path) -> None:
    """When one of two singles is deleted, the other is used, and the next export lists it alone."""
    directory = colour_models(tmp_path)
    single = zoo.find(zoo.load(directory), "single")
    other = export_again(replace(single, name="other-single", file="other-single.onnx"))
    assert [model.name for model in zoo.load(directory) if model.role == "single"] == ["colours-single", "other-single"]
    other.path.unlink()
    assert zoo.find(zoo.load(directory), "single").name == "colours-single"
    export_again(single)
    assert "other-single" not in (directory / zoo.MANIFEST).read_text()


def test_an_export_waits_for_another_that_changes_the_manifest(tmp_path: Path) -> None:
    """Of two exports that end together in one directory, both are listed, and no lock file is left."""
    directory = colour_models(tmp_path)
    models = zoo.load(directory)
    single = zoo.find(models, "single")
    other = replace(single, name="other-single", file="other-single.onnx")
    lock = locked(directory)
    ending = threading.Thread(target=export_again, args=(other,))
    ending.start()
    ending.join(0.5)
    zoo.save([*models, replace(single, name="third-single")], directory)
    let_go(lock)
    ending.join()
    names = [model.name for model in zoo.load(directory)]
    assert {"other-single", "third-single"} < {*names}
    assert {path.suffix for path in directory.iterdir()} == {".json", ".onnx"}


def test_an_export_that_does_not_fit_on_the_disk_changes_nothing(tmp_path: Path) -> None:
    """If a model's file fits on the disk, but not the manifest, the model exported before is still whole and listed."""
    directory = colour_models(tmp_path)
    single, *others = zoo.load(directory)
    zoo.save([single, *(replace(one, recipe={"note": "x" * 100_000}) for one in others)], directory)
    before = {path: path.read_bytes() for path in directory.iterdir()}
    assert len(before[single.path]) < 50_000
    with files_limited_to(50_000), pytest.raises(OutputError, match=r"manifest\.json cannot be written"):
        export_again(replace(single, recipe={"epoch": 2}))
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_a_network_that_multiplies_nothing_is_listed_so_that_it_can_be_read(tmp_path: Path) -> None:
    """A network without multiplications is listed with one, because costs are compared by their ratio."""
    single = zoo.find(zoo.load(colour_models(tmp_path)), "single")
    assert export_again(replace(single, macs=0)).macs == 1
    assert zoo.find(zoo.load(tmp_path), "single").macs == 1

"""Checkpoints: whole files or none, older ones load, and what is no checkpoint is named."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from full_disk import files_limited_to  # noqa: E402
from quick_training import ARCHITECTURE, LAYERS, RECIPE  # noqa: E402
from tones import Tones  # noqa: E402

from collagebench.errors import ModelError, OutputError  # noqa: E402
from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.models.network import Network  # noqa: E402
from collagebench.models.weights import weights_in  # noqa: E402
from collagebench.training import checkpoint as checkpoints  # noqa: E402
from collagebench.training.loop import train  # noqa: E402
from collagebench.training.recipe import Recipe  # noqa: E402


def test_a_checkpoint_of_before_still_loads(tmp_path: Path) -> None:
    """An older checkpoint without averages, cutout and Muon is loaded as using none of them."""
    path = tmp_path / "m.pt"
    train(ARCHITECTURE, replace(RECIPE, epochs=1), Tones(), path)
    content = torch.load(path, weights_only=True)
    del content["last"], content["muon"]
    for field in ("cutout", "ema", "muon"):
        del content["recipe"][field]
    torch.save({**content, "schema": 2}, path)
    old = checkpoints.load(path)
    assert (old.recipe, old.last) == (replace(RECIPE, epochs=1), None)


def test_a_network_of_other_depths_begins_with_each_stages_first_layers() -> None:
    """A network of other depths starts with the first layers of each stage, and surplus layers are left out."""
    layers = LAYERS | {"widths": (8, 12)}
    deep, flat = (Architecture("single", 2, (8, 8), **layers | {"depths": depths}) for depths in ((2, 1), (1, 3)))
    network = Network(deep)
    given = checkpoints.Checkpoint(deep, RECIPE, ("dark", "bright"), 1, network.state_dict(), {}, []).weights_for(flat)
    wanted = {"0": 0, "1": 1, "2": 3, "3": 4}  # the layer in `flat` and in `deep`: one of the first stage is gone
    for new, old in wanted.items():
        assert torch.equal(given[f"trunk.{new}.conv.weight"], network.trunk[old].conv.weight)
    assert {key.split(".")[1] for key in given if key.startswith("trunk.")} == set(wanted)
    assert torch.equal(given["classify.weight"], network.classify.weight)


def test_a_full_disk_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    """A checkpoint that does not fit on the disk is an error; the previous one stays, and no partial file is left."""
    path = tmp_path / "m.pt"
    last = train(ARCHITECTURE, Recipe("tones", epochs=1, batch=8), Tones(), path)
    before = path.read_bytes()
    with files_limited_to(1000), pytest.raises(OutputError, match=r"m\.pt cannot be written"):
        checkpoints.save(last, path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.csv", "m.pt"]


def test_damaged_and_foreign_checkpoints_are_named(tmp_path: Path) -> None:
    """Missing, truncated, foreign, newer and mismatching checkpoints are each refused in one sentence."""
    path = tmp_path / "m.pt"
    train(ARCHITECTURE, Recipe("tones", epochs=1, batch=8), Tones(), path)
    content = torch.load(path, weights_only=True)

    def refused(words: str) -> None:
        with pytest.raises(ModelError, match=words) as error:
            checkpoints.load(path)
        assert "\n" not in str(error.value)

    path.write_bytes(path.read_bytes()[:5000])
    refused("is damaged")
    path.write_text("no checkpoint")
    refused("is damaged")
    torch.save({"weights": 1}, path)
    refused("is not a checkpoint of `collagebench train`")
    torch.save([1, 2], path)
    refused("is not a checkpoint of `collagebench train`")
    torch.save({**content, "schema": 99}, path)
    refused("schema 99")
    torch.save({**content, "architecture": {**content["architecture"], "widths": [16]}}, path)
    refused("does not fit")
    for damage in (
        *({field: "x"} for field in ("architecture", "recipe", "classes", "epoch", "network", "optimizer", "log")),
        {"architecture": {**content["architecture"], "image": []}},
        {"recipe": {**content["recipe"], "mix": 10**400}},
        {"log": ["x"]},
    ):
        torch.save({**content, **damage}, path)
        refused(r"m\.pt does not fit this version's networks \(a value or a weight is missing or of another kind\)")
    for nothing in ({**content, "network": "x"}, {**content, "network": {1: "x"}}, {1: torch.zeros(1)}):
        torch.save(nothing, path)
        with pytest.raises(ModelError, match=r"m\.pt holds no state dict"):
            weights_in(path)
    torch.save({**content, "optimizer": {"state": {}}}, path)
    with pytest.raises(ModelError, match=r"the state in checkpoint .*m\.pt does not fit its network: it is damaged"):
        train(ARCHITECTURE, Recipe("tones", epochs=2, batch=8), Tones(), path, checkpoints.load(path))
    path.unlink()
    refused("there is no checkpoint")


def test_a_checkpoint_with_one_bit_flipped_is_damaged(tmp_path: Path) -> None:
    """A checkpoint of which one bit of a weight differs, as after a fault of the disk, is refused."""
    path = tmp_path / "m.pt"
    weights = train(ARCHITECTURE, Recipe("tones", epochs=1, batch=8), Tones(), path).network
    content = bytearray(path.read_bytes())
    content[content.index(weights["classify.weight"].numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.pt is damaged"):
        checkpoints.load(path)


def test_a_checkpoint_that_is_replaced_meanwhile_has_its_own_sha256(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sha256 beside a checkpoint is that of the bytes that it was read from, although a training goes on."""
    path = tmp_path / "m.pt"
    train(ARCHITECTURE, Recipe("tones", epochs=1, batch=8), Tones(), path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = checkpoints.quietly_loaded

    def replaced(stored: io.BytesIO) -> object:
        path.write_bytes(b"the next epoch")
        return loaded(stored)

    monkeypatch.setattr(checkpoints, "quietly_loaded", replaced)
    found, digest = checkpoints.open_checkpoint(path)
    assert (found.epoch, digest) == (1, before)


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    """A checkpoint below a file is an error that names the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/m\.pt cannot be written"):
        checkpoints.put(tmp_path / "file" / "m.pt", b"content")

"""Classifiers that were not trained here become models like ours, with their own preprocessing, or are refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")
torchvision = pytest.importorskip("torchvision", reason="needs the train extra")
pytest.importorskip("onnxscript", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench import zoo  # noqa: E402
from collagebench.cli import main  # noqa: E402
from collagebench.models.foreign import Foreign, Preprocessing  # noqa: E402

MODULE = """
import torch
from torch import nn


class Brightness(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.last = nn.Linear(3, classes)

    def forward(self, x):
        return self.last(x.mean((2, 3)))


def make():
    return Brightness()


def three():
    return Brightness(3)


def blind():
    return nn.Flatten(1)


def maps():
    return nn.Conv2d(3, 2, 1)


def fails():
    raise ValueError("no network today")


number = lambda: 7
"""


def collagebench(*arguments: object) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def tones(directory: Path, sizes: tuple[tuple[int, int], ...] = ((20, 16),)) -> Path:
    """Write bright and dark images, 20 each for training and for testing, whose (width, height) change in turn."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, level in (("bright", 150), ("dark", 0)):
            (directory / split / name).mkdir(parents=True)
            for k in range(20):
                width, height = sizes[k % len(sizes)]
                pixels = (level + rng.integers(100, size=(height, width, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(directory / split / name / f"{k:02}.png")
    return directory


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory that holds a module with networks, the weights of one that is right, and images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_networks.py").write_text(MODULE)
    weights = {"last.weight": torch.tensor([[1.0] * 3, [-1.0] * 3]), "last.bias": torch.tensor([-1.5, 1.5])}
    torch.save(weights, tmp_path / "right.pt")
    torch.save({"epoch": 3, "state_dict": weights}, tmp_path / "wrapped.pt")
    torch.save({"last.weight": weights["last.weight"]}, tmp_path / "short.pt")
    torch.save({**weights, "first.bias": torch.zeros(3)}, tmp_path / "long.pt")
    torch.save({**weights, "last.weight": torch.zeros(5, 3)}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    tones(tmp_path / "data")
    return tmp_path


ASKED = ("export", "single", "--network", "my_networks:make", "--data", "data", "--as", "tones", "--out", "models")


def test_a_network_of_ones_own_becomes_a_single_and_a_coded_model(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is listed with the images' size and classes, measured, and its file gives what the network gives."""
    assert collagebench(*ASKED, "--checkpoint", "right.pt", "--mean", 0.5, 0.5, 0.5, "--std", 0.2, 0.25, 0.5) == 0
    shown = capsys.readouterr().out
    assert "of 40 test images" in shown
    single, coded = (zoo.find(zoo.load(own / "models"), role) for role in ("single", "coded"))
    assert (single.name, single.dataset, single.classes) == ("tones-single", "tones", ("bright", "dark"))
    assert (single.input, single.image, single.accuracy, single.parameters) == ((16, 20, 3), (16, 20, 3), 1.0, 8)
    assert (single.dtype, coded.dtype, coded.accuracy) == ("uint8", "float32", 1.0)
    assert single.recipe["network"] == "my_networks:make"
    assert single.recipe["checkpoint"] == hashlib.sha256((own / "right.pt").read_bytes()).hexdigest()
    assert single.recipe["std"] == [0.2, 0.25, 0.5]

    import onnxruntime

    session = onnxruntime.InferenceSession(zoo.verified(single), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(256, size=(3, 16, 20, 3), dtype=np.uint8)
    mean = ((pixels.mean((1, 2)) / 255 - 0.5) / [0.2, 0.25, 0.5]).sum(1)
    wanted = np.stack([mean - 1.5, 1.5 - mean], 1)
    assert session.run(None, {"image": pixels})[0] == pytest.approx(wanted, abs=1e-4)
    run = ("--scheme", "none", "--workers", 2, "--requests", 20, "--runs", 1, "--stragglers", "none", "--rate", 50)
    where = ("--dataset", "imagefolder", "--data", "data", "--models", "models", "--out", "run")
    assert collagebench("simulate", *run, *where) in (0, 4)


def test_weights_may_lie_under_the_usual_keys_and_models_be_quantised(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dictionary with a state_dict inside is one, a backup is one model, and --int8 adds another."""
    asked = ("export", "backup", *ASKED[2:], "--checkpoint", "wrapped.pt", "--mean", 0.5, 0.5, 0.5, "--int8")
    assert collagebench(*asked, "--std", 0.2, 0.2, 0.2) == 0
    assert "points from float32" in capsys.readouterr().out
    assert [model.name for model in zoo.load(own / "models")] == ["tones-backup", "tones-backup-int8"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--checkpoint", "short.pt"), 1, "another architecture: it lacks last.bias"),
        (("--checkpoint", "long.pt"), 1, "another architecture: the network has no first.bias"),
        (("--checkpoint", "other.pt"), 1, "another architecture: last.weight is (5, 3) there and (2, 3) in"),
        (("--checkpoint", "list.pt"), 1, "holds no state dict"),
        (("--checkpoint", "bad.pt"), 1, "is damaged"),
        (("--checkpoint", "none.pt"), 1, "cannot be read"),
        ((), 2, "needs its weights: --checkpoint F"),
        (("--checkpoint", "right.pt", "--std", 0, 1, 1), 2, "--std are three numbers above 0"),
        (("--checkpoint", "right.pt", "--crop", 17), 2, "--crop 17 is more than"),
        (("--checkpoint", "right.pt", "--weights", "none"), 2, "--weights are torchvision's"),
        (("--checkpoint", "right.pt", "--torchvision", "resnet18"), 2, "name one network"),
        (("--checkpoint", "right.pt", "--grid", 3), 2, "drop them"),
        (("--checkpoint", "right.pt", "--as", "../up"), 2, "no name for a dataset"),
        (("--checkpoint", "right.pt", "--dataset", "cats"), 2, "unknown dataset 'cats'"),
        (("--checkpoint", "right.pt", "--network", "my_networks"), 2, "write package.module:function"),
        (("--checkpoint", "right.pt", "--network", "no_networks:make"), 2, "cannot be imported"),
        (("--checkpoint", "right.pt", "--network", "my_networks:none"), 2, "cannot be imported"),
        (("--checkpoint", "right.pt", "--network", "my_networks:fails"), 1, "no network today"),
        (("--checkpoint", "right.pt", "--network", "my_networks:number"), 1, "made a int, not a torch.nn.Module"),
        (("--checkpoint", "empty.pt", "--network", "my_networks:blind"), 1, "holds no state dict"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    own: Path, arguments: tuple[object, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights of another network, options that clash, and paths to nothing are named, the first difference first."""
    torch.save({}, own / "empty.pt")
    assert collagebench(*ASKED, *arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (own / "models" / "manifest.json").exists()


def test_answers_that_do_not_fit_are_one_sentence(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More classes than the images have, rows that are none, and no role are refused."""
    torch.save({"last.weight": torch.zeros(3, 3), "last.bias": torch.zeros(3)}, own / "three.pt")
    torch.save({"weight": torch.zeros(2, 3, 1, 1), "bias": torch.zeros(2)}, own / "maps.pt")
    for arguments, code, words in (
        (
            (*ASKED, "--network", "my_networks:three", "--checkpoint", "three.pt"),
            2,
            "answers for 3 classes, data holds 2",
        ),
        ((*ASKED, "--network", "my_networks:maps", "--checkpoint", "maps.pt"), 1, "gives (2, 2, 16, 20), not one row"),
        (("export", *ASKED[2:], "--checkpoint", "right.pt"), 2, "single or backup"),
        (("export", "--crop", 3), 2, "are for --torchvision or --network"),
    ):
        assert collagebench(*arguments) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_a_classifier_of_torchvision_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random weights, saved and loaded again, make the same model; images of mixed sizes are brought to one."""
    monkeypatch.chdir(tmp_path)
    tones(tmp_path / "data", ((20, 16), (40, 64), (33, 33)))
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=2)
    torch.save(network.state_dict(), "mine.pt")
    asked = ("export", "backup", "--torchvision", "squeezenet1_1", "--data", "data", "--as", "tones")
    assert collagebench(*asked, "--checkpoint", "mine.pt", "--size", 40, "--resize", 36, "--crop", 32) == 0
    (model,) = zoo.load(tmp_path / "models")
    assert (model.input, model.recipe["torchvision"], model.recipe["crop"]) == ((40, 40, 3), "squeezenet1_1", 32)
    assert model.recipe["mean"] == [0.485, 0.456, 0.406]
    assert model.accuracy_images == 40

    import onnxruntime

    pixels = np.random.default_rng(0).integers(256, size=(2, 40, 40, 3), dtype=np.uint8)
    before = torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize(36, antialias=True),
            torchvision.transforms.CenterCrop(32),
            torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    with torch.no_grad():
        wanted = network.eval()(before(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)).numpy()
    session = onnxruntime.InferenceSession(zoo.verified(model), providers=["CPUExecutionProvider"])
    assert session.run(None, {"image": pixels})[0] == pytest.approx(wanted, abs=1e-4)
    capsys.readouterr()
    for arguments, code, words in (
        (
            (*asked[:2], "--torchvision", "alexnot", *asked[4:], "--weights", "none"),
            2,
            "no classifier called 'alexnot'",
        ),
        (asked, 2, "say which weights"),
        ((*asked, "--weights", "default", "--checkpoint", "mine.pt"), 2, "twice"),
        ((*asked, "--weights", "none", "--size", 1), 1, "cannot take images of 1x1 pixels"),
    ):
        assert collagebench(*arguments) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_preprocessing_is_that_of_torchvision_for_sides_that_do_not_divide() -> None:
    """The shorter side gets the asked pixels, the longer one in proportion, rounded down, and the middle is cut out."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(256, size=(2, 37, 53, 3), dtype=np.uint8))
    before = torchvision.transforms.Compose(
        [torchvision.transforms.Resize(23, antialias=True), torchvision.transforms.CenterCrop(18)]
    )
    found = Foreign(torch.nn.Identity(), Preprocessing((37, 53), resize=23, crop=18))(pixels)
    assert torch.allclose(found, before(pixels.permute(0, 3, 1, 2) / 255), atol=1e-6)


def test_only_the_logits_of_the_images_classes_are_picked() -> None:
    """A network that knows more classes answers for those that are asked about, in their order."""
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    pixels = torch.tensor([[[[10, 20, 30]]]], dtype=torch.uint8)
    assert (255 * Foreign(network, Preprocessing((1, 1)), [2, 0])(pixels)).tolist() == [pytest.approx([30, 10])]


def test_default_weights_bring_their_preprocessing_and_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 1000 classes those that the folders name are picked; folders that it does not know are refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    tones(tmp_path / "data")
    asked = ("export", "backup", "--torchvision", "squeezenet1_1", "--weights", "default", "--data", "data")
    assert collagebench(*asked) == 1
    said = capsys.readouterr().err
    assert "the weights of squeezenet1_1 cannot be had from https://" in said
    assert said.count("\n") == 1

    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    torch.manual_seed(0)
    there = tmp_path / "torch" / "hub" / "checkpoints"
    there.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), there / weights.url.rpartition("/")[2])
    assert collagebench(*asked) == 2
    said = capsys.readouterr().err
    assert "squeezenet1_1 answers for 1000 classes, data holds 2 (bright, dark)" in said
    for split in ("train", "test"):
        (tmp_path / "data" / split / "bright").rename(tmp_path / "data" / split / "goldfish")
        (tmp_path / "data" / split / "dark").rename(tmp_path / "data" / split / "tench")
    assert collagebench(*asked) == 0
    (model,) = zoo.load(tmp_path / "models")
    assert (model.classes, model.input, model.recipe["crop"]) == (("goldfish", "tench"), (256, 256, 3), 224)
    assert model.recipe["weights"] == str(weights)

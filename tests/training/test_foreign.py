"""Classifiers that were not trained here are exported with their own preprocessing, or refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command_line import exit_code
from PIL import Image
from tones import tones

torch = pytest.importorskip("torch", reason="needs the train extra")
torchvision = pytest.importorskip("torchvision", reason="needs the train extra")
pytest.importorskip("onnxscript", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench import zoo  # noqa: E402
from collagebench.errors import ModelError  # noqa: E402
from collagebench.models import cost, onnx_export  # noqa: E402
from collagebench.models.foreign import Borrowed, Foreign, Preprocessing, from_path, from_torchvision  # noqa: E402
from collagebench.models.weights import fill  # noqa: E402
from collagebench.training import checkpoint as checkpoints  # noqa: E402
from collagebench.training import foreign  # noqa: E402
from collagebench.training.loop import train  # noqa: E402
from collagebench.training.recipe import Recipe  # noqa: E402
from collagebench.workload.imagefolder import ImageFolder  # noqa: E402

MODULE = """
import random
import sys
from collections import namedtuple

import numpy as np
import torch
from torch import nn

Both = namedtuple("Both", ["logits", "aux_logits"])


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


class Uncertain(nn.Module):
    # Small, with dropout, and with a second answer while it is trained.
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        logits = self.last(self.body(x).mean((2, 3)))
        return Both(logits, logits) if self.training else logits


def uncertain():
    return Uncertain()


class Twice(Brightness):
    # Gives both answers as a tuple while it is trained.
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


def twice():
    return Twice()


class More(Brightness):
    # Has more classes while it is trained.
    def forward(self, x):
        logits = super().forward(x)
        return torch.cat([logits, logits], 1) if self.training else logits


def more():
    return More()


class Lazy(nn.Module):
    # Has a part that is trained and not asked afterwards.
    def __init__(self):
        super().__init__()
        self.last, self.aside = nn.LazyLinear(2), nn.Linear(3, 2)

    def forward(self, x):
        x = x.mean((2, 3))
        return Both(self.last(x), self.aside(x)) if self.training else self.last(x)


def lazy():
    return Lazy()


class Dropping(Brightness):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


def dropping():
    return Dropping()


class Leaving(Brightness):
    # Ends the process, on the way out of a script that it was copied from.
    def __init__(self, trained):
        super().__init__()
        self.trained = trained

    def forward(self, x):
        return sys.exit(0) if self.training is self.trained else super().forward(x)


def leaving():
    return Leaving(False)


def leaving_later():
    print("made")
    return Leaving(True)


class Detached(Brightness):
    # Has the decorator of a script that only infers.
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def detached():
    return Detached()


class Overwriting(Brightness):
    # Overwrites what the gradient of the exponential needs.
    def forward(self, x):
        logits = super().forward(x).exp()
        return logits.mul_(logits.detach() * 0 + 1)


def overwriting():
    return Overwriting()


class Unbegun(nn.Module):
    def __init__(self):
        pass


class Nothing(Brightness):
    def forward(self, x):
        logits = super().forward(x)
        return logits if self.training else 0 * logits / 0


def nothing():
    return Nothing()


class Noisy(Brightness):
    # Draws its noise with Python's and numpy's own generators.
    def forward(self, x):
        return super().forward(x) + (random.random() * np.random.rand() if self.training else 0)


def noisy():
    return Noisy()


class Remembering(Brightness):
    def get_extra_state(self):
        return {"asked": 3}

    def set_extra_state(self, state):
        pass


def remembering():
    return Remembering()


def ends():
    sys.exit(0)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        x = self.last(x.mean((2, 3)))
        return x if x.sum() > 0 else -x


def branching():
    return Branching()


class Looping(Brightness):
    def forward(self, x):
        return torch.stack([self.last(image.mean((1, 2))) for image in x])


def looping():
    return Looping()


class Centred(Brightness):
    # Subtracts the mean of the batch.
    def forward(self, x):
        logits = super().forward(x)
        return logits - logits.mean(0)


def centred():
    return Centred()


def unsettled():
    layers = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten())


class Loud(Brightness):
    def forward(self, x):
        return 1e5 * super().forward(x)


def loud():
    return Loud()


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.first, self.last = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 2)

    def forward(self, x):
        x = self.first(x).flatten(2).transpose(1, 2)
        return self.last(self.attention(x, x, x, need_weights=False)[0].mean(1))


def attentive():
    return Attentive()


class Wrapped(nn.Module):
    # Has a part called network, as ours call what they wrap; sees memory as it lies, and has a number of its own.
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveMaxPool2d(2))
        self.last = nn.Linear(16, 2)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        x = self.network(x)
        return self.scale * self.last(x.view(x.size(0), -1))


def wrapped():
    return Wrapped()


def frozen():
    return Brightness().requires_grad_(False)


def blind():
    return nn.Flatten(1)


def maps():
    return nn.Conv2d(3, 2, 1)


def fails():
    raise ValueError("no network today")


number = lambda: 7
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with a module of networks, weights that fit one of them, others that do not, and images."""
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


TRAINED = ("train", "single", "--dataset", "imagefolder", "--data", "data", "--as", "tones", "--batch", 8)
ASKED = ("export", "single", "--network", "my_networks:make", "--data", "data", "--as", "tones", "--out", "models")


def test_a_network_of_ones_own_becomes_a_single_and_a_coded_model(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's network is listed with the images' size and classes, evaluated, and its file gives the same logits."""
    assert exit_code(*ASKED, "--checkpoint", "right.pt", "--mean", 0.5, 0.5, 0.5, "--std", 0.2, 0.25, 0.5) == 0
    shown = capsys.readouterr().out
    assert "of 40 test images" in shown
    single, coded = (zoo.find(zoo.load(own / "models"), role) for role in ("single", "coded"))
    assert (single.name, single.dataset, single.classes) == ("tones-single", "tones", ("bright", "dark"))
    assert (single.input, single.image, single.accuracy, single.parameters) == ((16, 20, 3), (16, 20, 3), 1.0, 8)
    assert (single.dtype, coded.dtype, coded.accuracy) == ("uint8", "float32", 1.0)
    assert single.recipe["network"] == "my_networks:make"
    assert single.recipe["checkpoint"] == hashlib.sha256((own / "right.pt").read_bytes()).hexdigest()
    assert single.recipe["std"] == [0.2, 0.25, 0.5]

    session = onnxruntime.InferenceSession(zoo.verified(single), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(256, size=(3, 16, 20, 3), dtype=np.uint8)
    mean = ((pixels.mean((1, 2)) / 255 - 0.5) / [0.2, 0.25, 0.5]).sum(1)
    wanted = np.stack([mean - 1.5, 1.5 - mean], 1)
    assert session.run(None, {"image": pixels})[0] == pytest.approx(wanted, abs=1e-4)
    run = ("--scheme", "none", "--workers", 2, "--requests", 20, "--runs", 1, "--stragglers", "none", "--rate", 50)
    where = ("--dataset", "imagefolder", "--data", "data", "--models", "models", "--out", "run")
    assert exit_code("simulate", *run, *where) in (0, 4)


def test_weights_may_lie_under_the_usual_keys_and_models_be_quantised(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights may be a `state_dict` inside a dictionary, a backup is one model, and --int8 adds another."""
    asked = ("export", "backup", *ASKED[2:], "--checkpoint", "wrapped.pt", "--mean", 0.5, 0.5, 0.5, "--int8")
    assert exit_code(*asked, "--std", 0.2, 0.2, 0.2) == 0
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
        (("--checkpoint", "right.pt", "--std", 0, 1, 1), 2, "--std must be three numbers above 0"),
        (("--checkpoint", "right.pt", "--mean", 124, 116, 104), 2, "on a scale of 0 to 1"),
        (("--checkpoint", "right.pt", "--crop", 17), 2, "--crop 17 is larger than"),
        (("--checkpoint", "right.pt", "--crop", 0), 2, "must be numbers of pixels from 1 up"),
        (("--checkpoint", "right.pt", "--weights", "none"), 2, "--weights are torchvision's"),
        (("--checkpoint", "right.pt", "--torchvision", "resnet18"), 2, "name one network"),
        (("--checkpoint", "right.pt", "--grid", 3), 2, "drop them"),
        (("--checkpoint", "right.pt", "--as", "../up"), 2, "is not a valid name for a dataset"),
        (("--checkpoint", "right.pt", "--as", "shapes"), 2, "the name shapes is taken by the bundled dataset"),
        (("--checkpoint", "right.pt", "--dataset", "cats"), 2, "unknown dataset 'cats'"),
        (("--checkpoint", "right.pt", "--network", "my_networks"), 2, "write package.module:function"),
        (
            ("--checkpoint", "right.pt", "--network", "no_networks:make"),
            2,
            "looks in the current directory and in PYTHONPATH",
        ),
        (("--checkpoint", "right.pt", "--network", "my_networks:none"), 2, "cannot be imported"),
        (("--checkpoint", "right.pt", "--network", "my_networks:fails"), 1, "no network today"),
        (("--checkpoint", "right.pt", "--network", "my_networks:ends"), 1, "failed when called without arguments"),
        (("--checkpoint", "right.pt", "--network", "ending:make"), 1, "importing it failed"),
        (("--checkpoint", "right.pt", "--network", "my_networks:number"), 1, "made a int, not a torch.nn.Module"),
        (("--checkpoint", "empty.pt", "--network", "my_networks:blind"), 1, "holds no state dict"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    own: Path, arguments: tuple[object, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights of another network, options that clash, and bad paths are refused in one sentence."""
    torch.save({}, own / "empty.pt")
    (own / "ending.py").write_text("raise SystemExit")
    assert exit_code(*ASKED, *arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (own / "models" / "manifest.json").exists()


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_weights_that_were_saved_in_a_wrapper_are_those_of_the_network(own: Path, before: str) -> None:
    """Prefixes of DistributedDataParallel and torch.compile are dropped from weights, in exports and in --start."""
    weights = torch.load(own / "right.pt", weights_only=True)
    wrapped = {f"{before}{key}": value for key, value in weights.items()}
    torch.save({"epoch": 1, "model_state_dict": wrapped}, own / "wrapper.pt")
    network = from_path("my_networks:make")
    fill(network, own / "wrapper.pt")
    assert torch.equal(network.last.weight, weights["last.weight"])
    asked = (*TRAINED, "--network", "my_networks:make", "--epochs", 1, "--rate", 1e-9, "--weight-decay", 0)
    assert exit_code(*asked, "--start", "wrapper.pt", "--out", "begun") == 0
    begun = checkpoints.load(own / "begun" / "tones-single.pt").network
    assert torch.allclose(begun["network.last.weight"], weights["last.weight"])


def test_a_network_that_was_trained_here_keeps_its_preprocessing(own: Path) -> None:
    """Exported with --network, as a backup, it has the size and preprocessing of its training unless told otherwise."""
    trained = ("--network", "my_networks:make", "--epochs", 1, "--size", 16, "--resize", 8, "--mean", 0.3, 0.3, 0.3)
    assert exit_code(*TRAINED, *trained) == 0
    export = ("export", "backup", *ASKED[2:], "--checkpoint", "models/tones-single.pt")
    for more, resize in (((), 8), (("--resize", 12), 12)):
        assert exit_code(*export, *more) == 0
        backup = zoo.find(zoo.load(own / "models"), "backup")
        assert backup.input == (16, 16, 3)
        assert (backup.recipe["resize"], backup.recipe["mean"]) == (resize, [0.3, 0.3, 0.3])


def test_the_classes_of_a_training_are_those_of_its_export(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint of `train` is refused beside images of other classes, with --network as without it."""
    assert exit_code(*TRAINED, "--network", "my_networks:make", "--epochs", 1) == 0
    for split in ("train", "test"):
        (own / "data" / split / "bright").rename(own / "data" / split / "zebra")
    capsys.readouterr()
    for asked in (ASKED, ("export", "--data", "data")):
        assert exit_code(*asked, "--checkpoint", "models/tones-single.pt") == 2
        said = "models/tones-single.pt knows bright, but data holds zebra; use images of its own classes"
        assert capsys.readouterr().err == f"collagebench: {said}\n"


@pytest.mark.parametrize(
    "damaged",
    [
        {"mean": "abc"},
        {"mean": [1, 2]},
        {"image": [16]},
        {"image": None},
        {"resize": "big"},
        {"std": [0, 1, 1]},
        {"interpolation": "no"},
    ],
)
def test_a_damaged_preprocessing_is_one_sentence(
    own: Path, capsys: pytest.CaptureFixture[str], damaged: dict[str, object]
) -> None:
    """A checkpoint whose size or preprocessing makes no sense is named, and nothing is exported from it."""
    assert exit_code(*TRAINED, "--network", "my_networks:make", "--epochs", 1) == 0
    content = torch.load("models/tones-single.pt", weights_only=True)
    torch.save({**content, "architecture": {**content["architecture"], **damaged}}, "bad.pt")
    capsys.readouterr()
    assert exit_code("export", "backup", *ASKED[2:], "--checkpoint", "bad.pt") == 1
    sentence = "collagebench: checkpoint bad.pt has a size or a preprocessing that makes no sense; train it again\n"
    assert capsys.readouterr().err == sentence


def test_layers_that_are_lazy_are_filled_and_what_is_not_asked_is_not_counted(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network with lazy layers is exported, and only parameters that are in the file are counted.

    The line says how the file was compared with torch.
    """
    network = from_path("my_networks:lazy")
    network(torch.zeros(2, 3, 16, 20))
    torch.save(network.state_dict(), own / "lazy.pt")
    asked = ("export", "backup", *ASKED[2:], "--network", "my_networks:lazy", "--checkpoint", "lazy.pt")
    assert exit_code(*asked) == 0
    assert "from torch on 40 images" in capsys.readouterr().out
    (model,) = zoo.load(own / "models")
    assert model.parameters == 3 * 2 + 2


def test_what_a_network_draws_elsewhere_is_the_seeds_too(own: Path) -> None:
    """Noise from Python's and NumPy's generators is the same in two trainings of one seed."""
    recipe = Recipe("tones", epochs=2, batch=8, rate=0.05)
    architecture = Borrowed((16, 20), classes=2, network="my_networks:noisy")
    images = ImageFolder(own / "data", "train")
    one, other = (train(architecture, recipe, images, own / f"{name}.pt").log for name in ("one", "other"))
    assert [row["loss"] for row in one] == [row["loss"] for row in other]


def test_a_model_that_is_no_better_than_guessing_is_exported_with_a_word(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model worse than guessing, and one that always gives the same class, are exported with a remark each.

    A model that is right has none.
    """
    weights = torch.load(own / "right.pt", weights_only=True)
    torch.save({key: value.flip(0) for key, value in weights.items()}, own / "swapped.pt")
    torch.save({key: torch.zeros_like(value) for key, value in weights.items()}, own / "blank.pt")
    assert exit_code(*ASKED, "--checkpoint", "blank.pt") == 0
    said = capsys.readouterr().out
    assert (
        said.count("; not shown to be better than always giving the most frequent class, which is right in 50.00%") == 1
    )
    for name, asked in (("right.pt", 0), ("swapped.pt", 1)):
        assert exit_code(*ASKED, "--checkpoint", name) == 0
        said = capsys.readouterr().out
        assert (
            said.count("; worse than guessing: are its classes in the order of the sorted folders, bright, dark?\n")
            == asked
        )


def test_a_program_of_torch_is_no_state_dict_in_one_sentence(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """TorchScript is refused as weights and as a checkpoint in one sentence, without torch's own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(from_path("my_networks:make"), torch.zeros(1, 3, 16, 20))
        torch.jit.save(traced, own / "program.pt")
    capfd.readouterr()
    start = ("--network", "my_networks:make", "--start", "program.pt")
    for asked in ((*ASKED, "--checkpoint", "program.pt"), (*TRAINED, *start), ("export", "--checkpoint", "program.pt")):
        done = subprocess.run(
            [sys.executable, "-m", "collagebench", *map(str, asked)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "checkpoint program.pt is damaged" in done.stderr
        assert done.stderr.count("\n") == 1


def test_networks_that_cannot_be_exported_are_one_sentence(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A network that branches on the image, logits that are not finite, and answers that depend on the batch's other
    images are refused in one sentence."""
    torch.save({"last.weight": torch.ones(2, 3), "last.bias": torch.zeros(2)}, own / "some.pt")
    torch.save({"last.weight": torch.full((2, 3), torch.nan), "last.bias": torch.zeros(2)}, own / "nan.pt")
    for network, weights, words in (
        ("branching", "some.pt", "torch cannot export the network ("),
        ("make", "nan.pt", "the network's logits are not all finite"),
        ("centred", "some.pt", "answer for an image depends on the other images of its batch"),
    ):
        assert exit_code(*ASKED, "--network", f"my_networks:{network}", "--checkpoint", weights) == 1
        said = capfd.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert not (own / "models" / "manifest.json").exists()


def test_large_logits_may_be_off_in_proportion(own: Path) -> None:
    """A network whose logits are in the tens of thousands is exported, because the tolerance is relative."""
    assert exit_code(*ASKED, "--network", "my_networks:loud", "--checkpoint", "right.pt") == 0


def test_the_products_of_attention_are_counted(own: Path) -> None:
    """The cost of attention has its four projections and its two matrix products, besides the other layers."""
    network = Foreign(from_path("my_networks:attentive"), Preprocessing((16, 20)))
    attention = 4 * 20 * 8 * 8 + 2 * 20 * 20 * 8
    assert cost.count_macs(network, (16, 20, 3)) == 20 * 8 * 48 + attention + 8 * 2


@pytest.mark.parametrize(("layer", "gates"), [(torch.nn.LSTM, 4), (torch.nn.GRU, 3)])
def test_the_products_of_recurrent_layers_are_counted(layer: type[torch.nn.Module], gates: int) -> None:
    """The cost of an LSTM and of a GRU is that of its matrices at each step, although one kernel may do it all."""

    class Recurrent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = layer(60, 16, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rows(x.permute(0, 2, 3, 1).flatten(2))[0][:, -1]

    network = Foreign(Recurrent(), Preprocessing((16, 20)))
    assert cost.count_macs(network, (16, 20, 3)) == 16 * gates * 16 * (60 + 16)


def test_what_was_quantised_goes_with_the_network_that_it_was_of(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exporting a single again without --int8 keeps its int8 model, and of another network removes it with a word.

    A refused export replaces nothing.
    """
    asked = (*ASKED, "--checkpoint", "right.pt")
    assert exit_code(*asked, "--int8") == 0
    assert exit_code(*asked) == 0
    assert "tones-single-int8" in [model.name for model in zoo.load(own / "models")]
    assert "no longer listed" not in capsys.readouterr().out
    assert exit_code(*asked, "--mean", 0.1, 0.1, 0.1) == 0
    said = "int8.onnx: no longer listed, as it is of another network; add --int8 to quantise this one\n"
    assert said in capsys.readouterr().out
    listed = zoo.load(own / "models")
    assert [model.name for model in listed] == ["tones-coded", "tones-single"]
    assert exit_code(*asked, "--data", "data/test", "--int8") == 2
    assert "is not divided into train/ and test/" in capsys.readouterr().err
    assert zoo.load(own / "models") == listed


def test_files_that_are_no_checkpoints_stop_nothing(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no checkpoint is named, but the checkpoint beside it is exported."""
    assert exit_code(*TRAINED, "--network", "my_networks:make", "--epochs", 1) == 0
    (own / "models" / "mine.pt").write_bytes((own / "right.pt").read_bytes())
    assert exit_code("export", "--data", "data") == 1
    said = capsys.readouterr().err
    assert "mine.pt is not a checkpoint of `collagebench train`" in said
    assert said.count("\n") == 1
    assert [model.name for model in zoo.load(own / "models")] == ["tones-coded", "tones-single"]


def test_a_network_that_fails_when_it_is_trained_says_so(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network that fails on a batch of one image is reported in one sentence."""
    asked = ("--torchvision", "mobilenet_v3_small", "--weights", "none", "--batch", 1, "--epochs", 1)
    assert exit_code(*TRAINED[:-2], *asked) == 1
    said = capsys.readouterr().err
    assert "the network fails at 1 images (Expected more than 1 value per channel" in said
    assert said.count("\n") == 1


def test_a_network_that_ends_the_process_or_prints_is_no_success(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network that calls sys.exit(0) while it is trained is an error, and what it prints as it is made no result."""
    assert exit_code(*TRAINED, "--network", "my_networks:leaving_later", "--epochs", 1) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert set(told.err.splitlines()) == {"made", "collagebench: the network fails at 8 images (SystemExit)"}


def test_answers_that_do_not_fit_are_one_sentence(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other numbers of classes, outputs that are not rows of logits, and a missing role are refused."""
    torch.save({"last.weight": torch.zeros(3, 3), "last.bias": torch.zeros(3)}, own / "three.pt")
    torch.save({"weight": torch.zeros(2, 3, 1, 1), "bias": torch.zeros(2)}, own / "maps.pt")
    for arguments, code, words in (
        (
            (*ASKED, "--network", "my_networks:three", "--checkpoint", "three.pt"),
            2,
            "has 3 classes, but data has 2",
        ),
        ((*ASKED, "--network", "my_networks:maps", "--checkpoint", "maps.pt"), 1, "gives (2, 2, 16, 20), not one row"),
        (("export", *ASKED[2:], "--checkpoint", "right.pt"), 2, "single or backup"),
        (("export", "--crop", 3), 2, "are for --torchvision, --network or --onnx"),
    ):
        assert exit_code(*arguments) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_a_classifier_of_torchvision_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A torchvision classifier is exported with its preprocessing, and images of mixed sizes are brought to one."""
    monkeypatch.chdir(tmp_path)
    tones(tmp_path / "data", ((20, 16), (40, 64), (33, 33)))
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=2)
    torch.save(network.state_dict(), "mine.pt")
    asked = ("export", "backup", "--torchvision", "squeezenet1_1", "--data", "data", "--as", "tones")
    assert exit_code(*asked, "--checkpoint", "mine.pt", "--size", 40, "--resize", 36, "--crop", 32) == 0
    (model,) = zoo.load(tmp_path / "models")
    assert (model.input, model.recipe["torchvision"], model.recipe["crop"]) == ((40, 40, 3), "squeezenet1_1", 32)
    assert model.recipe["mean"] == [0.485, 0.456, 0.406]
    assert model.accuracy_images == 40

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
        (asked, 2, "choose the weights"),
        ((*asked, "--weights", "default", "--checkpoint", "mine.pt"), 2, "both set the weights: give only one of them"),
        ((*asked, "--weights", "none", "--size", 1), 1, "cannot take images of 1x1 pixels"),
    ):
        assert exit_code(*arguments) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


@pytest.mark.parametrize("crop", [18, 16])  # with 2.5 and 3.5 pixels above it
def test_preprocessing_is_that_of_torchvision_for_sides_that_do_not_divide(crop: int) -> None:
    """Resizing and cropping equal torchvision's for sides that do not divide evenly."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(256, size=(2, 37, 53, 3), dtype=np.uint8))
    before = torchvision.transforms.Compose(
        [torchvision.transforms.Resize(23, antialias=True), torchvision.transforms.CenterCrop(crop)]
    )
    found = Foreign(torch.nn.Identity(), Preprocessing((37, 53), resize=23, crop=crop))(pixels)
    assert torch.allclose(found, before(pixels.permute(0, 3, 1, 2) / 255), atol=1e-6)


@pytest.mark.parametrize(("name", "way"), [("efficientnet_b0", "bicubic"), ("resnet18", "bilinear")])
def test_images_are_resized_as_the_weights_expect(monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
    """The preprocessing of torchvision's weights, in torch and in the file, is theirs to within 1.5 grey levels."""
    monkeypatch.setattr(torchvision.models, "get_model", lambda *_, **__: torch.nn.Identity())
    network, before, *_ = from_torchvision(name, "default", 2)
    assert before["interpolation"] == way
    ours = Foreign(torch.nn.Sequential(network, torch.nn.Flatten()), Preprocessing((300, 260), **before))
    pixels = np.random.default_rng(0).integers(0, 256, size=(2, 300, 260, 3), dtype=np.uint8)
    pixels[:, 100:200] = 255  # with a sharp edge
    theirs = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    wanted = torch.stack([theirs(Image.fromarray(one)) for one in pixels]).flatten(1).numpy()
    content = onnx_export.describe(onnx_export.to_onnx(ours), {})
    for found in (ours(torch.from_numpy(pixels)).numpy(), onnx_export.answers(content, pixels)):
        assert np.abs(found - wanted).max() < 1.5 / 255 / 0.224


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_logits_of_another_precision_become_float32(dtype: torch.dtype) -> None:
    """A network whose logits are float64 or float16 is exported with float32 logits, as workers expect them."""

    class Cast(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).to(dtype)

    content = onnx_export.describe(onnx_export.to_onnx(Foreign(Cast(), Preprocessing((8, 8)))), {})
    (logits,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).get_outputs()
    assert logits.type == "tensor(float)"


def test_only_the_logits_of_the_images_classes_are_picked() -> None:
    """Of a network with more classes, the logits of the images' classes are picked, in their order."""
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    pixels = torch.tensor([[[[10, 20, 30]]]], dtype=torch.uint8)
    assert (255 * Foreign(network, Preprocessing((1, 1)), [2, 0])(pixels)).tolist() == [pytest.approx([30, 10])]


def test_default_weights_bring_their_preprocessing_and_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 1000 classes those that the folders name are picked; unknown folders and a failed download are refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    tones(tmp_path / "data")
    asked = ("export", "backup", "--torchvision", "squeezenet1_1", "--weights", "default", "--data", "data")
    assert exit_code(*asked) == 1
    said = capsys.readouterr().err
    assert "the weights of squeezenet1_1 cannot be obtained from https://" in said
    assert said.count("\n") == 1

    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    torch.manual_seed(0)
    there = tmp_path / "torch" / "hub" / "checkpoints"
    there.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), there / weights.url.rpartition("/")[2])
    assert exit_code(*asked) == 2
    said = capsys.readouterr().err
    assert "squeezenet1_1 has 1000 classes, but data has 2 (bright, dark)" in said
    for split in ("train", "test"):
        (tmp_path / "data" / split / "bright").rename(tmp_path / "data" / split / "goldfish")
        (tmp_path / "data" / split / "dark").rename(tmp_path / "data" / split / "tench")
    assert exit_code(*asked) == 0
    (model,) = zoo.load(tmp_path / "models")
    assert (model.classes, model.input, model.recipe["crop"]) == (("goldfish", "tench"), (256, 256, 3), 224)
    assert model.recipe["weights"] == str(weights)


def test_a_network_of_ones_own_is_trained_and_exported(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user's network is trained and exported, its file equals its checkpoint, and the manifest says its origin."""
    asked = (*TRAINED, "--network", "my_networks:uncertain", "--mean", 0.5, 0.5, 0.5, "--epochs", 40, "--every", 20)
    assert exit_code(*asked, "--rate", 0.1) == 0
    said = "40 epochs, 100.0% of the 1 held-out training image, learnt from labels alone\n"
    assert capsys.readouterr().out.endswith(said)
    assert exit_code("export", "--data", "data", "--int8") == 0
    single, coded = (zoo.find(zoo.load(own / "models"), role) for role in ("single", "coded"))
    assert (single.input, single.accuracy, single.accuracy_images) == ((16, 20, 3), 1.0, 40)
    assert (coded.dtype, coded.accuracy) == ("float32", 1.0)
    assert (single.recipe["network"], single.recipe["mean"], single.recipe["epoch"]) == (
        "my_networks:uncertain", [0.5, 0.5, 0.5], 40,
    )  # fmt: skip
    again = checkpoints.load(own / "models" / "tones-single.pt").restored()
    pixels = np.random.default_rng(0).integers(256, size=(3, 16, 20, 3), dtype=np.uint8)
    with torch.no_grad():
        wanted = again(torch.from_numpy(pixels)).numpy()
    session = onnxruntime.InferenceSession(zoo.verified(single), providers=["CPUExecutionProvider"])
    assert session.run(None, {"image": pixels})[0] == pytest.approx(wanted, abs=1e-4)


def test_others_learn_from_a_network_that_was_trained_so(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A collage and a parity learn from a user's network as their single, and are exported beside it."""
    network = ("--network", "my_networks:uncertain", "--size", 16)
    assert exit_code(*TRAINED, *network, "--epochs", 2) == 0
    layers = ("--size", 16, "--stem", 4, "--widths", 4, "--depths", 0, "--epochs", 1)
    sees = ("--teacher-sees", "inputs")
    assert exit_code("train", "collage", *TRAINED[2:], *layers, "--grid", 2, *sees) == 0
    assert exit_code("train", "parity", *TRAINED[2:], *layers) == 0
    assert exit_code("export", "--data", "data") == 0
    digest = hashlib.sha256((own / "models" / "tones-single.pt").read_bytes()).hexdigest()
    listed = {model.role: model for model in zoo.load(own / "models")}
    assert set(listed) == {"single", "coded", "collage", "parity"}
    assert {listed[role].recipe["teacher"] for role in ("collage", "parity")} == {digest}


def test_a_single_that_is_measured_on_other_images_keeps_its_parities(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exported again with other test images, an external single keeps its parities; with another preprocessing, not.

    That its file changed with its accuracy does not matter.
    """
    asked = (*ASKED, "--checkpoint", "right.pt", "--size", 16)
    layers = ("--size", 16, "--stem", 4, "--widths", 4, "--depths", 0, "--epochs", 1)
    model = own / "models" / "tones-single.onnx"
    assert exit_code(*asked) == 0
    before = model.read_bytes()
    assert exit_code("train", "parity", *TRAINED[2:], *layers, "--single", model) == 0
    (own / "data" / "test" / "dark" / "00.png").unlink()
    assert exit_code("export", "parity", "--data", "data") == 0
    for more, times in (((), 1), (("--int8",), 1), (("--mean", 0.1, 0.1, 0.1), 0)):
        capsys.readouterr()
        assert exit_code(*asked, *more) == 0
        assert ("it was trained with another single" in capsys.readouterr().out) == (not times)
        assert [one.role for one in zoo.load(own / "models")].count("parity") == times
        assert model.read_bytes() != before


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_network_with_dropout_resumes_bit_for_bit(own: Path, ema: float) -> None:
    """A training with dropout that is interrupted and resumed ends in the same weights as one that was not."""
    architecture = Borrowed((16, 20), classes=2, network="my_networks:uncertain", std=(0.5, 0.5, 0.5))
    recipe = Recipe("tones", epochs=4, batch=8, rate=0.05, ema=ema)
    images = ImageFolder(own / "data", "train")

    def stop(done: int, total: int, line: str) -> None:
        if line.startswith("epoch 3"):
            raise KeyboardInterrupt

    whole = train(architecture, recipe, images, own / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        train(architecture, recipe, images, own / "broken.pt", report=stop)
    begun = checkpoints.load(own / "broken.pt")
    assert (begun.epoch, begun.architecture) == (2, architecture)
    resumed = train(architecture, recipe, images, own / "broken.pt", resume=begun)
    assert all(torch.equal(whole.network[key], resumed.network[key]) for key in whole.network)


def test_whatever_a_network_is_made_of_is_begun_with_and_trained(own: Path) -> None:
    """A network with a part called `network`, a view and a scalar parameter can be started from weights and trained.

    Its checkpoint can be exported.
    """
    weights = {
        key: torch.full_like(value, 0.25) for key, value in from_path("my_networks:wrapped").state_dict().items()
    }
    torch.save(weights, own / "quarter.pt")
    asked = (*TRAINED, "--network", "my_networks:wrapped", "--epochs", 1, "--start", "quarter.pt")
    assert exit_code(*asked, "--rate", 1e-9, "--weight-decay", 0, "--out", "kept") == 0
    kept = checkpoints.load(own / "kept" / "tones-single.pt").network
    assert all(torch.allclose(value, torch.tensor(0.25)) for value in kept.values())
    assert exit_code(*asked, "--rate", 0.1, "--out", "moved") == 0
    moved = checkpoints.load(own / "moved" / "tones-single.pt").network
    assert all(not torch.allclose(value, torch.tensor(0.25), atol=1e-3) for value in moved.values())
    export = ("export", "backup", *ASKED[2:], "--network", "my_networks:wrapped", "--checkpoint")
    assert exit_code(*export, "moved/tones-single.pt") == 0


def test_torchvisions_weights_are_begun_with_where_they_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Torchvision's weights are used except for the last layer, with their preprocessing unless --resize changes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    tones(tmp_path / "data", ((40, 40),))
    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    torch.manual_seed(0)
    there = tmp_path / "torch" / "hub" / "checkpoints"
    there.mkdir(parents=True, exist_ok=True)
    known = torchvision.models.squeezenet1_1().state_dict()
    torch.save(known, there / weights.url.rpartition("/")[2])
    asked = (*TRAINED, "--torchvision", "squeezenet1_1", "--weights", "default", "--epochs", 1, "--rate", 1e-8)
    assert exit_code(*asked, "--weight-decay", 0) == 0
    trained = checkpoints.load(tmp_path / "models" / "tones-single.pt")
    assert trained.recipe.start == str(weights)
    assert (trained.architecture.resize, trained.architecture.std) == (224, (0.229, 0.224, 0.225))
    assert torch.allclose(trained.network["network.features.0.weight"], known["features.0.weight"], atol=1e-6)
    assert trained.network["network.classifier.1.weight"].shape == (2, 512, 1, 1)
    assert exit_code(*asked, "--resize", 32, "--out", "smaller") == 0
    assert checkpoints.load(tmp_path / "smaller" / "tones-single.pt").architecture.resize == 32
    capsys.readouterr()
    assert exit_code(*asked, "--resize", 32, "--out", "smaller", "--resume", "--mean", 0, 0, 0) == 2
    assert "was begun with mean" in capsys.readouterr().err


def test_weights_of_a_file_are_begun_with_where_they_fit(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--start takes a state dict or a checkpoint, and refuses a file of which no weights fit."""
    asked = (*TRAINED, "--network", "my_networks:make", "--epochs", 1, "--rate", 1e-9, "--weight-decay", 0)
    assert exit_code(*asked, "--start", "right.pt", "--out", "one") == 0
    one = checkpoints.load(own / "one" / "tones-single.pt")
    assert one.network["network.last.weight"].tolist() == [pytest.approx([1.0] * 3), pytest.approx([-1.0] * 3)]
    assert one.recipe.start == hashlib.sha256((own / "right.pt").read_bytes()).hexdigest()
    assert exit_code(*asked, "--start", "one/tones-single.pt", "--out", "two") == 0
    two = checkpoints.load(own / "two" / "tones-single.pt")
    assert torch.allclose(one.network["network.last.weight"], two.network["network.last.weight"])
    capsys.readouterr()
    assert exit_code(*asked, "--start", "other.pt", "--out", "three") == 2
    assert "no weights of --start fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--network", "my_networks:three"), 2, "has 3 classes, but the images have 2"),
        (("--network", "my_networks:fails"), 1, "no network today"),
        (("--network", "my_networks:maps"), 1, "not one row of logits"),
        (("--network", "my_networks:branching"), 1, "torch cannot export the network ("),
        (("--network", "my_networks:looping"), 1, "it must take any number of images"),
        (("--network", "my_networks:twice"), 1, "gives a tuple for 8 images; it must give one row of 2 logits for"),
        (("--network", "my_networks:more"), 1, "in training mode the network gives (8, 4) for 8 images"),
        (("--network", "my_networks:dropping"), 1, "in eval mode it must not draw random numbers"),
        (("--network", "my_networks:nothing"), 1, "the network's logits are not all finite"),
        (("--network", "my_networks:leaving"), 1, "cannot take images of 16x20 pixels (SystemExit)"),
        (
            ("--network", "my_networks:detached"),
            1,
            "logits have no gradient: its forward must use neither torch.no_grad",
        ),
        (("--network", "my_networks:overwriting"), 1, "torch cannot derive the network's gradients (one of the variab"),
        (("--network", "my_networks:Unbegun"), 1, "its __init__ must begin with super().__init__()"),
        (("--network", "my_networks:centred"), 1, "depends on the other images of its batch"),
        (("--network", "my_networks:unsettled"), 1, "depends on the other images of its batch"),
        (("--network", "my_networks:remembering"), 1, "without get_extra_state"),
        (("--network", "my_networks:frozen"), 2, "has no trainable weights"),
        (("--network", "my_networks:make", "--weights", "none"), 2, "--weights are torchvision's"),
        (("--network", "my_networks:make", "--torchvision", "resnet18"), 2, "name one network"),
        (("--network", "my_networks:make", "--stem", 8), 2, "are for the built-in network"),
        (("--network", "my_networks:make", "--muon", 0.1), 2, "are for the built-in network"),
        (("--network", "my_networks:make", "--grid", 2), 2, "for roles other than single"),
        (("--network", "my_networks:make", "--start", "none.pt"), 1, "cannot be read"),
        (("--network", "my_networks:make", "--resize", 0), 2, "--resize"),
        (("--torchvision", "resnet18"), 2, "choose the weights to start with"),
        (("--torchvision", "resnet18", "--weights", "none", "--start", "right.pt"), 2, "give only one of them"),
        (("--torchvision", "alexnot", "--weights", "none"), 2, "no classifier called 'alexnot'"),
        (("--mean", 0, 0, 0), 2, "are for --torchvision or --network"),
    ],
)
def test_a_network_that_cannot_be_trained_is_one_sentence(
    own: Path, arguments: tuple[object, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network or option that cannot be used is refused in one sentence before anything is written."""
    assert exit_code(*TRAINED, *arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not list((own / "models").glob("*.pt"))


def test_a_training_of_other_layers_is_not_gone_on_with(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A training of the built-in network cannot be resumed with a user's network, nor the other way round."""
    kinds = {"ours": ("--widths", 4, "--depths", 0, "--stem", 4), "theirs": ("--network", "my_networks:make")}
    for name, options in kinds.items():
        assert exit_code(*TRAINED, *options, "--epochs", 1, "--out", name) == 0
    for name, other in (("ours", "theirs"), ("theirs", "ours")):
        assert exit_code(*TRAINED, *kinds[other], "--epochs", 1, "--out", name, "--resume") == 2
        assert "name --torchvision, --network or neither as before\n" in capsys.readouterr().err


def test_weights_that_undo_the_usual_colours_are_told_so(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GoogLeNet's own change of colours is taken over, so that its layers see the same colours when trained further."""
    network = torchvision.models.googlenet(init_weights=False)
    network.transform_input = True
    its = {"crop": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "interpolation": "bilinear"}
    monkeypatch.setattr(foreign, "from_torchvision", lambda *_: (network, its, (), "some"))
    images = ImageFolder(own / "data")
    architecture, weights, _ = foreign.borrow("single", images, "googlenet", None, "default", None, {})
    pixels = torch.from_numpy(np.random.default_rng(0).integers(256, size=(2, 96, 96, 3), dtype=np.uint8))
    ours = Foreign(torchvision.models.googlenet(init_weights=False), replace(architecture, image=(96, 96), resize=None))
    ours.load_state_dict(weights)
    known = Foreign(network, Preprocessing((96, 96), mean=its["mean"], std=its["std"]))
    seen: list[torch.Tensor] = []
    for one in (known, ours):
        one.network.conv1.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
        with torch.no_grad():
            one.eval()(pixels)
    assert torch.allclose(*seen, atol=1e-5)
    assert float(seen[0].std()) > 0.1


def test_other_roles_have_layers_of_their_own(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A collage with a user's network is refused."""
    assert exit_code("train", "collage", *TRAINED[2:], "--network", "my_networks:make") == 2
    assert "a collage has its own layers" in capsys.readouterr().err


def test_a_checkpoint_whose_network_is_not_here_says_so(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exporting a checkpoint whose module cannot be imported says which module it needs."""
    (own / "here.py").write_text(MODULE)
    assert exit_code(*TRAINED, "--network", "here:make", "--epochs", 1) == 0
    (own / "here.py").unlink()
    sys.modules.pop("here")
    capsys.readouterr()
    assert exit_code("export", "--data", "data") == 1
    said = capsys.readouterr().err
    assert "is of here:make, which cannot be made here" in said
    assert said.count("\n") == 1


def test_a_damaged_checkpoint_of_a_network_of_ones_own_is_called_so(own: Path) -> None:
    """Where a value of such a checkpoint is wrong, the error does not say that its network cannot be made."""
    assert exit_code(*TRAINED, "--network", "my_networks:make", "--epochs", 1, "--out", "mine") == 0
    [path] = (own / "mine").glob("*.pt")
    torch.save({**torch.load(path, weights_only=True), "optimizer": "x"}, path)
    with pytest.raises(ModelError, match=r"\.pt does not fit this version's networks \(a value or a weight is missing"):
        checkpoints.load(path)

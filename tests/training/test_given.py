"""Classifiers that are given as ONNX files become singles and backups, with the same answers, or are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import exit_code

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnxscript", reason="needs the train extra")
pytestmark = pytest.mark.train

import onnx  # noqa: E402
from idx import idx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from PIL import Image  # noqa: E402
from tones import tones  # noqa: E402

from collagebench import zoo  # noqa: E402
from collagebench.errors import ModelError  # noqa: E402
from collagebench.models import cost, onnx_export  # noqa: E402
from collagebench.models.foreign import Foreign, Preprocessing, logits_of  # noqa: E402
from collagebench.models.given import Given  # noqa: E402

RNG = np.random.default_rng(0)
FILTERS = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
LAST = RNG.normal(size=(4, 2)).astype(np.float32)
BEFORE = Preprocessing((16, 20), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.5))
PIXELS = RNG.integers(256, size=(3, 16, 20, 3), dtype=np.uint8)


def saved(
    path: Path,
    nodes: Sequence[Any],
    weights: dict[str, np.ndarray],
    shape: Sequence[Any],
    kind: int = TensorProto.FLOAT,
    opset: int = 18,
    old: bool = False,
) -> Path:
    """Write a network from `x` to two numbers, `y`; if `old`, its weights are inputs too, as they once had to be."""
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    if old:
        inputs += [helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)) for one in held]
    output = helper.make_tensor_value_info(
        "y", kind if kind == TensorProto.FLOAT16 else TensorProto.FLOAT, [shape[0], 2]
    )
    graph = helper.make_graph(nodes, "network", inputs, [output], held)
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=3 if old else 8), path)
    return path


def network(
    path: Path,
    last: bool = False,
    half: bool = False,
    softmax: bool = False,
    batch: int | str = "batch",
    rest: int = 4,
    opset: int = 18,
    old: bool = False,
) -> Path:
    """Write a small convolutional classifier of images of 16x20 pixels; `rest` ends the shape before its last layer."""
    number = np.float16 if half else np.float32
    nodes = [helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2])] if last else []
    nodes += [
        helper.make_node("Conv", ["first" if last else "x", "filters", "bias"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["mean"]),
        helper.make_node("Reshape", ["mean", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["scores" if softmax else "y"]),
    ]
    nodes += [helper.make_node("Softmax", ["scores"], ["y"], axis=1)] if softmax else []
    weights = {"filters": FILTERS, "bias": np.array([0.1, 0, -0.1, 0.2]), "last": LAST}
    weights = {name: value.astype(number) for name, value in weights.items()}
    weights["shape"] = np.array([1 if batch == 1 else 0, rest])
    shape = [batch, 16, 20, 3] if last else [batch, 3, 16, 20]
    return saved(path, nodes, weights, shape, TensorProto.FLOAT16 if half else TensorProto.FLOAT, opset, old)


def wanted() -> Any:
    """Return the logits of that classifier for PIXELS, as torch computes them."""
    x = torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(BEFORE.mean).view(3, 1, 1)) / torch.tensor(BEFORE.std).view(3, 1, 1)
    bias = torch.tensor([0.1, 0, -0.1, 0.2])
    x = torch.nn.functional.conv2d(x, torch.from_numpy(FILTERS), bias, padding=1)
    return x.relu().mean((2, 3)) @ torch.from_numpy(LAST)


@pytest.mark.parametrize(
    ("told", "within"),
    [
        ({}, 1e-4),
        ({"last": True}, 1e-4),
        ({"half": True}, 0.02),
        ({"softmax": True}, 1e-4),
        ({"batch": 1}, 1e-4),
        ({"batch": 1, "rest": -1}, 1e-4),
        ({"batch": 1, "opset": 9, "old": True, "softmax": True}, 1e-4),
        ({"last": True, "half": True, "softmax": True, "batch": 1, "opset": 13}, 0.02),
        ({"opset": 21}, 1e-4),
    ],
    ids=str,
)
def test_a_file_gives_the_logits_of_its_network(tmp_path: Path, told: dict[str, Any], within: float) -> None:
    """Whatever its layout, numbers, batch size and opset: from pixels, in any batch, come its logits (of a softmax, up
    to a constant), and its products and weights are counted."""
    given = Given(network(tmp_path / "n.onnx", **told))
    assert (given.size, logits_of(given, BEFORE)) == ((16, 20), 2)
    ours = Foreign(given, BEFORE).eval()
    content = onnx_export.describe(onnx_export.to_onnx(ours), {})
    assert onnx_export.check(ours, content, PIXELS) < 1e-3
    right = wanted().log_softmax(1) if told.get("softmax") else wanted()
    for batch in (1, 3):
        assert onnx_export.answers(content, PIXELS, batch) == pytest.approx(right.numpy(), abs=within)
    assert cost.count_macs(ours, BEFORE.input) == 16 * 20 * 4 * 27 + 4 * 2
    assert cost.count_parameters(ours, BEFORE.input) == 4 * 27 + 4 + 4 * 2


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(
    "kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.UINT8], ids=TensorProto.DataType.Name
)
def test_a_file_may_take_pixels_and_one_channel(tmp_path: Path, kind: int, channels: int, last: bool) -> None:
    """A file that takes uint8 is given the very pixels, and one with a single channel their greyscale image."""
    nodes = [
        helper.make_node("Cast", ["x"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["number"], ["first"], perm=[0, 3, 1, 2] if last else [0, 1, 2, 3]),
        helper.make_node("Conv", ["first", "filters"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("ReduceMean", ["relu", "sides"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["y"]),
    ]
    filters = FILTERS[:, :channels]
    shape = ["batch", 16, 20, channels] if last else ["batch", channels, 16, 20]
    saved(tmp_path / "n.onnx", nodes, {"filters": filters, "sides": np.array([2, 3]), "last": LAST}, shape, kind)
    images = PIXELS
    pixels = images.astype(np.float64)
    if channels == 1:
        pixels = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., np.newaxis]
        images = np.repeat(pixels, 3, axis=3)
    scale = 1 if kind == TensorProto.UINT8 else 1 / 255
    x = torch.from_numpy(pixels * scale).double().permute(0, 3, 1, 2)
    right = torch.nn.functional.conv2d(x, torch.from_numpy(filters).double()).relu().mean((2, 3)).numpy() @ LAST
    ours = Foreign(Given(tmp_path / "n.onnx"), Preprocessing((16, 20))).eval()
    content = onnx_export.describe(onnx_export.to_onnx(ours), {})
    assert onnx_export.check(ours, content, images) < 1e-3
    assert onnx_export.answers(content, images) == pytest.approx(right, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("last", "shape"),
    [
        (False, ["batch", "channels", "height", "width"]),
        (False, ["batch", "channels", 16, 20]),
        (True, ["batch", 16, 20, "channels"]),
    ],
)
def test_a_free_number_of_channels_is_three(tmp_path: Path, last: bool, shape: list[Any]) -> None:
    """A file whose channels are not numbered, as in the exports of Hugging Face, is given three, where it has them."""
    path = network(tmp_path / "n.onnx", last)
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    onnx.save(model, path)
    given = Given(path)
    assert given.size == ((16, 20) if 16 in shape else None)
    ours = Foreign(given, BEFORE).eval()
    content = onnx_export.describe(onnx_export.to_onnx(ours), {})
    assert onnx_export.answers(content, PIXELS) == pytest.approx(wanted().numpy(), abs=1e-4)


def test_colours_become_the_greyscale_image_of_pillow(tmp_path: Path) -> None:
    """What a file with one channel of uint8 is given of a coloured image is at most one level from Pillow's."""
    nodes = [
        helper.make_node("Cast", ["x"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["number"], ["flat"]),
        helper.make_node("Slice", ["flat", "from", "to", "axis"], ["y"]),
    ]
    weights = {"from": np.array([0]), "to": np.array([2]), "axis": np.array([1])}
    saved(tmp_path / "n.onnx", nodes, weights, ["batch", 1, 16, 20], TensorProto.UINT8)
    ours = Foreign(Given(tmp_path / "n.onnx"), Preprocessing((16, 20))).eval()
    got = onnx_export.answers(onnx_export.describe(onnx_export.to_onnx(ours), {}), PIXELS)
    right = np.stack([np.asarray(Image.fromarray(image).convert("L"), np.float32)[0, :2] for image in PIXELS])
    assert np.abs(got - right).max() <= 1
    assert got == pytest.approx(np.round(PIXELS[:, 0, :2] @ np.array([0.299, 0.587, 0.114])), abs=0)


def test_what_torch_exports_gives_the_same_logits(tmp_path: Path) -> None:
    """A network that torch exported with its defaults, for one image, gives the same logits as the network itself."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3, 2), torch.nn.BatchNorm2d(8), torch.nn.SiLU(), torch.nn.AdaptiveAvgPool2d(1)]
    made = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(8, 5)).eval()
    torch.onnx.export(made, (torch.zeros(1, 3, 16, 20),), tmp_path / "n.onnx", verbose=False)
    ours = Foreign(Given(tmp_path / "n.onnx"), BEFORE).eval()
    content = onnx_export.describe(onnx_export.to_onnx(ours), {})
    with torch.no_grad():
        right = Foreign(made, BEFORE).eval()(torch.from_numpy(PIXELS)).numpy()
    assert onnx_export.answers(content, PIXELS) == pytest.approx(right, abs=1e-4)
    assert cost.count_macs(ours, BEFORE.input) == cost.count_macs(Foreign(made, BEFORE), BEFORE.input)
    assert b"stack_trace" in (tmp_path / "n.onnx").read_bytes()
    assert b"stack_trace" not in content


def brightness(path: Path, size: Sequence[Any] = ("height", "width"), classes: int = 2, kind: int = TensorProto.FLOAT):
    """Write a network that tells bright from dark images by their mean."""
    weights = np.zeros((3, classes), np.float32)
    weights[:, :2] = [1, -1]
    nodes = [
        helper.make_node("Cast", ["x"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["cast", "middle"], ["centred"]),
        helper.make_node("GlobalAveragePool", ["centred"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["y"]),
    ]
    middle = np.array(127.5 if kind == TensorProto.UINT8 else 0, np.float32)
    return saved(path, nodes, {"last": weights, "middle": middle}, ["batch", 3, *size], kind)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with images of bright and dark tones."""
    monkeypatch.chdir(tmp_path)
    tones(tmp_path / "data")
    return tmp_path


ASKED = ("export", "single", "--onnx", "n.onnx", "--data", "data", "--as", "tones", "--out", "models")
COLOURS = ("--mean", 0.5, 0.5, 0.5, "--std", 0.2, 0.2, 0.2)


@pytest.mark.parametrize(("size", "found"), [(("height", "width"), None), ((24, 32), (24, 32, 3))])
def test_a_file_becomes_a_single_and_a_coded_model(here: Path, size: Sequence[Any], found: Any) -> None:
    """A file is listed with the images' size, or its own if it takes only that, evaluated, quantised and run."""
    brightness(here / "n.onnx", size)
    assert exit_code(*ASKED, *COLOURS, "--int8") == 0
    single, coded = (zoo.find(zoo.load(here / "models"), role) for role in ("single", "coded"))
    assert (single.accuracy, coded.accuracy, single.parameters, single.macs) == (1.0, 1.0, 6 + 1, 6)
    assert single.classes == ("bright", "dark")
    assert found is None or single.input == found
    assert single.recipe["onnx"] == "n.onnx"
    assert len(single.recipe["checkpoint"]) == 64
    assert {model.name for model in zoo.load(here / "models")} >= {"tones-single-int8"}
    run = ("--scheme", "none,approxifer", "--workers", 4, "--coded-k", 2, "--requests", 20, "--runs", 1, "--rate", 50)
    where = ("--dataset", "imagefolder", "--data", "data", "--models", "models", "--out", "run")
    assert exit_code("simulate", *run, "--stragglers", "none", *where) in (0, 4)


def labelled(path: Path, order: Sequence[int], labels: Sequence[str]) -> None:
    """Put the logits of a network that tells bright from dark in another order, and write their labels beside it."""
    model = onnx.load(path)
    (last,) = (one for one in model.graph.initializer if one.name == "last")
    last.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(last)[:, order]), "last"))
    onnx.save(model, path)
    path.with_name("config.json").write_text(json.dumps({"id2label": dict(enumerate(labels))}))


def processor(directory: Path, size: int, **more: Any) -> None:
    """Write the file of an image processor."""
    said = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2], "size": size, "resample": 3}
    written = {"image_processor_type": "ViTImageProcessor", **said, **more}
    (directory / "preprocessor_config.json").write_text(json.dumps(written))


NO_NAMES = "config.json does not name the classes as the folders: logits of n.onnx are taken in their order"


@pytest.mark.parametrize(
    ("order", "labels", "said"),
    [
        ((0, 1), ("bright", "dark"), ""),
        ((1, 0), ("dark", "bright"), ""),
        ((1, 2, 0), ("dark", "grey", "bright"), ""),
        ((0, 1), ("light", "shadow"), NO_NAMES),
        ((0, 1), ("dark", "bright", "grey"), NO_NAMES),
        ((0, 1), ("LABEL_0", "LABEL_1"), ""),
    ],
)
def test_logits_are_put_in_the_order_of_the_folders(
    here: Path, order: Sequence[int], labels: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the labels beside a network, its logits are those of the folders; labels of other things only cause a line."""
    brightness(here / "n.onnx", classes=len(order))
    labelled(here / "n.onnx", order, labels)
    assert exit_code(*ASKED, *COLOURS) == 0
    single, coded = (zoo.find(zoo.load(here / "models"), role) for role in ("single", "coded"))
    assert (single.classes, single.accuracy, coded.accuracy) == (("bright", "dark"), 1.0, 1.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("config.json")] == ([said] if said else [])


@pytest.mark.parametrize("labels", [("bright", "dark"), ("LABEL_0", "LABEL_1")])
def test_classes_in_a_known_order_are_not_suspected(
    here: Path, labels: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that is always wrong is asked for the order of its classes only if no labels say it."""
    brightness(here / "n.onnx")
    labelled(here / "n.onnx", (1, 0), labels)
    assert exit_code(*ASKED, *COLOURS) == 0
    said = capsys.readouterr().out
    assert ("are its classes in the order of the sorted folders" in said) == (labels[0] == "LABEL_0")
    assert "0.00% of 40 test images" in said


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("Bright", "dark"), "are not those of data (it has Bright, not bright); make config.json and"),
        (("grey", "Bright", "dark"), "n.onnx has 3 classes, but data has 2 (bright, dark) (it has grey, Bright, not"),
        (("bright", "dark", "dark"), "n.onnx has several classes called 'dark': leave out the images of that class"),
    ],
)
def test_labels_that_name_only_some_of_the_folders_are_refused(
    here: Path, labels: Sequence[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels that name some of the folders, or one of them twice, are refused, with the name."""
    brightness(here / "n.onnx", classes=len(labels))
    labelled(here / "n.onnx", range(len(labels)), labels)
    assert exit_code(*ASKED, *COLOURS) == 2
    assert words in capsys.readouterr().err


def test_the_preprocessing_beside_a_network_becomes_part_of_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Size, interpolation and colours are those that a file says, but for what is typed; it is printed."""
    brightness(here / "n.onnx")
    processor(here, 24)
    assert exit_code(*ASKED) == 0
    assert "as preprocessor_config.json says: resize 24, interpolation bicubic, mean 0.5" in capsys.readouterr().out
    single = zoo.find(zoo.load(here / "models"), "single")
    assert (single.accuracy, single.input) == (1.0, (24, 24, 3))
    assert (single.recipe["mean"], single.recipe["interpolation"]) == ([0.5, 0.5, 0.5], "bicubic")
    assert exit_code(*ASKED, "--resize", 16) == 0
    recipe = zoo.find(zoo.load(here / "models"), "single").recipe
    assert (recipe["resize"], recipe["interpolation"], recipe["std"]) == (16, "bicubic", [0.2, 0.2, 0.2])


def test_a_file_comes_before_the_only_size_that_a_network_takes(here: Path) -> None:
    """A network of one size is given what the file says: resized, then cropped to that size."""
    brightness(here / "n.onnx", (24, 24))
    crop = {"image_processor_type": "DeiTImageProcessor", "do_center_crop": True, "crop_size": 24}
    processor(here, 28, **crop)
    assert exit_code(*ASKED) == 0
    single = zoo.find(zoo.load(here / "models"), "single")
    assert (single.input, single.recipe["resize"], single.recipe["crop"]) == ((28, 28, 3), 28, 24)


def test_of_a_file_beside_a_network_of_pixels_only_the_size_counts(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that takes uint8 is given pixels, whatever mean a file says, but in the size that it says."""
    brightness(here / "n.onnx", kind=TensorProto.UINT8)
    processor(here, 24)
    assert exit_code(*ASKED) == 0
    assert "as preprocessor_config.json says: resize 24, interpolation bicubic\n" in capsys.readouterr().out
    (single,) = zoo.load(here / "models")
    assert (single.accuracy, single.recipe["resize"], single.recipe["mean"]) == (1.0, 24, [0.0, 0.0, 0.0])


def test_the_number_of_channels_may_stand_beside_a_network(tmp_path: Path) -> None:
    """A network with a free number of channels gets one if config.json says so."""
    weights = {"last": np.array([[1.0, -1.0]], np.float32)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["y"]),
    ]
    path = saved(tmp_path / "n.onnx", nodes, weights, ["batch", "channels", "height", "width"])
    given = Given(path, 1)
    assert given.grey
    assert logits_of(given, BEFORE) == 2
    with pytest.raises(ModelError, match=re.escape("takes [?, ?, ?, ?], neither")):
        Given(path, 4)


def test_a_single_of_pixels_has_no_coded_model(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that takes uint8 becomes a single, without the coded model, which would have to take other numbers too:
    neither a new one nor that of the network that was exported there before."""
    brightness(here / "n.onnx")
    assert exit_code(*ASKED, *COLOURS) == 0
    assert {model.role for model in zoo.load(here / "models")} == {"single", "coded"}
    brightness(here / "n.onnx", kind=TensorProto.UINT8)
    assert exit_code(*ASKED, "--int8") == 0
    said = capsys.readouterr().out
    assert "tones-coded.onnx: no longer listed, as it is of another network than the single" in said
    assert "no coded model is made" in said
    assert exit_code("simulate", "--scheme", "nercc", "--data", "data", "--models", "models") == 1
    assert "the single takes only pixels, and coded images leave their range" in capsys.readouterr().err
    models = zoo.load(here / "models")
    assert {(model.role, model.precision, model.accuracy) for model in models} == {
        ("single", "float32", 1.0),
        ("single", "int8", 1.0),
    }


def test_shapes_are_resized_to_what_a_file_takes(here: Path) -> None:
    """Images that have a size of their own are resized, in the model, to the only size that the file takes."""
    brightness(here / "n.onnx", (48, 48), len(zoo.find(zoo.load(), "single", dataset="shapes").classes))
    asked = ("export", "backup", "--onnx", "n.onnx", "--dataset", "shapes", "--as", "mine", "--out", "models")
    assert exit_code(*asked) == 0
    (backup,) = zoo.load(here / "models")
    assert backup.recipe["resize"] == 48
    assert backup.input != (48, 48, 3)


@pytest.mark.parametrize(("side", "how"), [(28, "crop"), (16, "resize")])
def test_clothes_lose_their_border_again(here: Path, side: int, how: str) -> None:
    """Pictures of Fashion-MNIST are cropped, not resized, to the 28 pixels that they had."""
    for part in ("train", "t10k"):
        idx(here / "files" / "FashionMNIST" / "raw" / f"{part}-images-idx3-ubyte", np.full((10, 28, 28), 9))
        idx(here / "files" / "FashionMNIST" / "raw" / f"{part}-labels-idx1-ubyte", np.arange(10))
    brightness(here / "n.onnx", (side, side), 10)
    asked = ("--onnx", "n.onnx", "--dataset", "fashion-mnist", "--data", "files", "--out", "models")
    assert exit_code("export", "backup", *asked) == 0
    (backup,) = zoo.load(here / "models")
    assert (backup.input, backup.recipe["crop"], backup.recipe["resize"]) == (
        (32, 32, 3),
        side if how == "crop" else None,
        side if how == "resize" else None,
    )


def two_inputs(path: Path) -> None:
    """Write a network that takes something beside images."""
    brightness(path)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, [1]))
    onnx.save(model, path)


def only_one(path: Path) -> None:
    """Write a network that puts something of one row beside its features."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Concat", ["flat", "one"], ["more"], axis=1),
        helper.make_node("MatMul", ["more", "last"], ["y"]),
    ]
    weights = {"one": np.ones((1, 1), np.float32), "last": np.ones((4, 2), np.float32)}
    saved(path, nodes, weights, [1, 3, 16, 20])


def odd(path: Path) -> None:
    """Write a network that takes four channels."""
    brightness(path)
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 4, "h", "w"]))
    onnx.save(model, path)


def flat(path: Path) -> None:
    """Write a network that takes rows of numbers."""
    nodes = [helper.make_node("MatMul", ["x", "last"], ["y"])]
    saved(path, nodes, {"last": np.ones((3, 2), np.float32)}, ["batch", 3])


def quantised(path: Path) -> None:
    """Write a network whose input is quantised."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["whole"]),
        helper.make_node("DequantizeLinear", ["whole", "scale"], ["back"]),
        helper.make_node("GlobalAveragePool", ["back"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["y"]),
    ]
    weights = {"scale": np.array(0.01, np.float32), "last": np.ones((3, 2), np.float32)}
    saved(path, nodes, weights, ["batch", 3, 16, 20])


@pytest.mark.parametrize(
    ("make", "arguments", "code", "words"),
    [
        (lambda path: None, (), 1, "cannot read the model n.onnx"),
        (lambda path: path.write_text("no model"), (), 1, "n.onnx is no ONNX model, or a damaged one"),
        (two_inputs, (), 1, "n.onnx has 2 inputs (x, t)"),
        (odd, (), 1, "takes [?, 4, ?, ?], neither"),
        (flat, (), 1, "takes [?, 3], neither [batch, channels, height, width] nor [batch, height"),
        (
            lambda path: brightness(path, kind=TensorProto.INT32),
            (),
            1,
            "n.onnx takes int32; export it so that it takes",
        ),
        (lambda path: brightness(path, kind=TensorProto.UINT8), COLOURS, 2, "normalises them itself: drop --mean"),
        (only_one, (), 1, "takes one image at a time: export it again"),
        (lambda path: brightness(path, classes=3), (), 2, "n.onnx has 3 classes, but data has 2"),
        (network, ("--size", 8), 1, "cannot take images of 8x8 pixels"),
        (quantised, ("--int8",), 2, "n.onnx is quantised already: drop --int8"),
        (brightness, ("--checkpoint", "w.pt"), 2, "an ONNX file holds its weights"),
        (brightness, ("--network", "a:b", "--checkpoint", "w.pt"), 2, "name one network"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    here: Path,
    make: Callable[[Path], object],
    arguments: tuple[object, ...],
    code: int,
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A file that is no classifier of such images, and options that clash, are refused in one sentence."""
    make(here / "n.onnx")
    assert exit_code(*ASKED, *arguments) == code
    said = capfd.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (here / "models" / "manifest.json").exists()


def test_a_weight_that_is_reshaped_stays_as_it_is(tmp_path: Path) -> None:
    """Of a file for one image, only shapes that begin with the batch are freed, not those of weights."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Reshape", ["mean", "flat shape"], ["flat"]),
        helper.make_node("Reshape", ["row", "row shape"], ["wide"]),
        helper.make_node("Mul", ["flat", "wide"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "last"], ["y"]),
    ]
    weights = {
        "row": np.array([1, 2, 3], np.float32),
        "last": np.eye(3, 2, dtype=np.float32),
        "flat shape": np.array([1, 3]),
        "row shape": np.array([1, -1]),
    }
    given = Given(saved(tmp_path / "n.onnx", nodes, weights, [1, 3, 4, 4]))
    found = given(torch.tensor([1.0, 10.0, 0.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4))
    assert found.tolist() == [[1.0, 20.0]] * 2

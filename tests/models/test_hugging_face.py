"""What Hugging Face's files say of a network is followed as its image processors would, or said not to be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from collagebench.errors import ModelError
from collagebench.models.hugging_face import channels_beside, labels_beside, preprocessing_beside

HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}
OURS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bilinear"}


def written(directory: Path, name: str, content: object) -> Path:
    """Write a JSON file; return the path of a network beside it."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(json.dumps(content))
    return directory / "model.onnx"


CROPS = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}


@pytest.mark.parametrize(
    ("kind", "said", "found"),
    [
        ("ViTImageProcessor", {"size": {"height": 224, "width": 224}}, {"resize": 224}),
        ("ViTImageProcessorFast", {"size": {"height": 224, "width": 224}, "do_center_crop": None}, {"resize": 224}),
        ("ViTFeatureExtractor", {"size": 224}, {"resize": 224}),
        ("SegformerImageProcessor", {"size": 224, "crop_size": 200}, {"resize": 224}),
        ("DeiTImageProcessor", {"size": 256, **CROPS, "crop_size": 224}, {"resize": 256, "crop": 224}),
        ("BeitImageProcessor", {"size": 256, **CROPS, "do_center_crop": False}, {"resize": 256}),
        ("BeitImageProcessorFast", {"size": 256, **CROPS, "do_center_crop": None}, {"resize": 256}),
        ("CLIPImageProcessor", {"size": {"shortest_edge": 224}, **CROPS}, {"resize": 224, "crop": 224}),
        ("CLIPFeatureExtractor", {"size": 224, **CROPS, "crop_size": 200}, {"resize": 224, "crop": 200}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}, {"resize": 256, "crop": 224}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 288}, "crop_pct": 0.95}, {"resize": 303, "crop": 288}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}, "crop_pct": 0.95}, {"resize": 384}),
        ("ViTImageProcessor", {"do_resize": False, "size": 224, "resample": 3}, {"interpolation": "bicubic"}),
        (
            "ViTImageProcessor",
            {"size": 32, "do_normalize": False},
            {"resize": 32, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
        ),
        (
            "ViTImageProcessor",
            {"size": 32, "do_rescale": False, "image_mean": [102, 127.5, 153], "image_std": [51, 51, 51]},
            {"resize": 32, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.2)},
        ),
        (
            "ViTImageProcessor",
            {"size": 32, "rescale_factor": 2 / 255, "image_mean": [1, 1, 1], "image_std": [1, 1, 0.5]},
            {"resize": 32, "std": (0.5, 0.5, 0.25)},
        ),
        ("ViTImageProcessor", {"size": 28, "image_mean": [0.5], "image_std": 0.5}, {"resize": 28}),
    ],
)
def test_an_image_processor_becomes_options(
    tmp_path: Path, kind: str, said: dict[str, Any], found: dict[str, Any]
) -> None:
    """Its size, crop, interpolation, and normalisation on a scale of 0 to 1 are those of the processor."""
    path = written(tmp_path, "preprocessor_config.json", {"image_processor_type": kind, **HALVES, **said})
    assert preprocessing_beside(path, ())[0] == OURS | found


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"image_processor_type": "EfficientNetImageProcessor"}, "it is for EfficientNetImageProcessor"),
        ({"image_processor_type": "x" * 99}, f"it is for {'x' * 60}…"),
        ({"image_processor_type": None}, "it is for None"),
        ({"image_processor_type": "CLIPImageProcessor"}, "it does not say do_center_crop"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": True}, "it does not say crop_size"),
        ({"do_center_crop": True}, "do_center_crop means nothing to some versions of ViTImageProcessor"),
        (
            {"image_processor_type": "BitImageProcessor", "do_center_crop": True, "crop_size": 240},
            "a crop of 240 does not fit in 224 pixels",
        ),
        ({"image_processor_type": "ConvNextImageProcessor"}, "size has no shortest_edge"),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64}, "crop_pct": 0},
            "crop_pct is 0",
        ),
        ({"size": {"height": 200, "width": 300}}, 'size is {"height": 200, "width": 300}'),
        ({"size": {"height": 224, "longest_edge": 224}}, 'size is {"height": 224, "longest_edge": 224}'),
        ({"size": {}}, "size is {}"),
        ({"size": None}, "it does not say size"),
        ({"size": [224]}, "size is [224]"),
        ({"size": True}, "size is true"),
        ({"size": 0}, 'size is {"height": 0, "width": 0}'),
        ({"size": 10**9}, 'size is {"height": 1000000000, "width": 1000000000}'),
        ({"image_mean": None}, "it does not say image_mean"),
        ({"image_mean": [0.5, 0.5, "high"]}, "image_mean is high"),
        ({"image_mean": [123.0, 117.0, 104.0]}, "image_mean is [123.0, 117.0, 104.0], above white"),
        ({"image_std": [0.5, 0.5, 0]}, "image_std is 0"),
        ({"image_std": [0.5, 0.5, math.nan]}, "image_std is NaN"),
        ({"resample": 1}, "resample is 1, neither bilinear nor bicubic"),
        ({"resample": None}, "it does not say resample"),
        ({"rescale_factor": 0}, "rescale_factor is 0"),
        ({"rescale_factor": True}, "rescale_factor is true"),
    ],
)
def test_what_cannot_be_followed_is_said(tmp_path: Path, said: dict[str, Any], why: str) -> None:
    """A processor that does anything else, or a file that makes no sense, leaves all to the options, and says so."""
    usual = {"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, **HALVES}
    if said.get("image_processor_type") == "BitImageProcessor":
        usual["size"] = {"shortest_edge": 224}
    path = written(tmp_path, "preprocessor_config.json", usual | said)
    found, line = preprocessing_beside(path, ())
    assert found == {}
    assert line == (
        f"{tmp_path / 'preprocessor_config.json'} is not followed ({why}): give --resize, --crop, --mean and --std "
        "if the network needs them"
    )


def test_options_replace_what_belongs_together(tmp_path: Path) -> None:
    """A typed crop replaces the size too, a typed mean the deviation; if both are typed, a broken file does not
    matter."""
    said = {"image_processor_type": "ViTImageProcessor", "size": 224, **HALVES}
    path = written(tmp_path, "preprocessor_config.json", said)
    file = tmp_path / "preprocessor_config.json"
    assert preprocessing_beside(path, ["crop"])[0].keys() == {"interpolation", "mean", "std"}
    found, line = preprocessing_beside(path, ["mean"])
    assert found.keys() == {"resize", "interpolation"}
    assert line == f"as {file} says: resize 224, interpolation bilinear"
    written(tmp_path, "preprocessor_config.json", {**said, "size": 0})
    line = preprocessing_beside(path, ["mean"])[1]
    assert line.endswith(": give --resize and --crop if the network needs them")
    for broken in ("{", "[" * 100_000):
        file.write_text(broken)
        assert preprocessing_beside(path, ["std", "resize"]) == ({}, "")
        with pytest.raises(ModelError, match=r"preprocessor_config.json is no JSON \(.*\): repair it, or move it away"):
            preprocessing_beside(path, ["std"])


def test_where_the_files_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie beside the network, or above its directory if that is called onnx; without one nothing is said."""
    above = written(tmp_path, "config.json", {"id2label": {"0": "cat", "1": "dog"}})
    for directory in ("onnx", "other"):
        (tmp_path / directory).mkdir()
    assert labels_beside(above) == labels_beside(tmp_path / "onnx" / "model.onnx") == ("cat", "dog")
    monkeypatch.chdir(tmp_path / "onnx")
    assert labels_beside(Path("model.onnx")) == ("cat", "dog")
    assert labels_beside(tmp_path / "other" / "model.onnx") == ()
    assert preprocessing_beside(above, ()) == ({}, "")
    (tmp_path / "other" / "config.json").mkdir()
    with pytest.raises(ModelError, match=r"config.json cannot be read \(Is a directory\)"):
        labels_beside(tmp_path / "other" / "model.onnx")


@pytest.mark.parametrize(
    ("said", "labels"),
    [
        ({"id2label": {"1": "b", "0": "a"}}, ("a", "b")),
        ({"id2label": {"1": "b", "2": "a"}}, ()),
        ({"id2label": {"0": 3}}, ("3",)),
        ({"id2label": {"0": "a", "1": None, "2": "c"}}, ()),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, ()),
        ({"id2label": ["a"]}, ()),
        ({}, ()),
        ([], ()),
    ],
)
def test_labels_are_in_the_order_of_the_logits(tmp_path: Path, said: object, labels: tuple[str, ...]) -> None:
    """The names of the classes are those of logits 0, 1, …; if any is missing, or all are made up, there are none."""
    assert labels_beside(written(tmp_path, "config.json", said)) == labels


@pytest.mark.parametrize(("said", "channels"), [({"num_channels": 1}, 1), ({"num_channels": True}, None), ({}, None)])
def test_the_number_of_channels_is_a_whole_number(tmp_path: Path, said: object, channels: int | None) -> None:
    """The number of channels is what config.json says, if that is a whole number."""
    assert channels_beside(written(tmp_path, "config.json", said)) == channels

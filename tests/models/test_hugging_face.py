"""What Hugging Face's files say of a network is followed as its image processors would, or said not to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collagebench.errors import ModelError
from collagebench.models.hugging_face import labels_beside, preprocessing_beside

HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}
OURS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bilinear"}


def written(directory: Path, name: str, content: object) -> Path:
    """Write a JSON file; return the path of a network beside it."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(json.dumps(content))
    return directory / "model.onnx"


@pytest.mark.parametrize(
    ("kind", "said", "found"),
    [
        ("ViTImageProcessor", {"size": {"height": 224, "width": 224}}, {"resize": 224}),
        ("ViTImageProcessorFast", {"size": {"height": 224, "width": 224}, "crop_size": None}, {"resize": 224}),
        ("ViTFeatureExtractor", {"size": 224}, {"resize": 224}),
        ("DeiTImageProcessor", {"size": 256, "do_center_crop": True, "crop_size": 224}, {"resize": 256, "crop": 224}),
        ("BeitImageProcessor", {"size": 256, "do_center_crop": False, "crop_size": 224}, {"resize": 256}),
        (
            "CLIPImageProcessor",
            {"size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
            {"resize": 224, "crop": 224},
        ),
        ("CLIPFeatureExtractor", {"size": 224, "crop_size": 200}, {"resize": 224, "crop": 200}),
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
        ({"image_processor_type": None}, "it is for None"),
        ({"size": {"height": 200, "width": 300}}, 'it asks for a size of {"height": 200, "width": 300}'),
        ({"size": None}, "it does not say size"),
        ({"image_mean": None}, "it does not say image_mean"),
        ({"resample": 1}, "resample is 1"),
        ({"size": [224]}, "it asks for a size of [224]"),
        ({"rescale_factor": 0}, "its numbers make no sense"),
        ({"image_std": "high"}, "its numbers make no sense"),
    ],
)
def test_what_cannot_be_followed_is_said(tmp_path: Path, said: dict[str, Any], why: str) -> None:
    """A processor that does anything else, or a file that makes no sense, leaves all to the options, and says so."""
    usual = {"image_processor_type": "ViTImageProcessor", "size": 224, **HALVES}
    path = written(tmp_path, "preprocessor_config.json", usual | said)
    found, line = preprocessing_beside(path, ())
    assert found == {}
    assert line.startswith(f"{tmp_path / 'preprocessor_config.json'} is not followed (")
    assert why in line
    assert line.endswith("): give --resize, --crop, --mean and --std")


def test_options_replace_what_belongs_together(tmp_path: Path) -> None:
    """A typed crop replaces size and interpolation too, a typed mean the deviation; then a broken file does not
    matter."""
    said = {"image_processor_type": "ViTImageProcessor", "size": 224, **HALVES}
    path = written(tmp_path, "preprocessor_config.json", said)
    assert preprocessing_beside(path, ["crop"])[0].keys() == {"mean", "std"}
    found, line = preprocessing_beside(path, ["mean"])
    assert found.keys() == {"resize", "interpolation"}
    assert line == f"as {tmp_path / 'preprocessor_config.json'} says: resize 224, interpolation bilinear"
    (tmp_path / "preprocessor_config.json").write_text("{")
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
        ({"id2label": {"0": 3}}, ()),
        ({"id2label": ["a"]}, ()),
        ({}, ()),
        ([], ()),
    ],
)
def test_labels_are_in_the_order_of_the_logits(tmp_path: Path, said: object, labels: tuple[str, ...]) -> None:
    """The names of the classes are those of logits 0, 1, …; if any is missing, there are none."""
    assert labels_beside(written(tmp_path, "config.json", said)) == labels

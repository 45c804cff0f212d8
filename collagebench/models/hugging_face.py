"""What the files of Hugging Face beside an ONNX file say of it: its preprocessing, and the names of its classes.

`preprocessor_config.json` has the arguments of one of Transformers' image processors, and `config.json` the labels.
Optimum writes both beside `model.onnx`; some repositories have the model in a directory `onnx` below them.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from collagebench.errors import ModelError, first_line
from collagebench.ordinary import ordinary

SQUARE = ("ViT", "DeiT", "Beit", "Segformer", "Pvt")
"""Image processors for which a single number as `size` means both sides, not the shorter one."""
SAME = (*SQUARE, "CLIP", "Bit", "Siglip", "MobileNetV1", "MobileNetV2")
"""Image processors that resize, crop, rescale and normalise, each if its file says so, and do nothing else."""
CROPPED = "ConvNext"
"""The one that derives size and crop from `crop_pct`."""
CROP_PCT = 224 / 256
"""Its default: the share of the resized image that remains."""
WARPED_FROM = 384
"""From this size on, ConvNext's image processor does not crop."""
TOGETHER = (("resize", "crop", "interpolation"), ("mean", "std"))
"""Options of `Preprocessing` that make sense only together."""
INTERPOLATION = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""


def labels_beside(path: Path) -> tuple[str, ...]:
    """Return the names of the classes of a network, in the order of its logits; none if no file says them.

    Raises:
        ModelError: config.json cannot be read.
    """
    labels = _read(path, "config.json")[1].get("id2label")
    if not isinstance(labels, dict):
        return ()
    names = [labels.get(str(number)) for number in range(len(labels))]
    return tuple(name for name in names if isinstance(name, str)) if None not in names else ()


def preprocessing_beside(path: Path, given: Collection[str]) -> tuple[dict[str, Any], str]:
    """Return the preprocessing of a network, as options of `Preprocessing`, and a line about it.

    `given` are the options that the user gave; what belongs together with one of them is not taken from a file. Both
    are empty if no file says anything else. If there is a file that cannot be followed, the line says why.

    Raises:
        ModelError: preprocessor_config.json cannot be read.
    """
    wanted = [name for together in TOGETHER if not {*together} & {*given} for name in together]
    file, said = _read(path, "preprocessor_config.json") if wanted else (path, {})
    if not said:
        return {}, ""
    try:
        found = {name: value for name, value in _followed(said).items() if name in wanted}
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        why = first_line(error) if isinstance(error, ValueError) else "its numbers make no sense"
        why = f"it does not say {error.args[0]}" if isinstance(error, KeyError) else why
        return {}, f"{file} is not followed ({why}): give --resize, --crop, --mean and --std"
    shown = [
        f"{name} {' '.join(f'{one:.4g}' for one in value) if isinstance(value, tuple) else value}"
        for name, value in found.items()
    ]
    return found, f"as {file} says: {', '.join(shown)}"


def _followed(said: dict[str, Any]) -> dict[str, Any]:
    """Return the preprocessing that an image processor's arguments stand for; ValueError if there is none."""
    written = str(said.get("image_processor_type") or said.get("feature_extractor_type"))
    kind = written.removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if kind not in (*SAME, CROPPED):
        raise ValueError(f"it is for {written}")
    said = {name: value for name, value in said.items() if value is not None}  # null: the default
    found: dict[str, Any] = {}
    if said.get("do_resize", True):
        found["resize"] = _side(said["size"], square=kind in SQUARE)
        if kind == CROPPED and found["resize"] < WARPED_FROM:
            found["crop"] = found["resize"]
            found["resize"] = int(found["crop"] / said.get("crop_pct", CROP_PCT))
    if kind != CROPPED and said.get("do_center_crop", "crop_size" in said):
        found["crop"] = _side(said["crop_size"], square=True)
    if said.get("resample") not in INTERPOLATION:
        raise ValueError(f"resample is {said.get('resample')}, neither bilinear nor bicubic")
    found["interpolation"] = INTERPOLATION[said["resample"]]
    unit = 255 * (said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0)
    mean, std = [0.0] * 3, [1.0] * 3
    if said.get("do_normalize", True):
        mean, std = said["image_mean"], said["image_std"]
    # It takes (pixel x factor - mean) / std, and ours is (pixel / 255 - mean) / std.
    found["mean"] = tuple(round(value / unit, 9) for value in mean)
    found["std"] = tuple(round(value / unit, 9) for value in std)
    return found


def _side(size: Any, square: bool) -> int:
    """Return the side of a square, or the shorter side, that a size stands for."""
    if isinstance(size, int):
        size = {"height": size, "width": size} if square else {"shortest_edge": size}
    if isinstance(size, dict) and size.keys() == {"shortest_edge"}:
        return int(size["shortest_edge"])
    if isinstance(size, dict) and size.keys() >= {"height", "width"} and size["height"] == size["width"]:
        return int(size["height"])
    raise ValueError(f"it asks for a size of {json.dumps(size)}")


def _read(path: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """Return a file beside an ONNX file, or above its directory if that is called onnx, and the object in it."""
    above = path.absolute().parent
    places = [path.parent, *([above.parent] if above.name == "onnx" else [])]
    file = next((place / name for place in places if (place / name).exists()), None)
    if file is None:
        return path, {}
    try:
        said = json.loads(ordinary(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ModelError(f"{file} is no JSON ({first_line(error)}): repair it, or move it away") from None
    return file, said if isinstance(said, dict) else {}

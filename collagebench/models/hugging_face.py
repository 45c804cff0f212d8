"""What the files of Hugging Face beside an ONNX file say of it: preprocessing, channels, and the names of classes.

`preprocessor_config.json` has the arguments of one of Transformers' image processors, and `config.json` the labels.
Optimum writes both beside `model.onnx`; some repositories have the model in a directory `onnx` below them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from collagebench.errors import ModelError, first_line
from collagebench.ordinary import ordinary
from collagebench.terms import MOST_PIXELS

SQUARE = ("ViT", "DeiT", "Beit", "Segformer", "Pvt")
"""Image processors for which a single number as `size` means both sides, not the shorter one."""
CROPPING = ("DeiT", "Beit", "CLIP", "Bit", "MobileNetV1", "MobileNetV2")
"""Image processors that also crop, if their file says so."""
FOLLOWED = (*SQUARE, *CROPPING, "Siglip", "ConvNext")
"""Image processors that resize, crop, rescale and normalise, each if their file says so, and do nothing else."""
CROP_PCT, WARPED_FROM = 224 / 256, 384
"""Of ConvNext's: the share of the resized image that remains by default, and the size from which it does not crop."""
INTERPOLATION = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
TOGETHER = (("resize", "crop"), ("mean", "std"), ("interpolation",))
"""Options of `Preprocessing` that make sense only together."""
SHOWN = 60
"""The most characters of a value that are shown."""


def labels_beside(path: Path) -> tuple[str, ...]:
    """Return the names of the classes of a network, in the order of its logits; none if no file says them.

    Names that Transformers makes up, LABEL_0 and so on, say nothing.

    Raises:
        ModelError: config.json cannot be read.
    """
    labels = _read(path, "config.json")[1].get("id2label")
    if not isinstance(labels, dict):
        return ()
    names = tuple(labels.get(str(number)) for number in range(len(labels)))
    made_up = all(name == f"LABEL_{number}" for number, name in enumerate(names))
    return () if made_up or not all(isinstance(name, (str, int)) for name in names) else tuple(map(str, names))


def channels_beside(path: Path) -> int | None:
    """Return how many channels a network takes; None if no file says it.

    Raises:
        ModelError: config.json cannot be read.
    """
    channels = _read(path, "config.json")[1].get("num_channels")
    return channels if type(channels) is int else None


def preprocessing_beside(path: Path, given: Collection[str]) -> tuple[dict[str, Any], str]:
    """Return the preprocessing of a network, as options of `Preprocessing`, and a line about it.

    `given` are the options that the user gave, or that do not apply; what belongs together with one of them is not
    taken from a file. Both are empty if no file says anything else. If there is a file that cannot be followed, the
    line says why.

    Raises:
        ModelError: preprocessor_config.json cannot be read.
    """
    wanted = [name for together in TOGETHER if not {*together} & {*given} for name in together]
    needed = [f"--{name}" for name in ("resize", "crop", "mean", "std") if name in wanted]
    file, said = _read(path, "preprocessor_config.json") if needed else (path, {})
    if not said:
        return {}, ""
    try:
        found = {name: value for name, value in _followed(said).items() if name in wanted}
    except (ValueError, KeyError) as error:
        why = f"it does not say {error.args[0]}" if isinstance(error, KeyError) else first_line(error)
        options = " and ".join([", ".join(needed[:-1]), needed[-1]])
        return {}, f"{file} is not followed ({why}): give {options} if the network needs them"
    shown = [
        f"{name} {' '.join(f'{one:.4g}' for one in value) if isinstance(value, tuple) else value}"
        for name, value in found.items()
    ]
    return found, f"as {file} says: {', '.join(shown)}"


def _followed(said: dict[str, Any]) -> dict[str, Any]:
    """Return the preprocessing that an image processor's arguments stand for.

    Raises:
        ValueError: there is none, or an argument makes no sense.
        KeyError: an argument is missing.
    """
    written = str(said.get("image_processor_type") or said.get("feature_extractor_type"))
    kind = written.removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if kind not in FOLLOWED:
        raise ValueError(f"it is for {_short(written)}")
    crops = kind in CROPPING and said["do_center_crop"]  # its default depends on the version
    if kind not in CROPPING and said.get("do_center_crop"):
        raise ValueError(f"do_center_crop means nothing to some versions of {written}")
    said = {name: value for name, value in said.items() if value is not None}  # null: the default
    found: dict[str, Any] = {}
    if said.get("do_resize", True):
        found["resize"] = _side(said, "size", square=kind in SQUARE)
        if kind == "ConvNext" and "shortest_edge" not in said["size"]:
            raise ValueError("size has no shortest_edge")
        if kind == "ConvNext" and found["resize"] < WARPED_FROM:
            found["crop"] = found["resize"]
            found["resize"] = int(found["crop"] / _number(said.get("crop_pct", CROP_PCT), "crop_pct"))
    if crops:
        found["crop"] = _side(said, "crop_size", square=True)
    if found.get("crop", 0) > found.get("resize", math.inf):
        raise ValueError(f"a crop of {found['crop']} does not fit in {found['resize']} pixels")
    if said["resample"] not in INTERPOLATION:
        raise ValueError(f"resample is {_short(said['resample'])}, neither bilinear nor bicubic")
    found["interpolation"] = INTERPOLATION[said["resample"]]
    factor = _number(said.get("rescale_factor", 1 / 255), "rescale_factor") if said.get("do_rescale", True) else 1.0
    # It takes (pixel x factor - mean) / std, and ours is (pixel / 255 - mean) / std.
    normalises = said.get("do_normalize", True)
    for name, unset, least in (("mean", 0.0, -math.inf), ("std", 1.0, 0.0)):
        values = _three(said[f"image_{name}"]) if normalises else [unset] * 3
        found[name] = tuple(round(_number(value, f"image_{name}", least) / (255 * factor), 9) for value in values)
    if max(found["mean"]) > 1:
        raise ValueError(f"image_mean is {_short(said['image_mean'])}, above white")
    return found


def _side(said: dict[str, Any], name: str, square: bool) -> int:
    """Return the side of a square, or the shorter side, that a size stands for; ValueError if it is neither."""
    size = said[name]
    if type(size) is int:
        size = {"height": size, "width": size} if square else {"shortest_edge": size}
    known = isinstance(size, dict) and size.keys() in ({"shortest_edge"}, {"height", "width"})
    sides = [*size.values()] if known else [0]
    if len({*map(repr, sides)}) > 1 or type(sides[0]) is not int or not 1 <= sides[0] <= MOST_PIXELS:
        raise ValueError(f"{name} is {_short(size)}")
    return int(sides[0])


def _three(values: Any) -> list[Any]:
    """Return a number for each of red, green and blue; networks with one channel have only one."""
    known: list[Any] = values if isinstance(values, list) else [values]
    return known * 3 if len(known) == 1 else known


def _number(value: Any, name: str, least: float = 0.0) -> float:
    if type(value) not in (int, float) or not least < value < math.inf:
        raise ValueError(f"{name} is {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _read(path: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """Return a file beside an ONNX file, or above its directory if that is called onnx, and the object in it."""
    above = path.absolute().parent
    places = [path.parent, *([above.parent] if above.name == "onnx" else [])]
    file = next((place / name for place in places if (place / name).exists()), None)
    if file is None:
        return path, {}
    try:
        said = json.loads(ordinary(file).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is no JSON ({first_line(error)}): repair it, or move it away") from None
    return file, said if isinstance(said, dict) else {}

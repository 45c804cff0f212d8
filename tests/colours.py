"""Images in three colours and linear models that classify them, for tests of evaluations."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from collagebench import zoo

MODELS = Path(__file__).parent / "measurement"
COLOURS = ("crimson", "green", "navy")
"""In the order of the channels, and of the alphabet."""
ROLES: dict[str, tuple[str, dict[str, Any]]] = {
    "single": ("colours", {}),
    "coded": ("coded", {}),
    "backup": ("colours", {}),
    "collage-2x2": ("cells", {"grid": 2}),
    "parity-k2-addition": ("coded", {"k": 2, "code": "addition"}),
    "parity-k2-concatenation": ("halves", {"k": 2, "code": "concatenation"}),
}


def coloured(directory: Path, images: int = 20) -> Path:
    """Write an imagefolder of `images` 4x4 images of each colour; the sums of their channels tell the colour."""
    rng = np.random.default_rng(0)
    for channel, colour in enumerate(COLOURS):
        folder = directory / colour
        folder.mkdir(parents=True)
        for number in range(images):
            pixels = rng.integers(20, size=(4, 4, 3), dtype=np.uint8)
            pixels[..., channel] += 200
            Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return directory


def colour_models(directory: Path) -> Path:
    """Write a directory of models for these images, one of each role."""
    directory.mkdir(parents=True, exist_ok=True)
    models = []
    for name, (file, traits) in ROLES.items():
        shutil.copy(MODELS / f"{file}.onnx", directory / f"{name}.onnx")
        content = (directory / f"{name}.onnx").read_bytes()
        side = 4 * traits.get("grid", 1)
        models.append(
            zoo.Model(
                name=f"colours-{name}",
                role=name.split("-")[0],
                grid=traits.get("grid"),
                k=traits.get("k"),
                code=traits.get("code"),
                dataset="colours",
                classes=COLOURS,
                input=(side, side, 3),
                image=(4, 4, 3),
                file=f"{name}.onnx",
                sha256=hashlib.sha256(content).hexdigest(),
                bytes=len(content),
                parameters=3,
                macs=48,
                accuracy=1.0,
                accuracy_images=60,
                directory=directory,
            )
        )
    zoo.save(models, directory)
    return directory

"""A collage network and a recipe with which a training on `Tones` takes about a second."""

from __future__ import annotations

from typing import Any

from collagebench.models.architecture import Architecture
from collagebench.training.recipe import Recipe

LAYERS: dict[str, Any] = {"stem": 4, "stride": 2, "widths": (8,), "depths": (1,)}
ARCHITECTURE = Architecture("collage", 2, (8, 8), 2, **LAYERS)
RECIPE = Recipe(dataset="tones", epochs=3, batch=8, rate=0.1)

"""`shapes`: small generated images of ten geometric shapes, with no data to download.

Image i of a split is a pure function of (split, i): its random numbers are hashes (splitmix64) of the two. So any image
can be made at any time, alone or in a batch, and no image is in both splits. An image is a textured background, one
shape of random position, size, angle and colour, a few strokes that may cross it, and noise. The harder pairs
(pentagon, hexagon, circle) differ only by a pixel or two at the outline, which a model with a coarse view misses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import DataError

Floats = NDArray[np.float32]

SIZE = (32, 32, 3)
LENGTHS = {"train": 100_000, "test": 10_000}
_SALTS = {"train": 0x7261696E, "test": 0x74657374}
_STROKES = 2
_DRAWS = 25 + 8 * _STROKES  # random numbers per image
_CHUNK = 64  # images rendered at once, few enough for their planes to fit into the cache


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit integers with the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def _uniforms(salt: int, indices: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return `count` numbers in [0, 1) for each index, a pure function of (salt, index): [k, count]."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    keys = _mix(indices.astype(np.uint64) + (np.array([salt], dtype=np.uint64) << np.uint64(32)))
    states = keys[:, None] + golden * np.arange(1, count + 1, dtype=np.uint64)
    uniforms: NDArray[np.float64] = (_mix(states) >> np.uint64(11)) * 2.0**-53
    return uniforms


def _sides(u: Floats, v: Floats, n: int) -> Floats:
    """Return the distance of (u, v) beyond each side of a regular n-gon of circumradius 1: [n, ...]."""
    angles = 2 * np.pi * (np.arange(n) + 0.5) / n
    apothem = np.float32(np.cos(np.pi / n))
    return np.stack([np.float32(np.cos(a)) * u + np.float32(np.sin(a)) * v - apothem for a in angles])


def _polygon(n: int) -> Callable[[Floats, Floats], Floats]:
    return lambda u, v: _sides(u, v, n).max(axis=0) - np.float32(0.1)


def _star(u: Floats, v: Floats) -> Floats:
    # A point is in a pentagram if it is inside at least four of the half-planes of the inner pentagon's five sides.
    angles = 2 * np.pi * np.arange(5) / 5
    sides = np.stack([np.float32(np.cos(a)) * u + np.float32(np.sin(a)) * v for a in angles])
    star: Floats = np.partition(sides, 3, axis=0)[3] - np.float32(0.4)
    return star


def _cross(u: Floats, v: Floats) -> Floats:
    a, b = np.abs(u), np.abs(v)
    bars: Floats = np.minimum(np.maximum(a - 1, b - 0.33), np.maximum(a - 0.33, b - 1))
    return bars


def _ring(u: Floats, v: Floats) -> Floats:
    ring: Floats = np.abs(np.hypot(u, v) - np.float32(0.75)) - np.float32(0.25)
    return ring


def _crescent(u: Floats, v: Floats) -> Floats:
    bitten: Floats = np.maximum(np.hypot(u, v) - 1, 0.8 - np.hypot(u - 0.5, v))
    return bitten


def _half_disc(u: Floats, v: Floats) -> Floats:
    halved: Floats = np.maximum(np.hypot(u + 0.4, v) - 1.1, -0.4 - u)
    return halved


# Each gives the signed distance (below 0 is inside) of a point in units of the shape's radius.
OUTLINES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "circle": lambda u, v: np.hypot(u, v) - np.float32(0.9),
    "crescent": _crescent,
    "cross": _cross,
    "half-disc": _half_disc,
    "hexagon": _polygon(6),
    "pentagon": _polygon(5),
    "ring": _ring,
    "square": _polygon(4),
    "star": _star,
    "triangle": _polygon(3),
}

_CENTRES: Floats = (np.arange(32, dtype=np.float32) + np.float32(0.5)) / np.float32(16) - np.float32(1)
_ROWS, _COLUMNS = _CENTRES[:, None], _CENTRES[None, :]
_NOISE = (_uniforms(0, np.arange(3 * 256), 256 + 32) - 0.5).astype(np.float32).reshape(3, 256, 256 + 32)
_NOISE = np.concatenate([_NOISE, _NOISE[:, :32]], axis=1)
_PATCHES = np.lib.stride_tricks.sliding_window_view(_NOISE, (32, 32), axis=(1, 2)).transpose(1, 2, 0, 3, 4)


def _span(u: Floats, low: float, high: float) -> Floats:
    spanned: Floats = np.float32(low) + u * np.float32(high - low)
    return spanned


def _plane(u: Floats) -> Floats:
    """Reshape numbers [k], one per image, so that they broadcast over the pixels: [k, 1, 1]."""
    return u[:, None, None]


def _cover(distance: Floats, pixels: Floats) -> Floats:
    """Return the share of each pixel that is inside, from signed distances and the pixels per unit of distance."""
    cover: Floats = np.clip(0.5 - distance * pixels, 0, 1, dtype=np.float32)
    return cover


def _turned(cx: Floats, cy: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Return every pixel's coordinates along and across `angle`, from (cx, cy)."""
    cos, sin = _plane(np.cos(angle)), _plane(np.sin(angle))
    dx, dy = _COLUMNS - _plane(cx), _ROWS - _plane(cy)
    return dx * cos + dy * sin, dy * cos - dx * sin


def _render(label: int, draws: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Draw images of one class from their random numbers [k, _DRAWS]: [k, 32, 32, 3]."""
    d = list(draws.astype(np.float32).T)
    turn = np.float32(2 * np.pi)

    # Background: a colour that drifts across the image, and a grating.
    base, drift = np.stack(d[1:4], 1), np.stack(d[4:7], 1) - np.float32(0.5)
    along, _ = _turned(d[7] * 0, d[7] * 0, d[7] * turn)
    grating, _ = _turned(d[8] * 0, d[8] * 0, d[8] * turn)
    grating = np.sin(grating * _plane(_span(d[9], 4, 20)) + _plane(d[10] * turn)) * _plane(_span(d[11], 0, 0.1))
    image = _span(base, 0.15, 0.85)[:, :, None, None] + np.float32(0.4) * drift[:, :, None, None] * along[:, None]
    image += grating[:, None]

    # The shape: its colour lies at a given distance from the background's, in a random direction.
    radius = _span(d[12], 0.45, 0.8)
    reach = np.float32(1) - radius
    u, v = _turned(_span(d[13], -1, 1) * reach, _span(d[14], -1, 1) * reach, d[15] * turn)
    stretch = _plane(_span(d[16], 0.88, 1.12))
    outline = OUTLINES[tuple(OUTLINES)[label]]
    inside = _cover(outline(u / (_plane(radius) * stretch), v * stretch / _plane(radius)), _plane(radius * 16))
    direction = np.stack(d[17:20], 1) - np.float32(0.5)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + np.float32(1e-6)
    shift = direction * _span(d[20], 0.35, 0.8)[:, None]
    image += (shift[:, :, None, None] - grating[:, None] * np.float32(0.5)) * inside[:, None]

    # Strokes: straight segments that end anywhere, over the shape or beside it.
    for s in range(_STROKES):
        e = d[25 + 8 * s : 33 + 8 * s]
        u, v = _turned(_span(e[0], -1, 1), _span(e[1], -1, 1), e[2] * turn)
        beyond = np.maximum(np.abs(u) - _plane(_span(e[3], 0.1, 0.6)), 0)
        stroke = _cover(np.hypot(beyond, v) - _plane(_span(e[4], 0.03, 0.12)), np.float32(16))[:, None]
        image += stroke * (np.stack(e[5:8], 1)[:, :, None, None] - image)

    noise = _PATCHES[(d[21] * 256).astype(np.intp), (d[22] * 256).astype(np.intp)]
    image += noise * _span(d[23], 0.05, 0.3)[:, None, None, None]
    planes = (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    pixels: NDArray[np.uint8] = planes.transpose(0, 2, 3, 1)
    return pixels


class Shapes:
    """The generated images of one split."""

    name = "shapes"
    classes = tuple(OUTLINES)
    size = SIZE

    def __init__(self, split: str = "test") -> None:
        self._salt = _SALTS[split]
        numbers = np.arange(LENGTHS[split])
        self.labels: NDArray[np.int64] = (_uniforms(self._salt, numbers, 1)[:, 0] * len(self.classes)).astype(np.int64)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def load(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Generate the images at `indices` [k] as RGB: [k, 32, 32, 3].

        Raises:
            DataError: an index is outside the split.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise DataError(
                f"shapes has images 0 to {len(self) - 1}; {indices.min()} to {indices.max()} were asked for"
            )
        images = np.empty((len(indices), *SIZE), dtype=np.uint8)
        for label in range(len(self.classes)):
            (places,) = np.nonzero(self.labels[indices] == label)
            for start in range(0, len(places), _CHUNK):
                chunk = places[start : start + _CHUNK]
                images[chunk] = _render(label, _uniforms(self._salt, indices[chunk], _DRAWS))
        return images

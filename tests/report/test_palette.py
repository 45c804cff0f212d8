"""The colours of the page: enough contrast to their background, and distinguishable to every kind of eye."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from math import atan2, cos, degrees, dist, exp, hypot, radians, sin, sqrt
from operator import mul
from pathlib import Path

import pytest

import collagebench.report

PHASES = ("group", "encode", "queue", "inference", "injected", "transport", "decode", "hold")
SCHEMES = tuple(f"c{number}" for number in range(8))
STYLE = Path(collagebench.report.__file__).with_name("page.css").read_text(encoding="utf-8")
Row = tuple[float, float, float]
EYES: dict[str, tuple[Row, Row, Row]] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no green cones": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "no red cones": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no blue cones": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
"""How each eye transforms linear red, green and blue (Machado et al., 2009, severity 1)."""


def colours(block: str) -> dict[str, str]:
    """Return the variables of one block of the style sheet."""
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))


LIGHT, DARK = (colours(block) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2])
IN_BOTH = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def linear(colour: str) -> list[float]:
    """Return the linear intensities of red, green and blue."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2), from 1 to 21."""
    low, high = sorted(sum(map(mul, (0.2126, 0.7152, 0.0722), linear(colour))) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, eye: str) -> tuple[float, float, float]:
    """Return what an eye sees of a colour, as L*a*b*."""
    left = [min(max(sum(map(mul, row, linear(colour))), 0.0), 1.0) for row in EYES[eye]]
    white = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8729))
    x, y, z = (sum(map(mul, row, left)) ** (1 / 3) for row in white)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the perceived difference of two colours (CIEDE2000)."""
    mean_chroma = (hypot(*one[1:]) + hypot(*other[1:])) / 2
    more = 1.5 - 0.5 * sqrt(mean_chroma**7 / (mean_chroma**7 + 25**7))
    (light1, light2), (a1, a2), (b1, b2) = ((one[0], other[0]), (more * one[1], more * other[1]), (one[2], other[2]))
    chroma1, chroma2 = hypot(a1, b1), hypot(a2, b2)
    hue1, hue2 = degrees(atan2(b1, a1)) % 360, degrees(atan2(b2, a2)) % 360
    turn = (hue2 - hue1 + 180) % 360 - 180 if chroma1 * chroma2 else 0.0
    hue = (hue1 + turn / 2) % 360 if chroma1 * chroma2 else hue1 + hue2
    lightness, chroma = (light1 + light2) / 2, (chroma1 + chroma2) / 2
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    by_lightness = 1 + 0.015 * (lightness - 50) ** 2 / sqrt(20 + (lightness - 50) ** 2)
    by_hue = 1 + 0.015 * chroma * (1 + sum(share * cos(radians(by * hue + at)) for share, by, at in waves))
    turned = -2 * sqrt(chroma**7 / (chroma**7 + 25**7)) * sin(radians(60 * exp(-(((hue - 275) / 25) ** 2))))
    in_lightness = (light2 - light1) / by_lightness
    in_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    in_hue = 2 * sqrt(chroma1 * chroma2) * sin(radians(turn / 2)) / by_hue
    return sqrt(in_lightness**2 + in_chroma**2 + in_hue**2 + turned * in_chroma * in_hue)


@pytest.mark.parametrize(
    ("one", "other", "known"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.4441),
    ],
)
def test_differences_are_those_that_were_published(one: Sequence[float], other: Sequence[float], known: float) -> None:
    """The formula gives the differences that Sharma, Wu and Dalal (2005) list for testing implementations."""
    assert apart(one, other) == pytest.approx(known, abs=1e-4)


@IN_BOTH
def test_contrast_is_enough(theme: dict[str, str]) -> None:
    """Texts have a contrast of at least 4.5 to their background, lines of schemes one of 3 (WCAG 2.2, AA)."""
    for name, behind in (("ink", "page"), ("soft", "page"), ("soft", "shade"), ("link", "page"), ("ink", "shade")):
        assert contrast(theme[name], theme[behind]) >= 4.5, name
    for name in ("good", "bad"):
        assert contrast(theme[name], theme[f"{name}-back"]) >= 4.5, name
    for name in SCHEMES:
        assert contrast(theme[name], theme["page"]) >= 3, name


@IN_BOTH
@pytest.mark.parametrize("eye", EYES)
def test_schemes_are_told_apart_by_every_eye(theme: dict[str, str], eye: str) -> None:
    """The colours of any two schemes differ by more than 12 for every eye: some lines differ in colour alone."""
    all_of_them = {name: seen(theme[name], eye) for name in (*SCHEMES, "bound")}
    for one, other in combinations(all_of_them, 2):
        assert apart(all_of_them[one], all_of_them[other]) > 12, (one, other)


@IN_BOTH
def test_phases_are_told_apart_without_green_cones(theme: dict[str, str]) -> None:
    """The colours of any two phases differ by more than 9 without green cones, since bars differ in colour alone."""
    found = {name: seen(theme[name], "no green cones") for name in PHASES}
    for one, other in combinations(found, 2):
        assert dist(found[one], found[other]) > 9, (one, other)


def test_print_has_the_colours_of_the_light_page() -> None:
    """Printed pages have the colours of the light theme, because paper is white."""
    paper = LIGHT | colours(re.findall(r"@media print \{\s*:root \{(.*?)\}", STYLE, re.DOTALL)[0])
    assert {name: paper[name] for name in (*SCHEMES, *PHASES)} == {name: LIGHT[name] for name in (*SCHEMES, *PHASES)}
    themes = re.findall(r"@media ([^{]*prefers-color-scheme[^{]*) \{", STYLE)
    assert themes == ["screen and (prefers-color-scheme: dark)"], "the dark theme is for screens alone"

"""Common parts of all plots: figures of one width, axes with round ticks, a key, and marks in the schemes' colours.

Every plot is 360 pixels wide, which fits on a phone; wider screens show several side by side. So text has nearly the
same size everywhere. Colours are classes of the page's style sheet, which has a light and a dark version: `s0` to `s7`,
with `d0`, `d1`, … for the dashes that distinguish schemes of the same colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

from rich.cells import cell_len

from collagebench.config import option
from collagebench.report.markup import Content, Markup, tag
from collagebench.report.parts import TIMES
from collagebench.report.scales import CHARACTER, Scale, shorten

WIDTH = 360
COLOURS = 8
LINE = 14
"""Pixels from one line of text to the next."""
ABOVE = 28
"""Least pixels, about, from one tick of a vertical axis to the next."""
BESIDE = 2
"""Least pixels between the labels of a horizontal axis."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one scheme looks in every plot of a report."""

    number: int

    @property
    def colour(self) -> str:
        """The classes for its colour and for its dashes."""
        return f"s{self.number % COLOURS} d{self.number // COLOURS}"

    @property
    def classes(self) -> str:
        """The classes for hiding it, for its colour and for its dashes."""
        return f"scheme-{self.number} {self.colour}"

    @property
    def shape(self) -> str:
        """The shape of its dot, which distinguishes schemes of the same colour where there are no lines."""
        return SHAPES[self.number // COLOURS % len(SHAPES)]


Looks = dict[str, Look]
SHAPES = ("circle", "square", "diamond")
OWN = {
    **{"none": 0, "equal": 0, "replication": 1, "hedge": 2, "collage": 3, "parity": 4, "backup": 5},
    **{"hedge-idle": 6, "tied": 7, "reissue": 6, "default": 7, "approxifer": 4, "nercc": 5},
}
"""The colour of a scheme on every page, unless another scheme there already has it."""


def looks_of(schemes: Mapping[str, str]) -> Looks:
    """Return each variant's look, given its scheme's name; a scheme's first variant gets the scheme's own colour."""
    found: dict[str, int] = {}
    first: dict[str, str] = {}
    for variant, scheme in schemes.items():
        first.setdefault(scheme, variant)
    for scheme, variant in sorted(first.items(), key=lambda item: list(OWN).index(item[0]) if item[0] in OWN else 99):
        if scheme in OWN and OWN[scheme] not in found.values():
            found[variant] = OWN[scheme]
    for variant in schemes:
        if variant not in found:
            found[variant] = next(number for number in count() if number not in found.values())
    return {variant: Look(found[variant]) for variant in schemes}


def looks_in(reports: Iterable[Mapping[str, Any]]) -> Looks:
    """Return the look of every variant in the summaries of runs or of a sweep's cells."""
    return looks_of({scheme["variant"]: scheme["scheme"] for one in reports for scheme in one["schemes"]})


@dataclass(frozen=True, slots=True)
class Box:
    """The part of a plot that its axes enclose, in pixels."""

    left: float
    right: float
    top: float
    bottom: float


def figure(
    key: str,
    title: str,
    height: float,
    contents: Iterable[Content],
    *,
    says: str,
    note: str | None = None,
) -> Markup:
    """Return a plot with its title; `says` is its description for screen readers, `note` is shown below it."""
    drawing = tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", says, id=f"{key}-desc"),
        *contents,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=f"{key}-title",
        aria_describedby=f"{key}-desc",
    )
    return tag(
        "figure",
        tag("figcaption", title),
        drawing,
        tag("p", note, class_="note") if note else None,
        id=key,
        class_="plot",
    )


def axes(
    box: Box,
    x: Scale | None,
    y: Scale | None,
    *,
    x_title: str,
    y_title: str = "",
    x_text: Callable[[float], str] = lambda value: f"{value:g}",
    y_text: Callable[[float], str] = lambda value: f"{value:g}",
) -> list[Markup]:
    """Return grid, ticks and titles; an axis without a scale has no grid and no ticks."""
    drawn = []
    for place, value in [(x(value), value) for value in _spaced(x, x_text)] if x else ():
        drawn.append(tag("path", class_="grid", d=f"M{place:.1f} {box.top:g}V{box.bottom:g}"))
        drawn.append(text(place, box.bottom + 13, x_text(value), class_="tick", anchor="middle"))
    for place, value in [(y(value), value) for value in y.ticks(ABOVE)] if y else ():
        drawn.append(tag("path", class_="grid", d=f"M{box.left:g} {place:.1f}H{box.right:g}"))
        drawn.append(text(box.left - 5, place + 4, y_text(value), class_="tick", anchor="end"))
    drawn.append(tag("path", class_="axis", d=f"M{box.left:g} {box.bottom:g}H{box.right:g}"))
    drawn.append(text((box.left + box.right) / 2, box.bottom + 27, x_title, class_="title", anchor="middle"))
    if y_title:
        drawn.append(text(2, 11, y_title, class_="title"))
    return drawn


def _spaced(x: Scale, said: Callable[[float], str]) -> list[float]:
    """Return the ticks of a horizontal axis, as many as leave space between their labels."""
    room = 44.0
    while True:
        values = x.ticks(room)
        ends = [(x(value) - text_width(said(value)) / 2, x(value) + text_width(said(value)) / 2) for value in values]
        if room > x.end - x.start or all(one[1] + BESIDE <= other[0] for one, other in pairwise(ends)):
            return values
        room *= 1.25


def left_of(y: Scale, said: Callable[[float], str], least: float = 40) -> float:
    """Return where a vertical axis stands, at least at `least`, so that its longest label fits to its left."""
    return max(least, 5 + max(text_width(said(value)) for value in y.ticks(ABOVE)))


def text(x: float, y: float, content: str, *, class_: str = "", anchor: str | None = None) -> Markup:
    """Return a line of text."""
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def key(entries: Sequence[tuple[str, str]], left: float, top: float, room: float) -> list[Markup]:
    """Return the key: a line sample and a name for each (name, classes), one below the other."""
    drawn = []
    for place, (name, classes) in enumerate(entries):
        y = top + LINE * place
        drawn.append(
            tag(
                "g",
                tag("title", name),
                tag("path", class_="curve", d=f"M{left:g} {y - 4:g}h14"),
                text(left + 18, y, shorten(name, room - 18), class_="label"),
                class_=classes,
            )
        )
    return drawn


def coinciding(lines: Iterable[tuple[str, object]]) -> str:
    """Return a sentence about each group of equal lines, of which only one is seen, given pairs of name and line."""
    groups: dict[object, list[str]] = {}
    for name, line in lines:
        groups.setdefault(line, []).append(name)
    same = [names for names in groups.values() if len(names) > 1]
    return " ".join(f"{', '.join(names[:-1])} and {names[-1]} coincide." for names in same)


def dot(x: float, y: float, shape: str = "circle", *, hollow: bool = False, small: bool = False) -> Markup:
    """Return a mark: a circle, a square or a diamond, all of about the same size."""
    name = "mark hollow" if hollow else "mark"
    by = 0.6 if small else 1.0
    if shape == "circle":
        return tag("circle", cx=x, cy=y, r=4 * by, class_=name)
    if shape == "square":
        return tag("rect", x=x - 3.5 * by, y=y - 3.5 * by, width=7 * by, height=7 * by, class_=name)
    side = f"{5 * by:g}"
    return tag("path", d=f"M{x:.1f} {y - 5 * by:.1f}l{side} {side}l-{side} {side}l-{side}-{side}z", class_=name)


SECONDS = {
    "persistence", "crash-every", "restart-after", "stop-every", "stop-for", "deadline", "compute-time", "flush-after",
    "burst-for", "hold", "hedge-delay", "reissue-after", "default-after", "backup-after", "coded-after",
}  # fmt: skip
"""Options in seconds, without those of stragglers that may be factors instead."""


def option_title(name: str, scale: Scale, config: Mapping[str, Any]) -> str:
    """Return the title of an option's axis, with its unit and whether it is logarithmic.

    `config` is that of an experiment on the axis, which tells whether draws are seconds or factors.
    """
    seconds = SECONDS if config.get("straggler_mode") == "scale" else SECONDS | set(map(option, TIMES))
    unit = " in s" if name in seconds else " in requests/s" if name == "rate" else ""
    return f"{name}{unit}{' (log scale)' if scale.log else ''}"


def text_width(content: str) -> float:
    """Return the approximate width of a text, in pixels."""
    return CHARACTER * cell_len(content)


def ms(seconds: float) -> str:
    """Return the label of a tick: seconds in milliseconds."""
    return f"{seconds * 1e3:g}"

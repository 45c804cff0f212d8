"""Mean phases of latency: stacked bars of the phases of the tasks that answered."""

from __future__ import annotations

from typing import Any

from collagebench.report.frame import WIDTH, Box, Looks, axes, figure, ms, text, text_width
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_ms, as_percent
from collagebench.report.scales import Scale, room_for, shorten

ROW = 24
MEANINGS = {
    "group": "until its task was made: a group to fill, a hedge's delay, a queue for all workers, a late client",
    "encode": "encoding",
    "queue": "waiting at the worker",
    "inference": "computing",
    "injected": "injected slowness",
    "transport": "client, kernel and wire, both ways",
    "decode": "decoding",
    "hold": "the reply held back",
}
BESIDE = 6
"""Pixels between the longest name and the bars."""
LEAST = 0.002
"""Phases shorter than this share of the longest bar are not drawn."""


def phases(key: str, one: dict[str, Any], looks: Looks) -> Markup | None:
    """Return the plot of the mean phases of every scheme; None if no phases are known."""
    rows = {s["variant"]: split(s["phases_s"]) for s in one["schemes"] if s["phases_s"]["service"] is not None}
    if not rows:
        return None
    longest = max(sum(parts.values()) for parts in rows.values())
    shown = [name for name in MEANINGS if any(parts.get(name, 0.0) > LEAST * longest for parts in rows.values())]
    legend, top = _legend(shown)
    left = room_for(rows, 130)
    beside = max(42, *(text_width(as_ms(sum(parts.values()))) for parts in rows.values()))
    box = Box(left, WIDTH - 4 - beside, top, top + ROW * len(rows) + 4)
    x = Scale(0.0, longest * 1.01 or 1.0, box.left, box.right)
    drawn = [*legend, *axes(box, x, None, x_title="mean latency in ms", x_text=ms)]
    for place, (variant, parts) in enumerate(rows.items()):
        y = box.top + 4 + ROW * place
        bars = [text(0, y + 13, shorten(variant, left - BESIDE), class_="label")]
        start = 0.0
        for name, seconds in parts.items():
            if name in shown and seconds > 0:
                width = x(start + seconds) - x(start)
                tip = tag("title", f"{variant}, {name}: {as_ms(seconds)} ms")
                bars.append(tag("rect", tip, x=x(start), y=y, width=width, height=ROW - 6, class_=f"phase {name}"))
                start += seconds
        bars.append(text(x(start) + 4, y + 13, as_ms(sum(parts.values())), class_="tick"))
        drawn.append(tag("g", *bars, class_=looks[variant].classes))
    says = "; ".join(
        f"{variant}: " + ", ".join(f"{name} {as_ms(seconds)} ms" for name, seconds in parts.items())
        for variant, parts in rows.items()
    )
    note = "; ".join(f"{name}: {MEANINGS[name]}" for name in shown) + ". Means over the answered requests"
    without = {s["variant"]: s["sources"].get("default") for s in one["schemes"] if s["variant"] in rows}
    shares = ", ".join(f"{as_percent(share)} of those of {variant}" for variant, share in without.items() if share)
    note += f", without default answers, which have no phases ({shares})." if shares else "."
    return figure(key, "Where the time went", box.bottom + 34, drawn, says=says, note=note)


def split(means: dict[str, float | None]) -> dict[str, float]:
    """Return the known phases, in order, with the service split into inference and injected delay."""
    injected = means.get("injected") or 0.0
    parts = {**means, "inference": max(0.0, (means["service"] or 0.0) - injected), "injected": injected}
    return {name: float(parts[name] or 0.0) for name in MEANINGS if parts.get(name) is not None}


def _legend(shown: list[str]) -> tuple[list[Markup], float]:
    """Return the key of the phases, on as many lines as needed, and the top of the plot below it."""
    drawn, left, top = [], 0.0, 10.0
    for name in shown:
        width = 18 + text_width(name) + 8
        if left + width > WIDTH:
            left, top = 0.0, top + 16
        drawn.append(tag("rect", x=left, y=top - 8, width=11, height=10, class_=f"phase {name}"))
        drawn.append(text(left + 15, top + 1, name, class_="tick"))
        left += width
    return drawn, top + 10

"""Curves of latency: the share of requests answered by a time, and, on a logarithmic scale, the share not yet answered.

The latter shows the tail, where schemes differ. A curve is a step function through observed values, thinned to about
400 of them: evenly over the ranks for the bulk, evenly over the logarithm of the remaining share for the tail, the last
hundred values, and the quantiles of the reports. A failed request is never answered, so the tail of a scheme with
failures does not reach 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from collagebench.report.frame import WIDTH, Box, Looks, axes, coinciding, figure, key, left_of, ms
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import with_decimals
from collagebench.report.scales import Scale, logarithmic, room_for
from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.latency import infinite_if_failed
from collagebench.statistics.quantiles import QUANTILES, rank

EVEN, LOGARITHMIC, LAST = 150, 150, 100
"""How many ranks are kept: evenly, evenly in the logarithm of the remaining share, and at the end."""


@dataclass(frozen=True, slots=True)
class Curve:
    """An observed distribution: `shares[i]` of the requests took `seconds[i]` or less."""

    name: str
    classes: str
    seconds: list[float]
    shares: list[float]
    requests: int
    """The number of observations before thinning."""
    stairs: bool = True
    """False if only some quantiles are known, which are joined by straight lines."""

    def at(self, share: float) -> float:
        """Return the first time by which `share` of the requests were answered; infinite if they never were."""
        return next((s for s, part in zip(self.seconds, self.shares, strict=True) if part >= share), math.inf)


def observed(name: str, classes: str, requests: Table) -> Curve | None:
    """Return the curve of one scheme's requests, without the warm-up; None if none was answered."""
    ordered = np.sort(infinite_if_failed(requests.where(~requests["warmup"])))
    count, answered = len(ordered), int(np.isfinite(ordered).sum())
    if not answered:
        return None
    kept = np.concatenate(
        (
            np.linspace(1, count, EVEN),
            count + 1 - np.geomspace(1, count, LOGARITHMIC),
            np.arange(max(1, answered - LAST), answered + 1),
            [rank(count, q) for q in QUANTILES.values()],
        )
    )
    ranks = np.unique(kept.round().astype(int))
    ranks = ranks[ranks <= answered]
    return Curve(name, classes, ordered[ranks - 1].tolist(), (ranks / count).tolist(), count)


def bound_curve(bound: dict[str, Any]) -> Curve | None:
    """Return the curve of the bound in a run's header; None if it has none."""
    points = bound.get("curve", [])
    known = [(share, seconds) for share, seconds in points if seconds is not None and 0 < seconds < math.inf]
    if not known:
        return None
    shares, seconds = zip(*known, strict=True)
    return Curve("bound", "bound", list(seconds), list(shares), int(bound.get("requests") or 1), stairs=False)


def curves_of(run: Run, looks: Looks) -> list[Curve]:
    """Return the curves of a run's schemes and of its bound; empty if no request was answered."""
    found = [observed(variant, looks[variant].classes, run.of(variant).requests) for variant in run.variants]
    known = [curve for curve in found if curve]
    bound = bound_curve(run.header.get("bound", {}))
    return [*known, bound] if known and bound else known


def cdf(key_: str, curves: Sequence[Curve]) -> Markup:
    """Return the plot of the share of requests answered by a time."""
    box = _box(curves)
    y = Scale(0.0, 1.0, box.bottom, box.top)
    title, y_title = "Latency: cumulative distribution", "requests answered by then, %"
    return _plot(key_, title, curves, box, y, y_title, 0.5, ("Half", "medians"), slower=False)


def tail(key_: str, curves: Sequence[Curve], title: str = "Latency: the tail") -> Markup:
    """Return the plot of the share of requests not answered by a time, with both axes logarithmic."""
    box = _box(curves)
    least = min(1 / curve.requests for curve in curves)
    y = Scale(min(0.8 * least, 0.08), 1.0, box.bottom, box.top, log=True)
    box = replace(box, left=left_of(y, _as_percent, box.left))
    y_title = "requests still without an answer, % (log scale)"
    guide = [
        tag("path", class_="guide", d=f"M{box.left:g} {y(0.01):.1f}H{box.right:g}"),
        tag("text", "p99", x=box.left + 3, y=y(0.01) - 3, class_="tick"),
    ]
    words = ("99 percent", "99th percentiles")
    return _plot(key_, title, curves, box, y, y_title, 0.99, words, slower=True, guide=guide if y.holds(0.01) else ())


def _plot(
    key_: str,
    title: str,
    curves: Sequence[Curve],
    box: Box,
    y: Scale,
    y_title: str,
    share: float,
    words: tuple[str, str],
    *,
    slower: bool,
    guide: Sequence[Markup] = (),
) -> Markup:
    """Return the plot of the curves; the key is ordered by the time at `share`, slowest first, which `words` name."""
    x = logarithmic([second for curve in curves for second in curve.seconds], box.left, box.right)
    order = sorted(curves, key=lambda curve: -curve.at(share))
    entries = [(curve.name, curve.classes) for curve in order]
    lines = [_line(curve, x, y, slower=slower, box=box) for curve in curves]
    drawn = [
        *axes(
            box,
            x,
            y,
            x_title="latency in ms (log scale)",
            y_title=y_title,
            x_text=ms,
            y_text=_as_percent,
        ),
        *guide,
        *(
            tag("path", tag("title", curve.name), d=line, class_=f"curve {curve.classes}", data_name=curve.name)
            for curve, line in zip(curves, lines, strict=True)
        ),
        *key(entries, box.right + 8, box.top + 10, WIDTH - box.right - 8),
        _reader(box, x, y),
    ]
    says = (
        f"{words[0]} of the observed requests were answered within {_said(order, share)}. The key lists the "
        f"{words[1]}, slowest first."
    )
    note = coinciding((curve.name, line) for curve, line in zip(curves, lines, strict=True))
    return figure(key_, title, box.bottom + 34, drawn, says=says, note=note or None)


def _as_percent(share: float) -> str:
    """Return the label of a tick: a share in percent."""
    return f"{100 * share:g}"


def _box(curves: Sequence[Curve]) -> Box:
    names = room_for((curve.name for curve in curves), 110)
    return Box(left=34, right=WIDTH - 26 - names, top=22, bottom=max(232, 22 + 14 * len(curves)))


def _line(curve: Curve, x: Scale, y: Scale, *, slower: bool, box: Box) -> str:
    """Return the path of a curve as steps to the right and then up (or down, if `slower`)."""
    if not curve.stairs:
        points = zip(curve.seconds, curve.shares, strict=True)
        known = [f"{x(second):.1f} {y(max(1 - share if slower else share, y.low)):.1f}" for second, share in points]
        return "M" + "L".join(known)
    steps = [f"M{x.start:g} {y(1 if slower else 0):.1f}"]
    for second, share in zip(curve.seconds, curve.shares, strict=True):
        height = 1 - share if slower else share
        steps.append(f"H{x(second):.1f}V{y(max(height, y.low)):.1f}")
    if curve.shares[-1] < 1:  # the others failed
        steps.append(f"H{box.right:g}")
    return "".join(steps)


def _reader(box: Box, x: Scale, y: Scale) -> Markup:
    """Return the invisible area over the plot in which the page's script shows values."""
    return tag(
        "rect",
        x=box.left,
        y=box.top,
        width=box.right - box.left,
        height=box.bottom - box.top,
        class_="reader",
        data_x=f"{x.low!r} {x.high!r} {x.start!r} {x.end!r}",
        data_y=f"{y.low!r} {y.high!r} {y.start!r} {y.end!r} {'log' if y.log else 'linear'}",
    )


def _said(curves: Sequence[Curve], share: float) -> str:
    return ", ".join(
        f"{with_decimals(curve.at(share) * 1e3, 1)} ms ({curve.name})"
        if math.isfinite(curve.at(share))
        else f"no time ({curve.name})"
        for curve in curves
    )

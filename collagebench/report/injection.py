"""The plot of injected delays: by how much real workers missed the service times that were asked for.

Tasks are sorted by the time asked for and divided into groups of equal size. Each group shows the median error and the
range from 5 to 95 %. The shaded band is the permitted error.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from collagebench.report.frame import WIDTH, Box, axes, figure, left_of, ms
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_ms, as_percent, with_decimals
from collagebench.report.scales import Scale, logarithmic
from collagebench.results.reader import Run
from collagebench.statistics.injection import injection as measured
from collagebench.statistics.injection import reported
from collagebench.statistics.validity import INJECTION_FLOOR, INJECTION_SHARE

BOX = Box(left=40, right=WIDTH - 12, top=24, bottom=200)
GROUPS = 24


def injection(key: str, run: Run) -> Markup | None:
    """Return the plot of a live run's injection; None for a simulated run, which is exact, or if no error is known."""
    found = measured(run)
    asked, took = run.tasks["wanted_s"], run.tasks["service"]
    known = reported(run) & (asked > 0)
    if found.p50 is None or found.p99 is None or not known.any():
        return None
    asked, missed = asked[known], (took - asked)[known]
    order = np.argsort(asked, kind="stable")
    groups = [part for part in np.array_split(order, min(GROUPS, len(order))) if len(part)]
    centres = [float(np.median(asked[part])) for part in groups]
    lows, middles, highs = ([float(np.quantile(missed[part], q)) for part in groups] for q in (0.05, 0.5, 0.95))
    most = max(2 * INJECTION_FLOOR, *(abs(value) for value in (*lows, *highs)))
    y = Scale(-1.1 * most, 1.1 * most, BOX.bottom, BOX.top)
    box = replace(BOX, left=left_of(y, ms))
    x = logarithmic(centres, box.left, box.right)
    drawn = [
        _band([x.low * (x.high / x.low) ** (i / 30) for i in range(31)], x, y),
        *axes(
            box,
            x,
            y,
            x_title="service time asked for, ms (log scale)",
            y_title="actual minus asked, ms",
            x_text=ms,
            y_text=ms,
        ),
        tag("path", class_="axis", d=f"M{box.left:g} {y(0):.1f}H{box.right:g}"),
    ]
    for centre, low, middle, high in zip(centres, lows, middles, highs, strict=True):
        ends = f"{as_ms_signed(low)} to {as_ms_signed(high)}"
        tip = f"asked {as_ms(centre)} ms: {as_ms_signed(middle)} ms (5 to 95 %: {ends})"
        line = f"M{x(centre):.1f} {y(low):.1f}V{y(high):.1f}"
        mark = tag("circle", cx=x(centre), cy=y(middle), r=3, class_="mark")
        drawn.append(tag("g", tag("title", tip), tag("path", class_="whisker", d=line), mark, class_="s2"))
    says = f"Workers missed the service time asked for by {as_ms(found.p50)} ms (median), {as_ms(found.p99)} ms (p99)."
    beyond = (
        f" In {found.beyond_floor:,} of them ({as_percent(found.share)}) inference alone took longer than the floor."
        if found.beyond_floor
        else ""
    )
    note = (
        f"{says} {found.tasks:,} tasks.{beyond} Dots: median of a group of tasks; lines: 5 to 95 %. Shaded: within "
        f"{INJECTION_FLOOR * 1e3:g} ms or {100 * INJECTION_SHARE:g} %."
    )
    return figure(key, "Stragglers: asked and achieved", box.bottom + 34, drawn, says=says, note=note)


def as_ms_signed(seconds: float) -> str:
    """Return seconds in milliseconds, with a sign."""
    return with_decimals(seconds * 1e3, 2, "+")


def _band(asked: list[float], x: Scale, y: Scale) -> Markup:
    """Return the area of permitted errors."""
    allowed = [max(INJECTION_FLOOR, INJECTION_SHARE * value) for value in asked]
    upper = [f"{x(value):.1f} {y(miss):.1f}" for value, miss in zip(asked, allowed, strict=True)]
    lower = [f"{x(value):.1f} {y(-miss):.1f}" for value, miss in zip(asked, allowed, strict=True)]
    return tag("path", class_="band", d="M" + "L".join([*upper, *reversed(lower)]) + "Z")

"""Trade-off plots: latency (p99, or another quantile) against accuracy, and against work.

A scheme is on the front if no other is at least as good in all three and better in one. A scheme whose latency is
unknown (too few requests) or infinite (too many failed) cannot be plotted, and is named instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collagebench.report.frame import WIDTH, Box, Look, Looks, axes, dot, figure, left_of, ms, text, text_width
from collagebench.report.markup import Markup, tag
from collagebench.report.parts import as_ms, as_percent, as_times, with_decimals
from collagebench.report.scales import Scale, linear, logarithmic, of_shares, shorten

BOX = Box(left=40, right=WIDTH - 12, top=24, bottom=212)

MOST_NAMES, MOST_LABELS = 5, 10
"""The most schemes that the caption names, and with which every scheme has a label. With more, those on the front have
labels, and others if there is room."""
ROOM, MOST_ROOM = 120, 160
"""The most pixels of a name, and of a label if an answer is marked, when only few schemes have labels."""
BETWEEN = 2
"""Pixels left free on each side of a name."""
RING = 6.5
"""Radius, in pixels, of the ring around the chosen dot."""
FAR = 4
"""The scale is logarithmic if the highest latency exceeds this multiple of the lowest."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The schemes to mark in a plot of many."""

    chosen: str | None
    """The scheme with a ring around its dot."""
    labelled: Collection[str]
    """The schemes with names beside their dots."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One scheme with its latency, accuracy and work."""

    name: str
    look: Look
    latency: float
    """The quantile that is shown, in seconds."""
    accuracy: float | None
    work: float | None
    """Worker time per request, in seconds."""

    def beats(self, other: Offer) -> bool:
        """Return whether this is never worse and somewhere better; an unknown figure may be worse."""
        pairs = [(self.latency, other.latency)]
        for own, its, sign in ((self.accuracy, other.accuracy, -1), (self.work, other.work, 1)):
            if own is None and its is not None:
                return False
            if own is not None and its is not None:
                pairs.append((sign * own, sign * its))
        return all(own <= its for own, its in pairs) and any(own < its for own, its in pairs)


def offers(one: dict[str, Any], looks: Looks, metric: str) -> list[Offer]:
    """Return the schemes whose quantile is known."""
    return [
        Offer(
            scheme["variant"],
            looks[scheme["variant"]],
            scheme["latency_s"][metric],
            scheme["accuracy"]["overall"],
            scheme["cost"] and scheme["cost"]["executed_s_per_request"],
        )
        for scheme in one["schemes"]
        if scheme["latency_s"][metric] is not None
    ]


def front(found: Sequence[Offer]) -> list[Offer]:
    """Return the offers that no other beats."""
    return [offer for offer in found if not any(other.beats(offer) for other in found)]


def against_accuracy(
    key: str, one: dict[str, Any], looks: Looks, metric: str = "p99", *, answer: Answer | None = None
) -> Markup | None:
    """Return the plot of latency and accuracy, with the answer marked; None if fewer than two schemes have both."""
    found = [(offer, offer.accuracy) for offer in offers(one, looks, metric) if offer.accuracy is not None]
    return _plot(
        key,
        metric,
        "accuracy",
        found,
        one,
        looks,
        "right answers, % (higher is better)",
        lambda share: f"{100 * share:g}",
        as_percent,
        higher=True,
        answer=answer,
    )


def against_work(
    key: str,
    one: dict[str, Any],
    looks: Looks,
    metric: str = "p99",
    *,
    with_accuracy: bool = False,
    answer: Answer | None = None,
) -> Markup | None:
    """Return the plot of latency and worker time per request, as `against_accuracy` does.

    `with_accuracy` adds the accuracy to each label, for use without the other plot.
    """
    found = [(offer, offer.work * 1e3) for offer in offers(one, looks, metric) if offer.work is not None]
    return _plot(
        key,
        metric,
        "work",
        found,
        one,
        looks,
        "worker time per request in ms (lower is better)",
        lambda value: f"{value:g}",
        lambda value: f"{with_decimals(value, 1)} ms of work",
        higher=False,
        with_accuracy=with_accuracy,
        answer=answer,
    )


def _plot(
    key: str,
    metric: str,
    against: str,
    found: Sequence[tuple[Offer, float]],
    one: dict[str, Any],
    looks: Looks,
    y_title: str,
    y_text: Callable[[float], str],
    said: Callable[[float], str],
    *,
    higher: bool,
    with_accuracy: bool = False,
    answer: Answer | None = None,
) -> Markup | None:
    if len(found) < 2:
        return None
    slo = one["slo_ms"] and one["slo_ms"] / 1e3
    known = [offer.latency for offer, _ in found] + ([slo] if slo else [])
    far = min(known) > 0 and max(known) > FAR * min(known)
    top = BOX.top + 8 if slo else BOX.top  # the name of the line at the SLO is above the plot, where no dot is
    y = (of_shares if higher else linear)([value for _, value in found], BOX.bottom, top, margin=0.15)
    box = replace(BOX, left=left_of(y, y_text), top=top)
    x = (logarithmic if far else linear)(known, box.left, box.right, margin=0.12)
    best = front(offers(one, looks, metric))
    drawn = axes(
        box,
        x,
        y,
        x_title=f"{metric} in ms ({'log scale; ' if far else ''}lower is better)",
        y_title=y_title,
        x_text=ms,
        y_text=y_text,
    )
    if slo:
        drawn.append(tag("path", class_="guide", d=f"M{x(slo):.1f} {top:g}V{BOX.bottom:g}"))
        drawn.append(text(x(slo), top - 3, "SLO", class_="tick", anchor="middle"))
    drawn.append(_staircase(found, x, y, higher))
    places = [(x(offer.latency), y(value)) for offer, value in found]
    kept_free = [(x(slo) - 13, top - 14, x(slo) + 13, top)] if slo else []
    shares = [f" {as_percent(offer.accuracy)}" if with_accuracy else "" for offer, _ in found]
    labelled = answer.labelled if answer else {o.name for o, _ in found if len(found) <= MOST_LABELS or o in best}
    sure = [offer.name in labelled for offer, _ in found]
    named = [
        shorten(offer.name, MOST_ROOM if answer else ROOM) + share if always or not answer else ""
        for (offer, _), share, always in zip(found, shares, sure, strict=True)
    ]
    labels = _labels(named, sure, places, kept_free, box.left)
    dots: list[tuple[tuple[bool, bool], Markup]] = []
    for (offer, value), (left, top), label in zip(found, places, labels, strict=True):
        tip = f"{offer.name}: {metric} {as_ms(offer.latency)} ms, {said(value)}"
        mark = dot(left, top, offer.look.shape, hollow=offer not in best)
        chosen = answer is not None and offer.name == answer.chosen
        ring = tag("circle", cx=left, cy=top, r=RING, class_="ring") if chosen else None
        dots.append(((chosen, bool(label)), tag("g", tag("title", tip), mark, ring, *label, class_=offer.look.classes)))
    # Those with names cover those without, so that no name seems to belong to another dot; the chosen one is on top.
    drawn += [one for _, one in sorted(dots, key=lambda dot: dot[0])]
    ratios = {scheme["variant"]: scheme["relative"]["executed"] for scheme in one["schemes"]}
    missing: dict[str, list[str]] = {}
    for scheme in one["schemes"]:
        if scheme["runs"] and scheme["variant"] not in {offer.name for offer, _ in found}:
            missing.setdefault(_why_missing(scheme, metric, against), []).append(scheme["variant"])
    names = (
        ", ".join(offer.name for offer in best) if len(best) <= MOST_NAMES else f"{len(best)} of the {len(found)} here"
    )
    notes = [
        f"On the front of {metric}, accuracy and work together: {names}." if higher else "",
        "Beside each name: its accuracy." if with_accuracy else "",
        f"Ringed: {answer.chosen}." if answer and answer.chosen else "",
        f"Hollow: another scheme is at least as good in {metric}, work and accuracy, and better in one."
        if len(best) < len(found)
        else "",
        *(f"Not shown, as their {why}: {', '.join(variants)}." for why, variants in missing.items()),
        "Colour and shape identify a scheme." if answer else "",
        "Point at a dot without a name to see it." if not all(labels) else "",
    ]
    note = " ".join(filter(None, notes))
    says = "; ".join(
        f"{o.name}: {metric} {as_ms(o.latency)} ms, {said(v)}, work {as_times(ratios[o.name])}" for o, v in found
    )
    return figure(key, f"{metric} against {against}", BOX.bottom + 34, drawn, says=says, note=note or None)


def _why_missing(scheme: dict[str, Any], metric: str, against: str) -> str:
    """Return which figure of a scheme cannot be plotted, and why."""
    if scheme["latency_s"][metric] is not None:
        return f"{against} is unknown"
    return f"{metric} is {'infinite' if metric in scheme['infinite'] else 'unknown'}"


def _staircase(found: Sequence[tuple[Offer, float]], x: Scale, y: Scale, higher: bool) -> Markup:
    """Return the line of the front in these two dimensions."""
    best: list[tuple[float, float]] = []
    points = [(offer.latency, value) for offer, value in found]
    for latency, value in sorted(points, key=lambda point: (point[0], -point[1] if higher else point[1])):
        if not best or (value > best[-1][1] if higher else value < best[-1][1]):
            best.append((latency, value))
    steps = [f"M{x(best[0][0]):.1f} {y.start if higher else y.end:g}"]
    steps += [f"H{x(latency):.1f}V{y(value):.1f}" for latency, value in best]
    return tag("path", class_="front", d="".join(steps) + f"H{BOX.right:g}")


def _labels(
    names: Sequence[str],
    sure: Sequence[bool],
    places: Sequence[tuple[float, float]],
    kept_free: Sequence[tuple[float, float, float, float]],
    left_end: float,
) -> list[list[Markup]]:
    """Place each dot's label so that it covers neither dots nor labels, with a line to its dot if it is far away.

    Those that are `sure` are placed first; others have a label only if there is room beside their dots.
    """
    taken = [*kept_free, *((left - 6, top - 6, left + 6, top + 6) for left, top in places)]
    labels: list[list[Markup]] = [[] for _ in names]
    for place in sorted(range(len(names)), key=lambda place: not sure[place]):
        name, label, (left, top) = names[place], labels[place], places[place]
        width = text_width(name)
        for away, x, y in _candidates(left, top, width) if name else ():
            if away and not sure[place]:
                break
            area = (x - BETWEEN, y - 10, x + width + BETWEEN, y + 3)
            inside = area[0] >= left_end and area[2] <= WIDTH and area[1] >= BOX.top - 6 and area[3] <= BOX.bottom
            if inside and not any(_overlap(area, other) for other in taken):
                taken.append(area)
                side = "start" if x > left else "end" if x + width < left else "middle"
                end = {"start": x, "end": x + width, "middle": x + width / 2}[side]
                if away:
                    label.append(tag("path", class_="leader", d=f"M{left:.1f} {top:.1f}L{end:.1f} {y - 3:.1f}"))
                label.append(text(end, y, name, class_="label", anchor=side))
                break
    return labels


def _candidates(left: float, top: float, width: float) -> list[tuple[bool, float, float]]:
    """Return positions for a label (whether it is far away, left end, baseline), the best first."""
    near = [(left + 8, top + 4), (left - 8 - width, top + 4), (left - width / 2, top - 8), (left - width / 2, top + 17)]
    found = [(False, x, y) for x, y in near]
    for ring in range(1, 9):
        for x in (left + 12 + 6 * ring, left - 12 - 6 * ring - width, left - width / 2):
            found += [(True, x, top + 4 + 13 * ring * sign) for sign in (-1, 1)]
    return found


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

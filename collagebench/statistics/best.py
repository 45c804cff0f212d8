"""The fastest of several schemes that met the same runs, and those that may be just as fast.

The fastest is the one with the lowest figure over all runs together. Another scheme is slower only if the difference is
real, as in a run's report: significant in the paired t test over the runs, after Holm's correction over the schemes,
larger than a minimum effect, and with an interval of the ratio that leaves out 1. As the fastest is chosen by the same
figures that it is tested with, these tests call slightly too many differences real. So a scheme that they do not
separate can safely be taken as equal.

A run whose figure is infinite, because too many of its requests fail, counts as slower than the slowest finite run of
both schemes by the minimum effect. That value is the same for both, so the differences of two equal schemes are
symmetric about 0. For symmetric differences, long tails make a t test call too few real, not too many (Benjamini,
Journal of the American Statistical Association 78, 1983, 645-654).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collagebench.statistics.paired import LEVEL, holm, paired
from collagebench.statistics.ratio import Tail, ratio_ci95


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of latency of one scheme, in seconds."""

    pooled: float
    """The figure of all runs together."""
    by_run: Sequence[float]
    """The figure of each run, in the same order for all schemes."""
    tail: Tail | None = None
    """Its tail, for the interval of its ratio to another scheme's; None if unknown."""


def fastest(figures: Mapping[str, Figure], minimum: float) -> list[str]:
    """Return the scheme with the lowest figure, followed by those that are not shown to be slower.

    `minimum` is the minimum effect, as a share of the lower figure. Schemes with an infinite figure are left out.
    """
    finite = {name: figure for name, figure in figures.items() if math.isfinite(figure.pooled)}
    if not finite:
        return []
    best = min(finite, key=lambda name: finite[name].pooled)
    others = [name for name in finite if name != best]
    slower = _shown([(finite[name], finite[best]) for name in others], minimum)
    return [best, *(name for name, is_so in zip(others, slower, strict=True) if not is_so)]


def faster_than(base: Figure, figures: Mapping[str, Figure], minimum: float) -> list[str]:
    """Return the schemes that are shown to be faster than `base`; `minimum` is as in `fastest`."""
    shown = _shown([(base, figure) for figure in figures.values()], minimum)
    return [name for name, is_so in zip(figures, shown, strict=True) if is_so]


def _shown(pairs: Sequence[tuple[Figure, Figure]], minimum: float) -> list[bool]:
    """Return for each pair whether the first is shown to be slower than the second, with Holm's correction."""
    p_values = holm([_p(slow, fast, minimum) for slow, fast in pairs])
    return [
        p <= LEVEL and slow.pooled > (1 + minimum) * fast.pooled and _apart(slow, fast)
        for p, (slow, fast) in zip(p_values, pairs, strict=True)
    ]


def _apart(slow: Figure, fast: Figure) -> bool:
    """Return whether the 95 % interval of the ratio is above 1, as a run's report requires; True if it is unknown."""
    ends = ratio_ci95(slow.tail, fast.tail) if slow.tail and fast.tail else None
    return ends is None or ends[0] > 1


def _p(slow: Figure, fast: Figure, minimum: float) -> float:
    """Return the p value of the runs' differences; 1 if their mean does not agree with the pooled figures."""
    known = [value for value in (*slow.by_run, *fast.by_run) if math.isfinite(value)]
    most = (1 + minimum) * max(known, default=0.0)
    test = paired([min(value, most) for value in slow.by_run], [min(value, most) for value in fast.by_run])
    return test.p if test and test.difference > 0 else 1.0

"""Which of several schemes that met the same runs is the fastest, and which may be just as fast.

The fastest is the one whose figure over all runs together is the lowest. Another is told apart from it only by a
real difference, as a run's report calls it: significant in the paired t test over the runs, after Holm's correction
over the schemes, larger than a minimum effect, and as a ratio outside of chance. The fastest was chosen by its figures
and then tested with them, which makes such tests call a little too much real; what they do not call real is all the
more to be taken as equal.

A run whose figure is infinite, as too many of its requests fail, counts as slower than the slowest that has a figure,
of both schemes, by the minimum effect. As that is the same for both, the differences of two equal schemes are symmetric
about 0, and of such, long tails make a t test call too little real, not too much (Benjamini, Journal of the American
Statistical Association 78, 1983, 645-654).
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
    """Of all runs together."""
    by_run: Sequence[float]
    """Of each run alone, in the same order for all schemes."""
    tail: Tail | None = None
    """What its ratio to another scheme's is made of, where it has one."""


def fastest(figures: Mapping[str, Figure], minimum: float) -> list[str]:
    """Return the scheme with the lowest figure, and behind it those that are not shown to differ from it.

    `minimum`: smaller differences, as a share of the lower figure, are not called real. A scheme whose figure is
    infinite is never among them.
    """
    finite = {name: figure for name, figure in figures.items() if math.isfinite(figure.pooled)}
    if not finite:
        return []
    best = min(finite, key=lambda name: finite[name].pooled)
    others = [name for name in finite if name != best]
    slower = _shown([(finite[name], finite[best]) for name in others], minimum)
    return [best, *(name for name, is_so in zip(others, slower, strict=True) if not is_so)]


def faster_than(base: Figure, figures: Mapping[str, Figure], minimum: float) -> list[str]:
    """Return the schemes that are shown to be faster than `base`, each tested against it; `minimum` as above."""
    shown = _shown([(base, figure) for figure in figures.values()], minimum)
    return [name for name, is_so in zip(figures, shown, strict=True) if is_so]


def _shown(pairs: Sequence[tuple[Figure, Figure]], minimum: float) -> list[bool]:
    """Say of each pair whether the first is shown to be slower than the second, corrected for all of them (Holm)."""
    p_values = holm([_p(slow, fast, minimum) for slow, fast in pairs])
    return [
        p <= LEVEL and slow.pooled > (1 + minimum) * fast.pooled and _apart(slow, fast)
        for p, (slow, fast) in zip(p_values, pairs, strict=True)
    ]


def _apart(slow: Figure, fast: Figure) -> bool:
    """Say whether the 95 % interval of the ratio leaves out 1, as far as it is known: it says so of a run's schemes."""
    ends = ratio_ci95(slow.tail, fast.tail) if slow.tail and fast.tail else None
    return ends is None or ends[0] > 1


def _p(slow: Figure, fast: Figure, minimum: float) -> float:
    """Return the p value of the runs' differences; 1 where they do not have the sign that the pooled figures have."""
    known = [value for value in (*slow.by_run, *fast.by_run) if math.isfinite(value)]
    most = (1 + minimum) * max(known, default=0.0)
    test = paired([min(value, most) for value in slow.by_run], [min(value, most) for value in fast.by_run])
    return test.p if test and test.difference > 0 else 1.0

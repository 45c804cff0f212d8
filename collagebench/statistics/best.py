"""Which of several schemes that met the same runs is the fastest, and which may be just as fast.

The fastest is the one whose figure over all runs together is the lowest. Another is told apart from it only by a
real difference: significant in the paired t test over the runs, after Holm's correction over the schemes, and larger
than a minimum effect. The fastest was chosen by its figures and then tested with them, which makes such tests call a
little too much real; what they do not call real is all the more to be taken as equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collagebench.statistics.paired import LEVEL, holm, paired


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of latency of one scheme, in seconds."""

    pooled: float
    """Of all runs together."""
    by_run: Sequence[float]
    """Of each run alone, in the same order for all schemes."""


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
    tests = [paired(finite[name].by_run, finite[best].by_run) for name in others]
    p_values = holm([test.p if test else 1.0 for test in tests])
    alike = [
        name
        for name, test, p in zip(others, tests, p_values, strict=True)
        if test is None or p > LEVEL or finite[name].pooled <= (1 + minimum) * finite[best].pooled
    ]
    return [best, *alike]

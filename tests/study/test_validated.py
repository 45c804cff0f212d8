"""What is said of a recommendation after a live run: confirmed, refuted, or neither."""

from __future__ import annotations

from math import inf

import pytest

from collagebench.study.validated import _is_better, _said
from collagebench.study.wishes import Candidate, Figures, Wishes


def live(name: str, high: float, latency: float = 0.08, work: float = 1.0) -> Candidate:
    """Return what a scheme gave live: its p99 with the upper end of the interval, and all answers right."""
    return Candidate(name, name, {}, (Figures(latency, 0.07, high, 1.0, 0.0, work, accuracy_low=1.0, lost_high=0.004),))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (live("hedge", 0.09), "Confirmed: live, hedge meets what was asked for."),
        (
            live("hedge", 0.12),
            "Neither confirmed nor refuted: live, hedge had a p99 of 80 ms (at most 120 ms), 100.0 % right "
            "(+0.0 points, perhaps -0.4), 1.00x the work, which perhaps meets what was asked for; more --runs would "
            "tell.",
        ),
        (live("hedge", 0.2, latency=0.11), "Not confirmed: live, hedge did not meet what was asked for."),
        (live("hedge", inf, latency=0.11), "Not confirmed: live, hedge did not meet what was asked for."),
    ],
)
def test_what_only_perhaps_meets_the_wishes_is_neither_confirmed_nor_refuted(choice: Candidate, said: str) -> None:
    """Below the SLO with an interval that reaches beyond it, a run shows nothing, and its figures are said."""
    assert _said(choice, None, better=False, valid=True, wishes=Wishes(slo=0.1)) == said
    assert _said(choice, None, better=False, valid=False, wishes=Wishes(slo=0.1)).startswith("The live run is INVALID")


def test_a_runner_up_that_only_perhaps_meets_the_wishes_is_not_better() -> None:
    """It costs less and was behind the choice, because it was not sure of the SLO; live it is not, either."""
    choice = live("hedge", 0.09, work=1.1)
    assert _is_better(live("tied", 0.095), choice, Wishes(slo=0.1))
    assert not _is_better(live("tied", 0.12), choice, Wishes(slo=0.1))

"""The user's wishes, the figures of each candidate, and which wish it breaks, if any.

A candidate is judged at every given load, and by the worst one. It must be:

    steady      its queue does not grow without bound
    in time     its latency quantile is not above the SLO: surely, if the upper end of the 95 % interval is not, else
                perhaps
    accurate    its share of right answers reaches the floor, and its loss against no redundancy is within the limit:
                surely, if this holds at the worse end of the 95 % interval, else perhaps
    affordable  its worker time per request, relative to no redundancy, is within the budget at every load
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from collagebench.errors import UsageError
from collagebench.statistics.ratio import Tail

LOSS = 0.01
"""Share of answers that redundancy may make wrong, unless the user states a limit or a floor."""
QUANTILES = ("p50", "p90", "p95", "p99")
"""Quantiles to which an SLO may apply."""

Status = Literal["meets", "perhaps", "unsteady", "late", "inaccurate", "expensive"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """The user's requirements; None means no requirement."""

    slo: float | None = None
    """Highest allowed value of the quantile, in seconds."""
    quantile: str = "p99"
    accuracy: float | None = None
    """Share of all answers that must be right."""
    loss: float | None = None
    """Share of answers that may be wrong beyond those without redundancy; None: LOSS unless `accuracy` is set."""
    budget: float | None = None
    """Allowed extra worker time, as a share of that without redundancy."""

    def __post_init__(self) -> None:
        if self.quantile not in QUANTILES:
            raise UsageError(f"--slo-quantile must be one of {', '.join(QUANTILES)}, not {self.quantile!r}")
        for name, least, most in (("accuracy", 0.0, 1.0), ("loss", 0.0, 1.0), ("budget", 0.0, math.inf)):
            value = getattr(self, name)
            if value is not None and not (least <= value <= most and math.isfinite(value)):
                ends = f"from {least:g} to {most:g}" if most < math.inf else f"from {least:g} up"
                raise UsageError(f"--{OPTIONS[name]} is a share {ends}, not {value:g}")

    @property
    def allowed_loss(self) -> float | None:
        """The loss of accuracy that is allowed, with the default applied."""
        return LOSS if self.loss is None and self.accuracy is None else self.loss


OPTIONS = {"accuracy": "accuracy-floor", "loss": "accuracy-loss", "budget": "budget"}
"""Names of the fields on the command line."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one candidate at one load."""

    latency: float
    """The wished quantile, in seconds; infinite if failures reach it or the queue grows."""
    low: float
    high: float
    """Ends of its 95 % interval; 0 and infinity if there is none."""
    accuracy: float | None
    lost: float | None
    """Accuracy without redundancy minus that of this candidate; below 0 if this one is better."""
    work: float | None
    """Worker time per request, relative to no redundancy."""
    unsteady: str | None = None
    """Why the latency is meaningless; None if it is not."""
    accuracy_low: float | None = None
    """The lower end of the 95 % interval of `accuracy`."""
    lost_high: float | None = None
    """The upper end of the 95 % interval of `lost`."""
    bounded: bool = True
    """Whether `latency` is the quantile itself; if False, there are too few requests, and it is only a lower bound."""
    by_run: tuple[float, ...] = ()
    """The quantile in each run."""
    tail: Tail | None = None
    """What a ratio of two candidates' quantiles is computed from; None if `latency` is not the quantile."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant and its figures at each load, in the order of the loads."""

    variant: str
    scheme: str
    options: Mapping[str, Any]
    at: tuple[Figures, ...]

    @property
    def worst(self) -> Figures:
        """The figures at the load where it is slowest."""
        return max(self.at, key=lambda figures: (figures.unsteady is not None, figures.latency, figures.high))

    @property
    def at_most(self) -> float:
        """The highest upper end of its latency interval over the loads; infinite if a load has no interval."""
        return max(figures.high for figures in self.at)

    @property
    def cost(self) -> float:
        """Mean work over the loads; infinite if it is unknown at one of them."""
        known = [figures.work for figures in self.at if figures.work is not None]
        return sum(known) / len(known) if len(known) == len(self.at) else math.inf

    @property
    def dearest(self) -> float:
        """The most work at any load; infinite if it is unknown at one of them."""
        return max(math.inf if figures.work is None else figures.work for figures in self.at)

    @property
    def accuracy(self) -> float | None:
        """The lowest accuracy over the loads; None if unknown."""
        return min((at.accuracy for at in self.at if at.accuracy is not None), default=None)

    @property
    def lost(self) -> float | None:
        """The greatest loss over the loads; None if unknown."""
        return max((at.lost for at in self.at if at.lost is not None), default=None)

    @property
    def lost_at_most(self) -> float | None:
        """The highest upper end of its loss over the loads; None if none is known."""
        return max((at.lost_high for at in self.at if at.lost_high is not None), default=None)

    @property
    def accuracy_at_least(self) -> float | None:
        """The lowest lower end of its accuracy over the loads; None if none is known."""
        return min((at.accuracy_low for at in self.at if at.accuracy_low is not None), default=None)

    def beats(self, other: Candidate) -> bool:
        """Tell whether this is not worse in latency, accuracy or cost, and better in at least one of them."""
        if self.worst.unsteady is not None:
            return False
        pairs = [(self.worst.latency, other.worst.latency), (self.cost, other.cost)]
        if self.accuracy is not None and other.accuracy is not None:
            pairs.append((-self.accuracy, -other.accuracy))
        return all(own <= its for own, its in pairs) and any(own < its for own, its in pairs)


def status(candidate: Candidate, wishes: Wishes) -> Status:
    """Return the first requirement that the candidate breaks, in the order above, or how surely it meets all."""
    worst = candidate.worst
    if worst.unsteady is not None:
        return "unsteady"
    if wishes.slo is not None and worst.latency > wishes.slo:
        return "late"
    if not math.isfinite(worst.latency):
        return "late"
    accuracy, lost, allowed = candidate.accuracy, candidate.lost, wishes.allowed_loss
    if wishes.accuracy is not None and (accuracy is None or accuracy < wishes.accuracy):
        return "inaccurate"
    if allowed is not None and allowed < 1 and (lost is None or lost > allowed):
        return "inaccurate"
    if wishes.budget is not None and candidate.dearest > 1 + wishes.budget:
        return "expensive"
    least, most = candidate.accuracy_at_least, candidate.lost_at_most
    surely = (
        candidate.at_most < math.inf if wishes.slo is None else candidate.at_most <= wishes.slo,
        wishes.accuracy is None or least is None or least >= wishes.accuracy,
        allowed is None or most is None or most <= allowed,
    )
    return "meets" if all(surely) else "perhaps"
